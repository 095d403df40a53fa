"""Joint fluid: a film on the cartilage and pools in the recesses of the capsule.

A healthy knee holds about 3 ml, an effusion 10 ml and more (21 and 79 ml in inactive and active
arthritis; Ugeskr Laeger 1997, 159:3956, PubMed 9214070). Recesses are flat while little fluid fills
them. More of it pushes their walls apart by a distance that is solved for the volume.
"""

from collections.abc import Sequence
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
    dilated,
    disc,
    smooth_max,
    smooth_min,
    union,
)

MEDIAN_ML, SPREAD, HEALTHY_ML = 3.0, 0.45, (1.2, 6.0)  # log-normal, clipped
EFFUSION_ML = (10.0, 60.0)  # uniform in the logarithm
FILM_MM = (0.15, 0.25)  # on each cartilage
LINING_MM = (0.3, 0.5)  # synovium of a healthy knee; up to three times as much around an effusion
ROUNDED_MM = 2.5  # where recesses run into each other
GAPS_MM = (0.0, 25.0)
BELOW_FASCIA_MM = 1.5
# Volumes are measured on a random point in each cell of a grid that contains the capsule.
CELL_MM, LOW_MM, HIGH_MM = 2.2, (-48.0, -36.0, -24.0), (48.0, 46.0, 112.0)


@dataclass(frozen=True, eq=False)
class JointFluid:
    """The fluid of a knee and the synovium around it.

    Attributes:
        surfaces: of the fluid.
        lining: of the synovium, which is painted first.
        volume_ml: of the fluid between all other tissues, in the reference knee.
        gap_mm: by which it pushes the walls of the suprapatellar pouch apart.
    """

    surfaces: list[Surface]
    lining: list[Surface]
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
    patella_z: float,
    volume_ml: float,
) -> JointFluid:
    """Fluid of a volume.

    Args:
        rng: source of random thicknesses.
        joint: the bones by the names "femoral", "tibial" and "patellar".
        solids: other tissues that fluid does not enter.
        fascia: encloses all fluid.
        patella_z: height of the middle of the patella.
        volume_ml: aimed at; that of the films is the least.
    """
    film_mm, lining_mm = rng.uniform(*FILM_MM), rng.uniform(*LINING_MM)
    films = [partial(_film, bone, film_mm) for bone in joint.values()]
    pools = partial(_pools, _random_recesses(rng, patella_z), dilated(fascia, -BELOW_FASCIA_MM))
    points = _random_points(rng)
    outside = union(*(bone.outer for bone in joint.values()), *solids)(points) > 0
    points = points.take(np.flatnonzero(outside))
    in_film = union(*films)(points) < 0

    def measured_ml(gap_mm: float) -> float:
        return float(np.count_nonzero((pools(gap_mm, points) < 0) | in_film)) * CELL_MM**3 / 1000

    low, high = GAPS_MM
    gap_mm = low
    if measured_ml(low) < volume_ml:
        gap_mm = float(bisect(lambda gap: measured_ml(gap) - volume_ml, low, high, xtol=0.02))
    surface = partial(pools, gap_mm)
    lining_mm *= 1 + 2 * min(volume_ml / EFFUSION_ML[1], 1)
    return JointFluid([*films, surface], [dilated(surface, lining_mm)], measured_ml(gap_mm), gap_mm)


def _film(bone: Bone, thickness_mm: float, p: Points) -> Array:
    """On the cartilage of a bone."""
    return np.maximum(p.value(bone.outer) - thickness_mm, 0.5 - p.value(bone.thickness))


# The plane of an empty recess, and how far its walls part relative to those of the pouch.
Recess = tuple[Surface, float]


def _pools(recesses: Sequence[Recess], inside: Surface, gap_mm: float, p: Points) -> Array:
    """The recesses, filled, run together and bounded by the fascia."""
    filled = [p.value(flat) - share * gap_mm / 2 for flat, share in recesses]
    body = reduce(partial(smooth_min, radius=ROUNDED_MM), filled)
    return smooth_max(body, p.value(inside), ROUNDED_MM)


# Centre and radii of a recess, and how far its walls part relative to those of the pouch.
Place = tuple[Vector, Vector, float]


def _random_recesses(rng: np.random.Generator, patella_z: float) -> list[Recess]:
    """Each recess with a size and a share of its own."""
    return [
        (
            disc(centre, np.multiply(radii, rng.uniform(0.7, 1.3)).tolist()),
            share * rng.uniform(0.5, 1.5),
        )
        for centre, radii, share in _recesses(patella_z)
    ]


def _recesses(patella_z: float) -> list[Place]:
    """The recesses of the capsule, in reference mm (x lateral, y posterior, z superior)."""
    z = patella_z

    def both(centre: Vector, radii: Vector, share: float) -> list[Place]:
        x, *rest = centre
        return [((side * x, *rest), radii, share) for side in (-1, 1)]

    return [
        ((1, -19, z + 26), (15, 0, 22), 1.0),  # suprapatellar pouch
        ((1, -19, z + 22), (8, 0, 12), 1.3),
        *both((22, -16, z + 2), (5, 0, 9), 0.6),  # beside the patella
        *both((38, -4, 27), (0, 9, 9), 0.5),  # gutters beside the condyles
        *both((31, 1, 45), (0, 7, 8), 0.5),
        ((0, -13, 17), (7, 0, 3), 0.4),  # above Hoffa's fat pad
        ((0, -13, 3), (6, 2, 0), 0.4),  # below it
        ((-7, 9, 13), (0, 9, 4), 0.35),  # beside the cruciate ligaments
        ((7.5, 13, 14), (0, 8, 4), 0.35),
        ((0, 27, 9), (4, 0, 6), 0.4),
        *both((21, 34, 15), (7, 0, 7), 0.5),  # behind the condyles
        ((34, 22, -4), (4, 3, 0), 0.4),  # around the popliteus tendon
        *both((34, 6, -3), (0, 8, 1.5), 0.12),  # below the rims of the menisci
    ]


def _random_points(rng: np.random.Generator) -> Points:
    axes = [np.arange(low, high, CELL_MM) for low, high in zip(LOW_MM, HIGH_MM, strict=True)]
    corners = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")])
    positions = corners + CELL_MM * rng.random(corners.shape)
    return Points(*positions.astype(np.float32))


def bursae() -> list[Surface]:
    """A trace of fluid below the patellar tendon and below the pes anserinus."""
    flat = disc((3, -24.5, -20), (7, 0, 6)), disc((-32, 9, -32), (0, 7, 8))
    return [dilated(plane, 0.4) for plane in flat]
