"""How proton density varies within the tissues of a knee.

What a voxel lacks of muscle is fat or connective tissue with next to no signal, and what a voxel of
fat holds of a septum is brighter than it. So texture changes the amplitude of both echoes alike,
and leaves T2 exact in every voxel of one tissue.
"""

from collections.abc import Callable

import numpy as np

from phantom.anatomy.implicit_surfaces import Array, Points, Vector
from phantom.anatomy.structure import Structure
from phantom.anatomy.texture import Texture, Tile, foam, random_texture
from phantom.anatomy.tissues import LABELS, values_by_label

# Fascicles of muscle and what lies between them, as (diameter, thickness) in mm. Fascicles measure
# 0.3 to 1 mm and are bundled. The thicknesses are a choice that makes 6 % of a muscle what it is
# not: in healthy thighs 2 to 6 % of the signal is fat, and the perimysium is collagen.
FASCICLES_MM, BUNDLES_MM, SEPTA_MM = (0.8, 0.02), (2.6, 0.08), (9.0, 0.35)
SEPTA_FROM = 0.0  # of a slow field of unit spread: septa show in a third of a muscle
LOBULES_MM = (4.0, 0.22)  # of fat: lobules of 3 to 10 mm between walls of 0.1 to 0.5 mm
HOFFA_LOBULES_MM = (3.5, 0.3)
# Proton density of connective tissue and small vessels over that of fat after water excitation.
SEPTUM_OVER_FAT = 2.6
TRABECULAR_SPREAD = 0.35  # before voxels average over trabeculae 0.6 to 0.8 mm apart
# The flat bundles of the anterior cruciate ligament, and the loose tissue between them, which shows
# as striations: so much more proton density than that of the bundles (a choice).
STRANDS_MM, BETWEEN_STRANDS = (1.6, 0.35), 1.6
SLOW_SPREAD = 0.04  # over centimetres
T2_SPREAD = 0.03

MUSCLE = LABELS["muscle"]
LOBULAR = {LABELS[name] for name in ("subcutaneous_fat", "intermuscular_fat", "hoffa_fat_pad")}
TRABECULAR = {LABELS[name] for name in ("marrow", "red_marrow", "bone_marrow_lesion")}
FIBROUS = {
    LABELS[name] for name in ("tendon", "ligament", "cruciate_ligament", "nerve", "capsule", "skin")
}

Sampler = Callable[[Points, Vector], Array]


class TissueTextures:
    """The textures of one knee.

    Args:
        rng: source of the random fields.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._slow = random_texture(rng, (1.6, 1.6, 1.6), 3.8)
        self._grain = random_texture(rng, (0.3, 0.3, 0.3), 2.0)
        self._fibres = random_texture(rng, (0.35, 0.35, 4.0), 2.0)
        self._trabeculae = random_texture(rng, (0.3, 0.3, 0.5), 1.5)
        self._infiltration = float(rng.choice([1.0, 1.0, 1.0, 2.0]) * rng.uniform(0.6, 1.4))
        fascicles = _columns(rng, *FASCICLES_MM) + _columns(rng, *BUNDLES_MM)
        self._fascicles = Texture(fascicles, (0.1, 0.1))
        self._strands = Texture(_columns(rng, *STRANDS_MM), (0.1, 0.3))
        self._septa = Texture(_columns(rng, *SEPTA_MM), (0.1, 0.1))
        self._lobules, self._hoffa = (
            Texture(
                foam(rng, dimensions=3, cell_mm=cell, wall_mm=wall, step_mm=0.3, samples=96),
                (0.3, 0.3, 0.3),
            )
            for cell, wall in (LOBULES_MM, HOFFA_LOBULES_MM)
        )
        self._spread = values_by_label("spread")

    def relative_t2(self, points: Points) -> Array:
        """T2 over that of the tissue at points, (n,)."""
        return np.float32(1) + T2_SPREAD * points.value(self._slowly)

    def _slowly(self, points: Points) -> Array:
        """A field of unit spread that changes over centimetres."""
        return self._slow.sample(points.axes)

    def relative_density(self, structure: Structure, points: Points, size_mm: Vector) -> Array:
        """The proton density of points within a structure over that of its tissue.

        Args:
            structure: the body that all points lie in.
            points: (n,), reference mm.
            size_mm: of the boxes around the points that are averaged over, along (x, y, z).

        Returns:
            (n,), 1 on average, and more where strands lie apart.
        """
        slow = 1 + SLOW_SPREAD * points.value(self._slowly)
        if structure.label == MUSCLE:
            return slow * self._muscle(structure, points, size_mm)
        if structure.across:
            across = [points.value(axis) for axis in structure.across]
            return slow * (1 + BETWEEN_STRANDS * self._strands.sample(across, size_mm[:2]))
        if structure.label in LOBULAR:
            return slow * self._fat(structure.label, points, size_mm)
        if structure.label in TRABECULAR:
            grain = self._trabeculae.sample(points.axes, size_mm)
            return slow * np.maximum(1 + TRABECULAR_SPREAD * grain, 0)
        texture = self._fibres if structure.label in FIBROUS else self._grain
        return slow * (1 + self._spread[structure.label] * texture.sample(points.axes, size_mm))

    def _muscle(self, structure: Structure, points: Points, size_mm: Vector) -> Array:
        """1 less what lies between fascicles, their bundles and, in places, wider septa."""
        across = [points.value(axis) for axis in structure.across or ()]
        wander = points.value(self._slowly)
        across = [axis + 0.8 * wander for axis in across]
        septa = np.clip(2 * (wander - SEPTA_FROM), 0, 1) * self._septa.sample(across, size_mm[:2])
        between = self._fascicles.sample(across, size_mm[:2]) + self._infiltration * septa
        return np.maximum(1 - between, 0.1)

    def _fat(self, label: int, points: Points, size_mm: Vector) -> Array:
        """Lobules between septa, each with its grain."""
        lobules = self._hoffa if label == LABELS["hoffa_fat_pad"] else self._lobules
        septa = lobules.sample(points.axes, size_mm)
        grain = self._grain.sample(points.axes, size_mm)
        broken = np.maximum(0.8 + grain, 0)  # septa are not sheets without holes
        return (1 + 0.2 * grain) * (1 + (SEPTUM_OVER_FAT - 1) * broken * septa)


def _columns(rng: np.random.Generator, cell_mm: float, wall_mm: float) -> Tile:
    return foam(rng, dimensions=2, cell_mm=cell_mm, wall_mm=wall_mm, step_mm=0.1, samples=512)
