"""Ligaments, tendons and retinacula, in reference mm (x lateral, y posterior, z superior).

Where a ligament starts on a bone, its path starts a few mm inside it.
"""

from collections.abc import Sequence

import numpy as np

from phantom.anatomy.bones import Bone
from phantom.anatomy.implicit_surfaces import Capsule, Surface, Vector, cord, first_hit

WITHIN_MM = 2.0  # how far a path continues into the bone it is attached to
PLICA_SHARE = 0.7  # of knees with a ligamentous infrapatellar plica
# Layers of the quadriceps tendon in MRI: 2 in 30 % of knees, 3 in 56 %, 4 in 8 %. It is 7.2 mm
# thick, the patellar tendon 5.2 mm (doi 10.1007/bf00538442).
LAYERS, LAYER_SHARES = (1, 2, 3, 4), (0.06, 0.3, 0.56, 0.08)
QUADRICEPS_MM, PATELLAR_TENDON_MM, BETWEEN_LAYERS_MM = 7.2, 5.2, 0.7


def _varied(
    rng: np.random.Generator, path: Sequence[Vector], spread_mm: float = 0.8
) -> list[Vector]:
    """A path whose points are moved a little from knee to knee."""
    moved = np.asarray(path, float) + rng.normal(0, spread_mm, (len(path), 3))
    return [tuple(position) for position in moved.tolist()]


def _attached(surface: Surface, outside: Vector, inside: Vector, lift_mm: float) -> Vector:
    """The point at a height above a bone, on the line from `outside` to `inside`."""
    outwards = np.subtract(outside, inside)
    unit = outwards / np.linalg.norm(outwards)
    return tuple((first_hit(surface, outside, inside) + lift_mm * unit).tolist())


def anterior_cruciate(rng: np.random.Generator, notch_mm: float) -> list[Capsule]:
    """Both bundles of the anterior cruciate ligament, which fan out towards both bones.

    It rises at 51 degrees to the plateau, almost parallel to the roof of the notch (4.7 degrees;
    Raja et al. 2020, doi 10.7759/cureus.7511), from a footprint 15 mm long at 43 % of the tibia. It
    is 12 mm thick at the femur, 7 in the middle and 13 at the tibia (Rai et al. 2022).

    Args:
        rng: source of variation.
        notch_mm: half the width of the intercondylar notch.
    """
    wall = notch_mm + 1.5
    thick = rng.normal(1, 0.1)
    anteromedial = [(-0.5, -2.5, 0), (3.5, 6.5, 13), (wall, 18.5, 27)]
    posterolateral = [(3.0, 4.5, 0), (6.0, 10.5, 10.5), (wall, 17.5, 20.5)]
    return [
        *cord(_varied(rng, anteromedial), thick * np.array([3.6, 2.6, 3.1]), (0, 1, -1), 1.5),
        *cord(_varied(rng, posterolateral), thick * np.array([3.2, 2.2, 2.8]), (0, 1, -1), 1.5),
    ]


def posterior_cruciate(rng: np.random.Generator, notch_mm: float) -> list[Capsule]:
    """The posterior cruciate ligament, an arc with an angle of 129 degrees.

    Args:
        rng: source of variation.
        notch_mm: half the width of the intercondylar notch.
    """
    path = [
        (-notch_mm - 1, 0.5, 9.5), (-6, 8, 14), (-3.5, 19, 13.5), (-1.5, 26, 6), (-0.5, 27.5, -4),
        (-0.5, 22.5, -11),
    ]  # fmt: skip
    radius = np.array([4.0, 3.5, 3.1, 3.2, 3.5, 3.8]) * rng.normal(1, 0.08)
    return cord(_varied(rng, path, 0.6), radius, (1, 0, 0), 1.3)


def collaterals(rng: np.random.Generator, joint: dict[str, Bone]) -> list[Capsule]:
    """The medial collateral ligament, superficial and deep, and the lateral one, a cord.

    The superficial one reaches from 31 mm above to 62 mm below the joint, the deep one from 20 mm
    above to 6.5 mm below (Liu et al. 2010, doi 10.1186/1749-799x-5-69). The lateral one measures
    61 x 4.1 x 2.0 mm (Acta Anatomica Sinica 2011, 42:513).

    Args:
        rng: source of variation.
        joint: the bones by name.
    """
    femur, tibia = joint["femoral"].outer, joint["tibial"].outer
    y = 2 + rng.normal(0, 1.5)

    def medial(bone: Surface, z: float, lift_mm: float, forward: float = 0.0) -> Vector:
        return _attached(bone, (-75, y - forward, z), (0, y - forward, z), lift_mm)

    superficial = [
        medial(femur, 31, -WITHIN_MM), medial(femur, 24, 2.2), medial(tibia, -5, 3.0),
        medial(tibia, -22, 1.6, 1), medial(tibia, -45, 1.0, 3), medial(tibia, -60, 0.0, 4),
    ]  # fmt: skip
    deep = [
        medial(femur, 20.5, -1.0), medial(femur, 14, 0.8), medial(tibia, -3, 1.0),
        medial(tibia, -7.5, -1.0),
    ]  # fmt: skip
    lateral = [
        _attached(femur, (75, 11, 25), (0, 11, 25), -WITHIN_MM), (43.5, 15, 11), (40.5, 22, -14),
    ]  # fmt: skip
    thick = rng.normal(1, 0.12)
    return [
        *cord(superficial, 0.85 * thick, (0.1, 1, 0), 6.5),
        *cord(deep, 0.6 * thick, (0, 1, 0), 9),
        *cord(lateral, 1.1 * thick, (0, 1, 0.3), 1.8),
    ]


