"""Menisci, ligaments, tendons and joint fluid.

Paths and sizes are those of an average adult in reference mm (x lateral, y posterior, z superior).
"""

from collections.abc import Sequence

import numpy as np

from phantom.anatomy.bones import PLATEAU_X, Bone
from phantom.anatomy.implicit_surfaces import (
    Array,
    Points,
    Surface,
    Vector,
    cord,
    dilated,
    displaced,
    ellipsoid,
    intersection,
    smooth_max,
    union,
)

# Thickness of the fluid beside a bone, relative to the half-thickness of a thin pocket.
FEMORAL_GUTTER, TIBIAL_GUTTER = 1.7, 1.1
# A flat layer of fluid: its path, half-thickness, the direction in which it is wide, half-width.
Pocket = tuple[Sequence[Vector], float, Vector, float]
# The regions with fluid below the rims of the menisci.
BELOW_MENISCI = [ellipsoid((-35, 19, -6), (10, 15, 9)), ellipsoid((36, 8, -5), (10, 17, 9))]


def meniscus(side: int, femur: Bone, plateau: Surface) -> Surface:
    """A wedge that fills the space between condyle and plateau rim and opens to the midline."""
    x0, y0 = side * PLATEAU_X, 5.5
    half_x, half_y = 16.8, (24.0 if side < 0 else 21.0)
    gap_deg = 55.0 if side < 0 else 38.0

    def surface(p: Points) -> Array:
        u, v = side * (p.x - x0) / half_x, (p.y - y0) / half_y
        r = np.sqrt(u * u + v * v)
        width = 0.44 + 0.1 * v  # the posterior horn is the wider one
        above = p.value(plateau)
        waist = 0.0035 * (above - 3) ** 2  # the outer wall is a little hollow
        ring = np.maximum(r - 1 - waist, (1 - width) - r) * 16
        rise = 6.2 * np.clip((r - 1 + width) / width, 0, 1) ** 0.8 + 0.3
        floor = smooth_max(above - rise, 0.25 - above, 0.8) * 0.9
        wedge = smooth_max(smooth_max(ring, floor, 1.5), 0.25 - p.value(femur.outer), 0.6)
        opening = (np.cos(np.deg2rad(gap_deg)) * r + u) * -14
        return smooth_max(wedge, opening, 2.0)

    return surface


def cruciates() -> list[Surface]:
    """The anterior and the posterior cruciate ligament."""
    return [
        *cord([(-3, -7, 3), (1, 2, 9), (6, 15, 22)], [4.5, 3.6, 4.8], (1, 0, 0.3), 1.3),
        *cord([(-6, -1, 12), (-3, 14, 17), (-1, 24, 8), (0, 30, -8)], [4.8, 4.6, 4.0, 4.4]),
    ]


def collaterals() -> list[Surface]:
    """The medial (a band) and the lateral (a cord) collateral ligament, and the retinacula."""
    return [
        *cord(
            [(-42.8, 3, 27), (-42.4, 2, 12), (-41.6, 1, 0), (-39.5, -1, -14), (-31, -3, -34),
             (-22, -5, -52)],
            [1.2, 0.8, 0.8, 0.8, 0.75, 0.7], (0.1, 1, 0), 7,
        ),
        *cord([(42.4, 12, 25), (44.2, 17, 8), (42, 21, -12)], [2.0, 1.7, 2.0]),
        *cord([(-41, -4, 28), (-34, -22, 34), (-20, -37, 37)], 0.7, (0, 0.3, 1), 12),
        *cord([(42, -6, 28), (34, -24, 34), (22, -37, 37)], 0.7, (0, 0.3, 1), 12),
    ]  # fmt: skip


def tendons(patella_y: float, patella_z: float) -> list[Surface]:
    """The tendons.

    Args:
        patella_y: y of the front half of the patella, at whose poles its tendons start.
        patella_z: height of the middle of the patella.
    """
    y, z = patella_y, patella_z
    return [
        *cord(
            [(1, y - 2, z - 14), (2, y - 1, z - 24), (3, -28, -22), (3, -25, -46)],
            [2.4, 2.4, 2.4, 1.8], (1, 0, 0), 5.5,
        ),
        *cord(
            [(1, y - 3, z + 13), (1, y + 1, z + 28), (1, y + 5, 100)],
            [2.8, 3.2, 3.0], (1, 0, 0), 4.5,
        ),
        *cord(
            [(46, -2, 90), (46, -4, 30), (43, -8, 4), (34, -14, -12)],
            [0.8, 0.9, 1.0, 1.2], (0, 1, 0), 9,
        ),
        *cord([(41, 31, 50), (44, 29, 10), (40, 25, -12)], [1.6, 2.0, 2.5]),
        *cord([(-22, 36, 20), (-28, 34, 0), (-31, 27, -10)], [2.2, 2.8, 3.0]),
        *cord([(-22, 51, 60), (-33, 45, 10), (-33, 20, -40)], [1.6, 1.9, 1.6]),
        *cord([(-44, 36, 90), (-40, 37, 10), (-33, 14, -42)], [1.4, 1.5, 1.3]),
        *cord([(42, 6, 13), (38.5, 24, 3), (24, 33, -10)], [2.0, 1.9, 1.8]),
    ]  # fmt: skip


