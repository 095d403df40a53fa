"""Joint fluid: a film on the cartilage and pools in the recesses of the capsule.

A healthy knee holds about 3 ml, an effusion 10 ml and more (21 and 79 ml in inactive and active
arthritis; Ugeskr Laeger 1997, 159:3956, PubMed 9214070). Recesses lie on the bones or, above the
patella, on the fat before the femur. They are flat while little fluid fills them: the suprapatellar
pouch of a cadaver is 4 mm deep with 4 ml in the knee (Schweitzer et al. 1992, AJR 159:361). More of
it pushes their walls apart by a distance that is solved for the volume.

Places and sizes of recesses, and how much each opens, are our choice after the anatomy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np
from scipy.optimize import bisect

from phantom.anatomy.bones import Bone
from phantom.anatomy.implicit_surfaces import (
    Array,
    Points,
    Surface,
    Vector,
    by_height,
    dilated,
    smooth_max,
    smooth_min,
    union,
)

MEDIAN_ML, SPREAD, HEALTHY_ML = 3.0, 0.45, (1.2, 6.0)  # log-normal, clipped
EFFUSION_ML = (10.0, 60.0)  # uniform in the logarithm
FILM_MM = (0.1, 0.2)  # on each cartilage
LINING_MM = (0.3, 0.5)  # synovium of a healthy knee; up to three times as much around an effusion
CAPSULE_MM = (1.0, 1.6)
BURSA_MM = 0.3  # half the depth of a bursa
ROUNDED_MM = 2.5  # where recesses run into each other
LARGEST_GAP_MM = 40.0
BELOW_FASCIA_MM = 1.5
BEFORE_GROOVE_MM = 4.0  # what fluid reaches before the trochlear groove: the quadriceps tendon
PREFEMORAL_FAT_MM = by_height([48, 62, 78, 100], [1.0, 5.0, 7.0, 8.0])
# Part of all knees: 33 to 89 % and 18 to 72 % are reported (PMC6036933, table 3).
SUPRAPATELLAR_PLICA, MEDIAL_PLICA = 0.6, 0.45
# Volumes are measured on a random point in each cell of a grid that contains the capsule.
CELL_MM, LOW_MM, HIGH_MM = 2.2, (-48.0, -36.0, -24.0), (48.0, 46.0, 112.0)


@dataclass(frozen=True, eq=False)
class Recess:
    """A patch of a sheet from which the walls of a recess part.

    Attributes:
        sheet: signed distance from the sheet.
        centre: of the patch, which lies within an ellipsoid, mm.
        radii: of the ellipsoid, mm.
        share: how far the walls part, relative to those of the suprapatellar pouch.
    """

    sheet: Surface
    centre: Vector
    radii: Vector
    share: float

    def away(self, p: Points) -> Array:
        """Distance from the centre relative to the radii."""
        (cx, cy, cz), (rx, ry, rz) = self.centre, self.radii
        squared = ((p.x - cx) / rx) ** 2 + ((p.y - cy) / ry) ** 2 + ((p.z - cz) / rz) ** 2
        return np.sqrt(squared)

    def flat(self, p: Points) -> Array:
        """Distance from the patch; it grows a little within, so that a little fluid is a lens."""
        beyond = p.value(self.away) - 1
        rim = (beyond + np.sqrt(beyond * beyond + 0.05)) * (min(self.radii) / 2)
        distance = p.value(self.sheet)
        return np.sqrt(rim * rim + distance * distance)  # np.hypot takes ten times as long

    def filled(self, gap_mm: float, p: Points) -> Array:
        """The recess with walls that part by `share` times `gap_mm`, most in the middle."""
        return p.value(self.flat) - self.share * gap_mm / (2 + p.value(self.away) ** 2)


@dataclass(frozen=True, eq=False)
class JointFluid:
    """The fluid of a knee and what is around it, each painted over the one before it.

    Attributes:
        capsule: the fibrous sheets around it, behind the joint and at its sides.
        lining: the synovium.
        surfaces: of the fluid.
        volume_ml: of the fluid between all other tissues, in the reference knee.
        gap_mm: by which it pushes the walls of the suprapatellar pouch apart.
    """

    capsule: Surface
    lining: Surface
    surfaces: list[Surface]
    volume_ml: float
    gap_mm: float


def random_volume_ml(rng: np.random.Generator, *, effusion: bool) -> float:
    """The volume of the fluid of a random healthy knee or effusion."""
    if effusion:
        return float(np.exp(rng.uniform(*np.log(EFFUSION_ML))))
    return float(np.clip(MEDIAN_ML * np.exp(SPREAD * rng.normal()), *HEALTHY_ML))


def joint_fluid(
    rng: np.random.Generator,
    joint: dict[str, Bone],
    solids: Sequence[Surface],
    fascia: Surface,
    patella: Vector,
    volume_ml: float,
) -> JointFluid:
    """Fluid of a volume.

    Args:
        rng: source of random thicknesses.
        joint: the bones by the names "femoral", "tibial" and "patellar".
        solids: other tissues that fluid does not enter.
        fascia: encloses all fluid.
        patella: the middle of the back of the patella, mm.
        volume_ml: aimed at; that of the films is the least.
    """
    film_mm = rng.uniform(*FILM_MM)
    lining_mm = rng.uniform(*LINING_MM) * (1 + 2 * min(volume_ml / EFFUSION_ML[1], 1))
    films = [partial(_film, bone, film_mm) for bone in joint.values()]
    recesses = _varied(rng, _recesses(joint, patella[2]))
    inside = _inside(fascia, patella[1] - BEFORE_GROOVE_MM)
    pools = partial(_pools, recesses, inside, _random_plicae(rng, lining_mm, patella[2]))
    solid = union(*(bone.outer for bone in joint.values()), *solids)
    gap_mm, measured_ml = _solved(volume_ml, pools, union(*films), _outside(rng, solid))
    surface = partial(pools, gap_mm)
    around_mm = lining_mm + rng.uniform(*CAPSULE_MM)
    capsule = partial(_capsule, _capsular_sheets(joint), surface, around_mm)
    return JointFluid(capsule, dilated(surface, lining_mm), [*films, surface], measured_ml, gap_mm)


def _film(bone: Bone, thickness_mm: float, p: Points) -> Array:
    """On the cartilage of a bone."""
    return np.maximum(p.value(bone.outer) - thickness_mm, 0.5 - p.value(bone.thickness))


def _pools(
    recesses: Sequence[Recess], inside: Surface, plicae: Surface, gap_mm: float, p: Points
) -> Array:
    """The recesses, filled, run together, bounded and parted by plicae."""
    body = reduce(partial(smooth_min, radius=ROUNDED_MM), (r.filled(gap_mm, p) for r in recesses))
    return np.maximum(smooth_max(body, p.value(inside), ROUNDED_MM), -p.value(plicae))


def _inside(fascia: Surface, front_y: float) -> Surface:
    """Below the fascia and behind the quadriceps tendon."""
    return lambda p: np.maximum(p.value(fascia) + BELOW_FASCIA_MM, front_y - p.y)


def _random_plicae(rng: np.random.Generator, lining_mm: float, patella_z: float) -> Surface:
    """Folds of synovium, twice as thick as it, that reach into the fluid from the medial wall."""
    z, x = patella_z + rng.uniform(24, 32), rng.uniform(-24, -20)
    has_suprapatellar, has_medial = rng.random(2) < (SUPRAPATELLAR_PLICA, MEDIAL_PLICA)
    reach = rng.uniform(-12, 10)

    def folds(p: Points) -> Array:
        fold = np.full_like(p.x, LARGEST_GAP_MM)
        if has_suprapatellar:
            sloped = np.abs(p.z - z - 0.3 * (p.y + 20))
            fold = np.maximum(sloped - lining_mm, p.x - reach)
        if has_medial:
            upright = np.abs(p.x - x - 0.2 * (p.z - patella_z)) - lining_mm
            fold = np.minimum(fold, np.maximum(upright, np.abs(p.z - patella_z) - 16))
        return fold

    return folds


def _recesses(joint: dict[str, Bone], patella_z: float) -> list[Recess]:
    """The recesses of the capsule, in reference mm (x lateral, y posterior, z superior)."""
    femur, tibia, z = joint["femoral"].outer, joint["tibial"].outer, patella_z
    across = union(femur, tibia, radius=10)

    def prefemoral(p: Points) -> Array:
        return p.value(femur) - PREFEMORAL_FAT_MM(p)

    return [
        Recess(prefemoral, (1, -20, z + 25), (27, 16, 19), 1.0),  # suprapatellar pouch
        Recess(prefemoral, (1, -20, z + 43), (20, 14, 18), 0.8),
        *_both(femur, (27, -17, z + 2), (9, 9, 11), 0.45),  # beside the patella
        *_both(femur, (37, -8, 23), (9, 10, 11), 0.3),  # gutters beside the condyles
        *_both(across, (20, 33, 22), (10, 12, 11), 0.45),  # behind the condyles
        Recess(femur, (0, -20, 19), (9, 8, 6), 0.3),  # above Hoffa's fat pad
        Recess(tibia, (0, -13, 1), (10, 8, 7), 0.45),  # below it
        Recess(femur, (0, 2, 13), (9, 9, 7), 0.3),  # before and beside the cruciate ligaments
        Recess(tibia, (0, 25, 2), (7, 7, 7), 0.3),
        *_both(tibia, (20, 27, -1), (9, 7, 5), 0.3),  # below the posterior horns
        Recess(tibia, (30, 25, -8), (6, 7, 11), 0.4),  # around the popliteus tendon
        *_both(tibia, (36, 4, -4), (6, 12, 4), 0.12),  # below the rims of the menisci
    ]


def _both(sheet: Surface, centre: Vector, radii: Vector, share: float) -> list[Recess]:
    """The same recess on both sides."""
    x, *rest = centre
    return [Recess(sheet, (side * x, *rest), radii, share) for side in (-1, 1)]


def _varied(rng: np.random.Generator, recesses: Sequence[Recess]) -> list[Recess]:
    """Each recess with a size and a share of its own."""
    return [
        Recess(
            recess.sheet,
            recess.centre,
            np.multiply(recess.radii, rng.uniform(0.85, 1.15)).tolist(),
            recess.share * rng.uniform(0.7, 1.3),
        )
        for recess in recesses
    ]


def _capsular_sheets(joint: dict[str, Bone]) -> list[Recess]:
    """Where the fibrous capsule shows: behind the condyles, from femur to tibia, and beside."""
    across = union(joint["femoral"].outer, joint["tibial"].outer, radius=10)
    return [
        *_both(across, (20, 31, 14), (15, 15, 24), 0),
        *_both(across, (37, 6, 8), (9, 17, 16), 0),
    ]


def _capsule(sheets: Sequence[Recess], fluid: Surface, around_mm: float, p: Points) -> Array:
    """Sheets of the capsule that run around the fluid, but for the suprapatellar pouch."""
    low = smooth_max(p.value(fluid), np.maximum(p.z - 42, -12 - p.y), ROUNDED_MM)
    sheet = reduce(np.minimum, (p.value(recess.flat) for recess in sheets))
    return smooth_min(low, sheet, ROUNDED_MM) - around_mm


def _solved(
    volume_ml: float, pools: Callable[[float, Points], Array], films: Surface, points: Points
) -> tuple[float, float]:
    """The gap (mm) with which films and pools have a volume, and their volume."""
    in_film = films(points) < 0

    def measured_ml(gap_mm: float) -> float:
        return float(np.count_nonzero((pools(gap_mm, points) < 0) | in_film)) * CELL_MM**3 / 1000

    gap_mm = 0.0
    if measured_ml(gap_mm) < volume_ml:
        gap_mm = float(
            bisect(lambda gap: measured_ml(gap) - volume_ml, 0, LARGEST_GAP_MM, xtol=0.02)
        )
    return gap_mm, measured_ml(gap_mm)


def _outside(rng: np.random.Generator, solid: Surface) -> Points:
    """A random point in each cell of the grid whose point is not in a solid."""
    axes = [np.arange(low, high, CELL_MM) for low, high in zip(LOW_MM, HIGH_MM, strict=True)]
    corners = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    positions = corners + CELL_MM * rng.random(corners.shape)
    points = Points(*positions.astype(np.float32))
    return points.take(np.flatnonzero(solid(points) > 0))


def bursae(joint: dict[str, Bone], patella: Vector) -> list[Surface]:
    """A trace of fluid below the patellar tendon, before the patella and below the pes anserinus.

    Args:
        joint: the bones by name.
        patella: the middle of the back of the patella, mm.
    """
    tibia, (x, y, z) = joint["tibial"].outer, patella
    places = [
        Recess(dilated(tibia, 1.0), (3, -24, -27), (7, 6, 6), 2.0),
        Recess(dilated(joint["patellar"].outer, 2.6), (x, y - 24, z), (8, 8, 8), 1.2),
        Recess(dilated(tibia, 2.2), (-19.5, -8, -46), (7, 8, 9), 1.2),
    ]
    return [partial(place.filled, BURSA_MM) for place in places]
