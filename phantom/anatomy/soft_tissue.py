"""Menisci, ligaments, tendons and the fluid of the joint.

Paths and sizes are those of an average adult in reference mm (x lateral, y posterior, z superior).
"""

import numpy as np

from phantom.anatomy.bones import PLATEAU_X, Bone
from phantom.anatomy.implicit_surfaces import (
    Array,
    Points,
    Surface,
    cord,
    ellipsoid,
    grown,
    intersection,
    rippled,
    smooth_max,
    union,
)

# Thickness of the fluid beside a bone, relative to half that of a thin pocket.
FEMORAL_GUTTER, TIBIAL_GUTTER = 1.7, 1.1


def meniscus(side: int, femur: Bone, plateau: Surface) -> Surface:
    """A wedge open towards the midline: what the condyle leaves free above the plateau's rim."""
    x0, y0 = side * PLATEAU_X, 5.5
    half_x, half_y = 16.8, (24.0 if side < 0 else 21.0)
    gap_deg = 55.0 if side < 0 else 38.0

    def surface(p: Points) -> Array:
        u, v = side * (p.x - x0) / half_x, (p.y - y0) / half_y
        r = np.sqrt(u * u + v * v)
        width = 0.44 + 0.1 * v  # the posterior horn is the wider one
        above = p.of(plateau)
        waist = 0.0035 * (above - 3) ** 2  # the outer wall is a little hollow
        out = np.maximum(r - 1 - waist, (1 - width) - r) * 16
        rise = 6.2 * np.clip((r - 1 + width) / width, 0, 1) ** 0.8 + 0.3
        floor = smooth_max(above - rise, 0.25 - above, 0.8) * 0.9
        wedge = smooth_max(smooth_max(out, floor, 1.5), 0.25 - p.of(femur.outer), 0.6)
        opening = (np.cos(np.deg2rad(gap_deg)) * r + u) * -14
        return smooth_max(wedge, opening, 2.0)

    return surface


def cruciates() -> list[Surface]:
    """Anterior and posterior cruciate ligament."""
    return [
        *cord([(-3, -7, 3), (1, 2, 9), (6, 15, 22)], [4.5, 3.6, 4.8], (1, 0, 0.3), 1.3),
        *cord([(-6, -1, 12), (-3, 14, 17), (-1, 24, 8), (0, 30, -8)], [4.8, 4.6, 4.0, 4.4]),
    ]


def collaterals() -> list[Surface]:
    """Medial (a band) and lateral (a cord) collateral ligament, and the retinacula."""
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
    """Tendons; those of the patella start at its poles (`patella_y` is that of its front half)."""
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
    """The thin sheets behind the condyles."""
    return [
        piece
        for side in (-1, 1)
        for piece in cord(
            [(side * 21, 27, 40), (side * 21, 35.5, 22), (side * 21, 34, 6), (side * 21, 30, -5)],
            0.5, (1, 0, 0), 26,
        )
    ]  # fmt: skip


def recesses(
    femur: Bone, tibia: Bone, fill_mm: float, patella_z: float, folds: Surface
) -> list[Surface]:
    """Fluid of the pouch, the gutters beside the bones, the notch and the nearby bursae.

    Args:
        femur: what the gutters and the pouch's wings lie on.
        tibia: what the recesses below the menisci lie on.
        fill_mm: half the thickness of the pouch; below 2 where no effusion was drawn, 4 in one.
        patella_z: height of the patella's middle.
        folds: of the synovium, of unit standard deviation.
    """
    z, thin = patella_z + 26, 0.95 + 0.22 * fill_mm
    pouch = cord(
        [(1, -20.5, z - 18), (1, -19, z), (1, -17.5, z + 16)],
        [fill_mm * 0.6, fill_mm, fill_mm * 0.5], (1, 0, 0), max(1.0, 15 / fill_mm),
    )  # fmt: skip
    gutters = [
        (intersection(grown(bone.outer, mm), region, radius=mm), mm)
        for bone, mm, regions in (
            (femur, FEMORAL_GUTTER * thin, _beside_femur()),
            (tibia, TIBIAL_GUTTER * thin, _beside_tibia()),
        )
        for region in regions
    ]
    return [
        *(rippled(piece, 0.15 * fill_mm, folds) for piece in pouch),
        *(rippled(gutter, 0.6 * mm, folds) for gutter, mm in gutters),
        *(
            rippled(piece, 0.45 * half_mm, folds)
            for path, half_mm, across, half_width_mm in _slits(thin)
            for piece in cord(path, half_mm, across, half_width_mm / half_mm)
        ),
    ]


def _beside_femur() -> list[Surface]:
    """Where fluid lies on the sides of the femur.

    These are the gutters beside the condyles, in front of and behind the medial collateral ligament
    (which lies on the bone) and beneath the lateral one, and the pouch's wings on the shaft.
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


def _beside_tibia() -> list[Surface]:
    """Where fluid lies below the rims of the menisci, behind the medial collateral ligament."""
    return [ellipsoid((-35, 19, -6), (10, 15, 9)), ellipsoid((36, 8, -5), (10, 17, 9))]


def _slits(thin: float) -> list[tuple]:
    """Flat pockets: path, half their thickness, direction they are wide in, half their width."""
    both = [
        slit
        for s in (-1, 1)
        for slit in (
            # recess behind the condyle
            ([(s * 21, 34, 20), (s * 21, 33.5, 4)], 0.8 * thin, (1, 0, 0), 9),
            # along the inner wall of the condyle, beside the cruciates
            ([(s * 8, 0, 10), (s * 9, 12, 14), (s * 9, 24, 16)], 0.7 * thin, (0, -0.5, 0.9), 14),
        )
    ]
    medial = [
        ([(-34, 12, -22), (-31, 8, -40)], 0.8, (0, 1, 0), 13),  # under the pes anserinus
        ([(-43, 23, 26), (-41, 22, 2)], 0.85, (0, 1, 0), 10),  # under the sartorius
        # between semimembranosus and gastrocnemius
        ([(-28, 37, 22), (-32.5, 40, 10), (-37.5, 43, -8)], 0.8 * thin, (0, 1, 0.2), 12),
    ]
    lateral = [
        ([(37.5, -8, 2.5), (39.2, 4, 2.5)], 0.8, (0, 0, 1), 5.5),  # meniscus and capsule
        ([(43.5, -3, 28), (43.5, -4, 12)], 0.85, (0, 1, 0), 16),  # under the iliotibial tract
        ([(41, 10, 12), (37.5, 25, 2), (27, 33, -9)], 0.85, (0, 0, 1), 3.4),  # popliteus
    ]
    return [
        *both,
        *medial,
        *lateral,
        ([(0, -4, 6), (1, 8, 12), (1, 22, 12)], 0.7 * thin, (0, -0.5, 0.9), 6),  # cruciates
        ([(3, -26, -14), (3, -24, -28)], 0.85, (1, 0, 0), 11),  # under the patellar tendon
        ([(-6, -24, 16), (0, -14, 6), (6, -10, 5)], 0.5, (0, 0.6, 0.8), 4.5),  # in Hoffa's pad
    ]


def film(bone: Bone, thickness_mm: float, folds: Surface) -> Surface:
    """Fluid that wets a bone's cartilage, thicker in places."""
    wet = rippled(grown(bone.outer, thickness_mm), 0.4 * thickness_mm, folds)
    return intersection(wet, lambda p: 0.5 - p.of(bone.thickness))