def retinacula(rng: np.random.Generator, joint: dict[str, Bone], patella_z: float) -> list[Capsule]:
    """The medial and the lateral patellar retinaculum, 1 to 2 mm thick, and the plica of Hoffa.

    Args:
        rng: source of variation.
        joint: the bones by name.
        patella_z: height of the middle of the patella.
    """
    femur, patella, z = joint["femoral"].outer, joint["patellar"].outer, patella_z
    bands = []
    for side in (-1, 1):
        edge = _attached(patella, (side * 60, -34, z), (1, -34, z), -WITHIN_MM)
        middle = _attached(femur, (side * 50, -40, 30), (0, 0, 30), 2.0)
        back = _attached(femur, (side * 75, 0, 26), (0, 0, 26), 1.5)
        bands += cord([back, middle, edge], float(rng.uniform(0.5, 0.9)), (0, 0.2, 1), 13)
    plica = [(0, -2, 13), (0, -10, 13.5), (1, -24, z - 16)]
    return bands + (cord(plica, 0.6) if rng.random() < PLICA_SHARE else [])


def tendons(
    rng: np.random.Generator, joint: dict[str, Bone], patella_y: float, patella_z: float
) -> list[Capsule]:
    """The tendons around the knee.

    Args:
        rng: source of variation.
        joint: the bones by name.
        patella_y: y of the middle of the patella, at whose poles two tendons start.
        patella_z: height of the middle of the patella.
    """
    return [
        *_extensor_tendons(rng, patella_y, patella_z),
        *_lateral_tendons(rng, joint),
        *_medial_tendons(rng, joint["tibial"].outer),
    ]


def _extensor_tendons(rng: np.random.Generator, y: float, z: float) -> list[Capsule]:
    half = PATELLAR_TENDON_MM / 2 * rng.normal(1, 0.1)
    patellar = [(1, y - 1, z - 16), (2, y - 1, z - 25), (3, -27, -22), (3, -23, -46)]
    layers = int(rng.choice(LAYERS, p=LAYER_SHARES))
    pitch = (QUADRICEPS_MM * rng.normal(1, 0.1) + BETWEEN_LAYERS_MM) / layers
    thickness = pitch - BETWEEN_LAYERS_MM
    cords = cord(patellar, [half * 0.9, half, half, half * 0.75], (1, 0, 0), 5.0)
    for number in range(layers):  # from behind
        front = (number - (layers - 1) / 2) * pitch
        path = [(1, y - 1 - 0.8 * front, z + 15), (1, y - front, z + 28), (1, y + 4 - front, 100)]
        cords += cord(path, thickness / 2, (1, 0, 0), 26 / layers / thickness)
    prepatellar = [(1, y - 8, z + 15), (1, y - 12.3, z), (1, y - 8, z - 15)]
    return cords + cord(prepatellar, 0.6, (1, 0, 0), 20)


def _lateral_tendons(rng: np.random.Generator, joint: dict[str, Bone]) -> list[Capsule]:
    """The iliotibial tract, biceps femoris and popliteus."""
    femur, tibia = joint["femoral"].outer, joint["tibial"].outer
    x, y, z = _attached(femur, (75, -4, 24), (0, -4, 24), 2.5)
    gerdy = _attached(tibia, (60, -30, -12), (0, 6, -12), -1.0)
    popliteus = _attached(femur, (75, 5, 13), (0, 5, 13), -WITHIN_MM)
    return [
        *cord([(47, -2, 90), (x + 1.5, y + 1, z + 15), (x, y - 2, z - 12), gerdy],
              rng.uniform(0.8, 1.1), (0, 1, 0), 9),
        *cord(_varied(rng, [(41, 31, 50), (44, 29, 10), (38, 25, -14)], 0.6), [1.6, 2.0, 2.5]),
        *cord([popliteus, (40.5, 17, 6), (37, 26, 1), (24, 33, -10)], [2.0, 2.0, 1.9, 1.8],
              (0, 0, 1), 1.4),
    ]  # fmt: skip


def _medial_tendons(rng: np.random.Generator, tibia: Surface) -> list[Capsule]:
    """Semimembranosus, and the pes anserinus: sartorius, gracilis and semitendinosus."""
    corner = _attached(tibia, (-60, 60, -9), (0, 0, -9), -WITHIN_MM)
    pes = [_attached(tibia, (-50, -40, z), (0, 5, z), -0.5) for z in (-48, -54)]
    beside = [_attached(tibia, (-60, 4, z), (0, 4, z), 4.0) for z in (-32, -40)]
    return [
        *cord([(-22, 37, 24), (-27, 36, 6), corner], [2.2, 2.5, 2.2], (1, 1, 0), 1.4),
        *cord([(-44, 36, 90), (-43, 36, 12), (-38, 20, -18), beside[0], pes[0]],
              [1.6, 1.6, 1.5, 1.2, 0.8], (0, 0, 1), 1.6),
        *cord([(-22, 51, 60), (-33, 45, 10), (-36, 28, -18), beside[1], pes[1]],
              [1.9, 2.0, 1.8, 1.2, 0.8], (0, 0, 1), 1.6),
    ]  # fmt: skip
