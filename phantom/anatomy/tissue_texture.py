"""How proton density varies within the tissues of a knee.

What a voxel lacks of muscle is fat or connective tissue with next to no signal, and what a voxel of
fat holds of a septum is brighter than it. So texture changes the amplitude of both echoes alike,
and leaves T2 exact in every voxel of one tissue.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from phantom.anatomy.implicit_surfaces import Array, Points, Vector
from phantom.anatomy.structure import Structure
from phantom.anatomy.texture import Texture, Tile, foam, random_texture
from phantom.anatomy.tissues import LABELS, values_by_label

# Fascicles of muscle and what lies between them, as (diameter, thickness) in mm. Fascicles measure
# 0.3 to 1 mm and are bundled. The thicknesses are a choice: fascicles and bundles make 11 % of a
# muscle what it is not, septa 1 to 7 % more. Fat takes 5 to 9 % of young and 10 to 14 % of old
# thighs (Yoshiko et al. 2017, doi 10.1186/s12880-017-0185-9), and the perimysium is collagen.
FASCICLES_MM, BUNDLES_MM, SEPTA_MM = (0.8, 0.02), (2.6, 0.08), (9.0, 0.35)
OBLIQUITY = 0.15  # slope of septa in both coordinates: they cross fascicles at 12 degrees
SEPTA_FROM = 0.0  # of a slow field of unit spread: septa show in a third of a muscle
# (size, thickness of septa) in mm: lobules of fat measure 3 to 10 mm, septa 0.1 to 0.5 mm. Those
# below the skin are flat, so that a sample of them has other edges.
LOBULES_MM, HOFFA_LOBULES_MM = (4.0, 0.22), (3.5, 0.3)
LOBULE_STEP_MM, FLAT_STEP_MM = (0.3, 0.3, 0.3), (0.38, 0.2, 0.38)
# The membrane between the two layers of fat below the skin: 0.13 to 0.15 mm in the thigh, and 0.6
# mm in ultrasound (Pirri et al. 2021, PMC7930759).
SUPERFICIAL_FASCIA_MM = 0.3
# Proton density of connective tissue and small vessels over that of fat after water excitation.
SEPTUM_OVER_FAT = 2.6
BEND_MM = 1.2  # of septa by the slow field
# Of bone density, before voxels average over trabeculae 0.6 to 0.8 mm apart, and over centimetres.
TRABECULAR_SPREAD, REGIONAL_SPREAD = 0.5, 0.2
# The flat bundles of the anterior cruciate ligament, and the loose tissue between them, which shows
# as striations: so much more proton density than that of the bundles (a choice).
STRANDS_MM, BETWEEN_STRANDS = (1.6, 0.35), 1.6
SLOW_SPREAD = 0.04  # over centimetres
T2_SPREAD = 0.03

FIBROUS = ("tendon", "ligament", "cruciate_ligament", "nerve", "capsule", "skin")

Sampler = Callable[[Structure, Points, Vector], Array]


class TissueTextures:
    """The textures of one knee.

    Args:
        rng: source of the random fields.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._slow = random_texture(rng, (1.6, 1.6, 1.6), 3.8)
        self._grain = random_texture(rng, (0.3, 0.3, 0.3), 2.0)
        self._fibres = random_texture(rng, (0.35, 0.35, 4.0), 2.0)
        self._trabeculae = random_texture(rng, (0.3, 0.3, 0.9), 1.0)
        self._infiltration = float(rng.choice([1.0, 1.0, 1.0, 2.0]) * rng.uniform(0.6, 1.4))
        fascicles = _columns(rng, *FASCICLES_MM) + _columns(rng, *BUNDLES_MM)
        self._fascicles = Texture(fascicles, (0.1, 0.1))
        self._strands = Texture(_columns(rng, *STRANDS_MM), (0.1, 0.3))
        self._septa = Texture(_columns(rng, *SEPTA_MM), (0.1, 0.1))
        lobules, hoffa = (_lobules(rng, *size) for size in (LOBULES_MM, HOFFA_LOBULES_MM))
        self._flat_lobules = Texture(lobules, FLAT_STEP_MM)
        self._spread = values_by_label("spread")
        samplers: dict[str, Sampler] = {
            "muscle": self._muscle,
            "cruciate_ligament": self._ligament,
            "subcutaneous_fat": self._subcutaneous_fat,
            "intermuscular_fat": partial(self._fat, Texture(lobules, LOBULE_STEP_MM)),
            "hoffa_fat_pad": partial(self._fat, Texture(hoffa, LOBULE_STEP_MM)),
        }
        self._samplers = {LABELS[name]: sampler for name, sampler in samplers.items()}
        self._fibrous = {LABELS[name] for name in FIBROUS}

    def relative_t2(self, points: Points) -> Array:
        """T2 over that of the tissue at points, (n,)."""
        return np.float32(1) + T2_SPREAD * points.value(self._wander)

    def relative_density(self, structure: Structure, points: Points, size_mm: Vector) -> Array:
        """The proton density of points within a structure over that of its tissue.

        Args:
            structure: the body that all points lie in.
            points: (n,), reference mm.
            size_mm: of the boxes around the points that are averaged over, along (x, y, z).

        Returns:
            (n,), 1 in fat between septa and in strands of a ligament; 1 on average elsewhere, but
            for what muscle lacks.
        """
        slow = 1 + SLOW_SPREAD * points.value(self._wander)
        sampler = self._samplers.get(structure.label, self._grained)
        return slow * sampler(structure, points, size_mm)

    def relative_bone(self, points: Points, size_mm: Vector) -> Array:
        """The density of trabeculae over its mean at that height, which dephases marrow.

        They run along the load, and their density also differs between regions.
        """
        regional = REGIONAL_SPREAD * points.value(self._wander)
        trabeculae = TRABECULAR_SPREAD * self._trabeculae.sample(points.axes, size_mm)
        return np.maximum(1 + regional + trabeculae, 0.1)

    def _wander(self, points: Points) -> Array:
        """A field that varies over centimetres."""
        return self._slow.sample(points.axes)

    def _grained(self, structure: Structure, points: Points, size_mm: Vector) -> Array:
        texture = self._fibres if structure.label in self._fibrous else self._grain
        return 1 + self._spread[structure.label] * texture.sample(points.axes, size_mm)

    def _muscle(self, structure: Structure, points: Points, size_mm: Vector) -> Array:
        """1 less what lies between fascicles, their bundles and, in places, wider septa."""
        wander = points.value(self._wander)
        across = [points.value(axis) + 0.8 * wander for axis in structure.coordinates or ()]
        oblique = [axis + OBLIQUITY * points.z for axis in across]
        septa = np.clip(2 * (wander - SEPTA_FROM), 0, 1) * self._septa.sample(oblique, size_mm[:2])
        between = self._fascicles.sample(across, size_mm[:2]) + self._infiltration * septa
        return np.maximum(1 - between, 0.1)

    def _ligament(self, structure: Structure, points: Points, size_mm: Vector) -> Array:
        """Strands and what lies between them, where a ligament has any."""
        if not structure.coordinates:
            return self._grained(structure, points, size_mm)
        across = [points.value(axis) for axis in structure.coordinates]
        return 1 + BETWEEN_STRANDS * self._strands.sample(across, size_mm[:2])

    def _fat(
        self, lobules: Texture, structure: Structure, points: Points, size_mm: Vector
    ) -> Array:
        """Lobules between curved septa."""
        wander = points.value(self._wander)
        septa = lobules.sample([axis + BEND_MM * wander for axis in points.axes], size_mm)
        return self._lobular(septa, points, size_mm)

    def _subcutaneous_fat(self, structure: Structure, points: Points, size_mm: Vector) -> Array:
        """Flat lobules in two layers, with the superficial fascia between them."""
        bend = BEND_MM * points.value(self._wander)
        around, outwards, along = (points.value(axis) for axis in structure.coordinates or ())
        outwards = outwards + bend
        size = float(np.sqrt(size_mm[0] * size_mm[1]))
        septa = self._flat_lobules.sample(
            (around + bend, outwards, along), (size, size, size_mm[2])
        )
        fascia = (SUPERFICIAL_FASCIA_MM + size) / 2 - np.abs(outwards)
        fascia = np.clip(fascia, 0, min(size, SUPERFICIAL_FASCIA_MM)) / size
        return self._lobular(septa + fascia, points, size_mm)

    def _lobular(self, septa: Array, points: Points, size_mm: Vector) -> Array:
        """Fat with a grain, and septa, which are not sheets without holes."""
        grain = self._grain.sample(points.axes, size_mm)
        broken = np.maximum(0.8 + grain, 0)
        return (1 + 0.2 * grain) * (1 + (SEPTUM_OVER_FAT - 1) * broken * septa)


def _columns(rng: np.random.Generator, cell_mm: float, wall_mm: float) -> Tile:
    return foam(rng, dimensions=2, cell_mm=cell_mm, wall_mm=wall_mm, step_mm=0.1, samples=512)


def _lobules(rng: np.random.Generator, cell_mm: float, wall_mm: float) -> Tile:
    return foam(rng, dimensions=3, cell_mm=cell_mm, wall_mm=wall_mm, step_mm=0.3, samples=96)
