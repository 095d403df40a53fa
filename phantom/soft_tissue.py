"""Menisci, ligaments, tendons, muscles, vessels and the envelope of the knee.

Paths and sizes are those of an average adult in reference mm (x lateral, y posterior, z superior).
"""

import numpy as np

from phantom.bones import PLATEAU_X, Bone
from phantom.surfaces import (
    Array,
    Points,
    Surface,
    column,
    cord,
    ellipsoid,
    smooth_max,
    union,
)


def meniscus(side: int, femur: Bone, plateau: Surface) -> Surface:
    """A wedge open towards the midline: what the condyle leaves free above the plateau's rim."""
    x0, y0 = side * PLATEAU_X, 5.5
    half_x, half_y = 16.8, (24.0 if side < 0 else 21.0)
    gap_deg = 55.0 if side < 0 else 38.0

    def surface(p: Points) -> Array:
        u, v = side * (p.x - x0) / half_x, (p.y - y0) / half_y
        r = np.sqrt(u * u + v * v)
        width = 0.42 + 0.1 * v  # the posterior horn is the wider one
        out = np.maximum(r - 1, (1 - width) - r) * 16
        above = p.of(plateau)
        rise = 6.6 * np.clip((r - 1 + width) / width, 0, 1) + 0.2
        wedge = np.maximum(out, np.maximum(above - rise, 0.25 - above) * 0.8)
        wedge = smooth_max(wedge, 0.25 - p.of(femur.outer), 0.6)
        opening = (np.cos(np.deg2rad(gap_deg)) * r + u) * -14
        return smooth_max(wedge, opening, 2.0)

    return surface


def ligaments() -> dict[str, Surface]:
    """The four ligaments, the patellar and the other tendons, each by its name."""
    return {
        "acl": cord([(-3, -6, 3), (1, 2, 9), (6, 15, 22)], [4.5, 3.8, 4.5]),
        "pcl": cord([(-6, -1, 12), (-3, 14, 17), (-1, 24, 8), (0, 30, -8)], [4.8, 4.6, 4.2, 4.5]),
        "mcl": cord(
            [(-42.3, 2, 26), (-41.2, 1, 8), (-40.2, 0, -4), (-35.5, -2, -24), (-25, -4, -48)],
            [1.2, 0.9, 0.9, 0.8, 0.8],
            across=(0, 1, 0),
            flatness=7,
        ),
        "lcl": cord([(42.2, 7, 25), (42.8, 14, 6), (40, 21, -13)], [1.9, 1.7, 1.9]),
    }


def tendons(patella_y: float, patella_z: float) -> dict[str, Surface]:
    """Tendons; those of the patella start at its poles (`patella_y` is that of its front half)."""
    y, z = patella_y, patella_z
    return {
        "patellar": cord(
            [(1, y - 2, z - 14), (2, y - 1, z - 24), (3, -27, -24), (3, -24, -44)],
            [2.4, 2.4, 2.4, 2.0],
            across=(1, 0, 0),
            flatness=5.5,
        ),
        "quadriceps": cord(
            [(1, y - 3, z + 13), (1, y + 1, z + 28), (1, y + 5, 100)],
            [2.8, 3.2, 3.0],
            across=(1, 0, 0),
            flatness=4.5,
        ),
        "iliotibial": cord(
            [(43, -2, 90), (45, -4, 30), (42, -8, 4), (34, -13, -12)],
            [0.9, 1.0, 1.0, 1.2],
            across=(0, 1, 0),
            flatness=9,
        ),
        "biceps": cord([(40, 32, 50), (42, 30, 10), (37, 25, -12)], [2.0, 2.2, 2.5]),
        "semimembranosus": cord([(-22, 36, 20), (-27, 34, 0), (-30, 27, -10)], [2.5, 3.0, 3.0]),
        "semitendinosus": cord([(-22, 52, 90), (-30, 46, 10), (-31, 20, -40)], [2.0, 1.9, 1.6]),
        "gracilis": cord([(-40, 40, 90), (-38, 38, 10), (-33, 14, -40)], [1.5, 1.5, 1.3]),
        "popliteus": cord([(42, 6, 13), (38, 24, 3), (24, 32, -10)], [2.0, 1.9, 1.8]),
    }