def capsule() -> list[Surface]:
    """The joint capsule: thin sheets behind the condyles."""
    return [
        segment
        for side in (-1, 1)
        for segment in cord(
            [(side * 21, 27, 40), (side * 21, 35.5, 22), (side * 21, 34, 6), (side * 21, 30, -5)],
            0.5, (1, 0, 0), 26,
        )
    ]  # fmt: skip


def recesses(
    femur: Bone, tibia: Bone, fill_mm: float, patella_z: float, folds: Surface
) -> list[Surface]:
    """Fluid in the suprapatellar pouch, the gutters, the notch and the nearby bursae.

    Args:
        femur: carries the gutters and the wings of the pouch.
        tibia: carries the recesses below the menisci.
        fill_mm: half the thickness of the pouch; below 2 without an effusion, about 4 with one.
        patella_z: height of the middle of the patella.
        folds: folds of the synovium, a field of unit standard deviation.
    """
    z, thin = patella_z + 26, 0.95 + 0.22 * fill_mm
    pouch = cord(
        [(1, -20.5, z - 18), (1, -19, z), (1, -17.5, z + 16)],
        [fill_mm * 0.6, fill_mm, fill_mm * 0.5], (1, 0, 0), max(1.0, 15 / fill_mm),
    )  # fmt: skip
    gutters = [
        (intersection(dilated(bone.outer, mm), region, radius=mm), mm)
        for bone, mm, regions in (
            (femur, FEMORAL_GUTTER * thin, _beside_femur()),
            (tibia, TIBIAL_GUTTER * thin, BELOW_MENISCI),
        )
        for region in regions
    ]
    return [
        *(displaced(segment, 0.15 * fill_mm, folds) for segment in pouch),
        *(displaced(gutter, 0.6 * mm, folds) for gutter, mm in gutters),
        *(
            displaced(segment, 0.45 * half_thickness, folds)
            for path, half_thickness, wide_axis, half_width in _flat_pockets(thin)
            for segment in cord(path, half_thickness, wide_axis, half_width / half_thickness)
        ),
    ]


def _beside_femur() -> list[Surface]:
    """The regions with fluid on the medial and the lateral side of the femur.

    They are the gutters beside the condyles, in front of and behind the medial collateral ligament
    (which lies on the bone) and beneath the lateral one, and the wings of the pouch on the shaft.
    """
    medial = [ellipsoid((-40, -17, 27), (16, 15, 19)), ellipsoid((-36, 23, 22), (12, 11, 17))]
    lateral = [ellipsoid((40, -6, 25), (16, 18, 20)), ellipsoid((37, 20, 22), (12, 14, 17))]
    return [
        union(
            *beside_condyle,
            ellipsoid((s * 32, 0, 48), (14, 18, 13)),
            ellipsoid((s * 18, 0, 64), (12, 19, 21)),
            radius=4,
        )
        for s, beside_condyle in ((-1, medial), (1, lateral))
    ]


def _flat_pockets(thin: float) -> list[Pocket]:
    both_sides: list[Pocket] = [
        pocket
        for s in (-1, 1)
        for pocket in (
            # the recess behind the condyle
            ([(s * 21, 34, 20), (s * 21, 33.5, 4)], 0.8 * thin, (1, 0, 0), 9),
            # along the inner wall of the condyle, beside the cruciate ligaments
            ([(s * 8, 0, 10), (s * 9, 12, 14), (s * 9, 24, 16)], 0.7 * thin, (0, -0.5, 0.9), 14),
        )
    ]
    medial: list[Pocket] = [
        ([(-34, 12, -22), (-31, 8, -40)], 0.8, (0, 1, 0), 13),  # under the pes anserinus
        ([(-43, 23, 26), (-41, 22, 2)], 0.85, (0, 1, 0), 10),  # under the sartorius
        # between semimembranosus and gastrocnemius
        ([(-28, 37, 22), (-32.5, 40, 10), (-37.5, 43, -8)], 0.8 * thin, (0, 1, 0.2), 12),
    ]
    lateral: list[Pocket] = [
        ([(37.5, -8, 2.5), (39.2, 4, 2.5)], 0.8, (0, 0, 1), 5.5),  # meniscus and capsule
        ([(43.5, -3, 28), (43.5, -4, 12)], 0.85, (0, 1, 0), 16),  # under the iliotibial tract
        ([(41, 10, 12), (37.5, 25, 2), (27, 33, -9)], 0.85, (0, 0, 1), 3.4),  # popliteus
    ]
    central: list[Pocket] = [
        ([(0, -4, 6), (1, 8, 12), (1, 22, 12)], 0.7 * thin, (0, -0.5, 0.9), 6),  # cruciates
        ([(3, -26, -14), (3, -24, -28)], 0.85, (1, 0, 0), 11),  # under the patellar tendon
        ([(-6, -24, 16), (0, -14, 6), (6, -10, 5)], 0.5, (0, 0.6, 0.8), 4.5),  # in Hoffa's pad
    ]
    return [*both_sides, *medial, *lateral, *central]


def film(bone: Bone, thickness_mm: float, folds: Surface) -> Surface:
    """The fluid film on the cartilage of a bone, whose thickness varies with the folds."""
    layer = displaced(dilated(bone.outer, thickness_mm), 0.4 * thickness_mm, folds)
    return intersection(layer, lambda p: 0.5 - p.value(bone.thickness))
