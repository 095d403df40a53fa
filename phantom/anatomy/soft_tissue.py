"""Menisci, ligaments, tendons and the capsule.

Paths and sizes are those of an average adult in reference mm (x lateral, y posterior, z superior).
"""

import numpy as np

from phantom.anatomy.bones import PLATEAU_X, Bone
from phantom.anatomy.implicit_surfaces import (
    Array,
    Capsule,
    Points,
    Surface,
    cord,
    smooth_max,
)


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


def cruciates() -> list[Capsule]:
    """The anterior and the posterior cruciate ligament."""
    return [
        *cord([(-3, -7, 3), (1, 2, 9), (6, 15, 22)], [4.5, 3.6, 4.8], (1, 0, 0.3), 1.3),
        *cord([(-6, -1, 12), (-3, 14, 17), (-1, 24, 8), (0, 30, -8)], [4.8, 4.6, 4.0, 4.4]),
    ]


def collaterals() -> list[Capsule]:
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


def tendons(patella_y: float, patella_z: float) -> list[Capsule]:
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