def muscles() -> list[Surface]:
    """Muscle bellies, later ones beside and over earlier ones."""
    z = [-130, -90, -60, -40, -20, 0, 20, 40, 60, 80, 130]

    def belly(start, x, y, a, b, turn=0.0):  # type: ignore[no-untyped-def]
        knots = z[start : start + len(x)]
        return column(knots, x, y, a, b, turn)

    return [
        # thigh: vastus medialis, lateralis, intermedius
        belly(5, [-34, -35, -34, -31, -29, -28], [-12, -13, -13, -14, -15, -15],
              [0, 7, 12, 17, 20, 24], [0, 9, 15, 20, 24, 26], 15),
        belly(6, [36, 34, 33, 32, 31], [-10, -12, -14, -16, -18],
              [0, 9, 15, 20, 26], [0, 12, 19, 23, 26], -15),
        belly(7, [0, 0, 0, 0], [-18, -20, -19, -18], [0, 16, 22, 26], [0, 4, 8, 12]),
        # hamstrings: biceps, semimembranosus, semitendinosus; sartorius, gracilis
        belly(5, [41, 40, 37, 33, 30, 26], [29, 32, 35, 37, 38, 40],
              [0, 4, 8, 12, 15, 19], [0, 6, 10, 13, 15, 18]),
        belly(5, [-24, -23, -21, -20, -19, -18], [36, 38, 40, 40, 39, 38],
              [0, 7, 12, 15, 17, 20], [0, 6, 9, 12, 15, 18], 20),
        belly(7, [-24, -20, -16, -12], [52, 53, 54, 54], [0, 6, 10, 13], [0, 4, 7, 10]),
        belly(2, [-36, -40, -44, -47, -48, -48, -47, -44], [2, 12, 20, 24, 24, 22, 19, 12],
              [0, 3, 3.5, 4, 5, 6, 7, 8], [0, 8, 9, 10, 11, 12, 13, 15], -8),
        # calf: gastrocnemii, popliteus, soleus
        belly(0, [-22, -22, -23, -23, -22, -20, -18, -16],
              [46, 46, 46, 45, 44, 41, 36, 30], [24, 22, 20, 17.5, 15, 12, 8, 0],
              [16, 15, 14, 12, 10, 8.5, 6, 0], 8),
        belly(0, [20, 20, 20, 20, 20, 20, 19, 18], [46, 46, 45, 44, 43, 40, 36, 30],
              [22, 20, 18, 16, 14, 11, 7.5, 0], [14, 13, 12, 11, 9.5, 8, 5, 0], -8),
        belly(2, [-8, -6, 0, 10], [22, 25, 30, 31], [6, 15, 17, 0], [4, 6, 6.5, 0], 6),
        belly(0, [6, 8, 12, 18, 26], [32, 31, 31, 31, 30], [30, 24, 17, 9, 0], [13, 11, 8, 5, 0]),
        # front and side of the leg: tibialis anterior, peronei, tibialis posterior
        belly(0, [27, 27, 27, 30, 32], [-2, -3, -4, -5, -4], [12, 12, 10, 6, 0], [17, 16, 13, 8, 0],
              -25),
        belly(0, [41, 41, 40, 40, 40], [14, 14, 13, 13, 12], [8, 8, 7, 4, 0], [13, 12, 10, 7, 0]),
        belly(0, [13, 13, 14, 16], [18, 18, 18, 18], [12, 11, 8, 0], [8, 7, 5, 0]),
    ]  # fmt: skip


def vessels() -> dict[str, Surface]:
    """Popliteal artery, vein and nerve, and veins under the skin."""
    return {
        "artery": cord([(-4, 26, 90), (0, 34, 35), (2, 37, 5), (4, 35, -25), (6, 28, -90)], 3.0),
        "vein": cord([(0, 32, 90), (4, 38, 35), (5, 41, 5), (3, 39, -25), (1, 34, -90)], 3.8),
        "saphenous": cord([(-50, 34, 90), (-50, 34, 20), (-46, 22, -30), (-38, 12, -90)], 1.9),
        "small_saphenous": cord([(6, 52, 6), (4, 60, -30), (2, 63, -90)], 1.5),
        "nerve": cord([(8, 42, 90), (8, 46, 30), (5, 47, 0), (3, 44, -40), (3, 38, -90)], 2.4),
        "peroneal": cord([(30, 46, 90), (34, 40, 30), (40, 33, -10), (40, 22, -28)], 1.8),
    }


def envelope(fat_mm: float) -> Surface:
    """The skin: muscles and bones with `fat_mm` more subcutaneous fat than in a lean knee."""
    leg = column(
        [-140, -90, -50, -20, 10, 40, 80, 140],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [18, 17, 15, 11, 6, 4, 4, 4],
        [50 + fat_mm, 49 + fat_mm, 48 + fat_mm, 49 + fat_mm, 51 + fat_mm, 53 + fat_mm,
         56 + fat_mm, 62 + fat_mm],
        [48 + fat_mm, 46 + fat_mm, 45 + fat_mm, 46 + fat_mm, 49 + fat_mm, 51 + fat_mm,
         54 + fat_mm, 60 + fat_mm],
    )  # fmt: skip
    kneecap = ellipsoid((1, -27, 30), (30, 22, 36))
    return union(leg, kneecap, radius=18)


def capsule(side_mm: float) -> Surface:
    """The space of the joint, within which fluid lies on cartilage and bone."""
    return union(
        ellipsoid((0, 4, 8), (42 + side_mm, 38, 26)),
        ellipsoid((0, -16, 40), (27, 14, 34)),
        radius=8,
    )


def pouch(fill_mm: float, patella_z: float) -> Surface:
    """The suprapatellar pouch, `fill_mm` thick, between quadriceps and femur."""
    z = patella_z + 26
    return cord(
        [(1, -21, z - 16), (1, -19, z), (1, -17, z + 16)],
        [fill_mm * 0.7, fill_mm, fill_mm * 0.5],
        flatness=max(1.0, 17 / fill_mm),
    )


def film(bone: Bone, thickness_mm: float) -> Surface:
    """Fluid that wets a bone's cartilage, thicker in places."""

    def surface(p: Points) -> Array:
        folds = np.sin(p.x * 0.31 + 1) * np.sin(p.y * 0.23) * np.sin(p.z * 0.27 + 2)
        wet = p.of(bone.outer) - thickness_mm * (1 + 1.2 * folds)
        return np.maximum(wet, 0.5 - p.of(bone.thickness))

    return surface
