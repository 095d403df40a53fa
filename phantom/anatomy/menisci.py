"""Menisci and the ligaments that hold them, in reference mm (x lateral, y posterior, z superior).

Medial menisci are 8.0, 8.1 and 13.5 mm wide in front, in the middle and behind (Shashidhar and
Ashwini 2025, 100 menisci of cadavers); that the lateral ones are about 10 mm everywhere is a
choice. They measure 47 by 32 mm (medial) and 35 by 32 mm (lateral), and their posterior horns are
6.8 and 7.6 mm high in MRI of 20 unloaded knees. All spreads are a choice.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from phantom.anatomy.bones import PLATEAU_X, Bone
from phantom.anatomy.implicit_surfaces import (
    Array,
    Capsule,
    Points,
    Surface,
    cord,
    smooth_max,
    smooth_step,
)

TIP_MM = 0.35  # height of the inner edge
TRANSVERSE_SHARE = 0.8  # of knees with a ligament between both anterior horns
# Shares of knees with the meniscofemoral ligament of Humphry, of Wrisberg, with both and with none
# (Deckey et al. 2021, doi 10.1016/j.asmr.2021.09.006).
MENISCOFEMORAL_SHARES = (0.174, 0.406, 0.176, 0.244)
# 1.1 to 1.2 mm by 11 mm in MRI at the lateral side, capsule and synovium included.
CORONARY_MM, CORONARY_HEIGHT_MM = 0.5, 7.0


@dataclass(frozen=True)
class Meniscus:
    """A meniscus in the shape of a C around the middle of its plateau.

    Attributes:
        side: -1 medial, 1 lateral.
        half_x, half_y: semi-axes of its outer wall, mm.
        widths, heights: of the anterior horn, the body and the posterior horn, mm.
        gap_deg: half the angle of the gap of the C, which opens to the midline.
    """

    side: int
    half_x: float
    half_y: float
    widths: tuple[float, float, float]
    heights: tuple[float, float, float]
    gap_deg: float

    def end(self, sign: int) -> tuple[float, float]:
        """Position (x, y) of the middle of the anterior (-1) or posterior (1) end, mm."""
        angle, width = np.deg2rad(self.gap_deg), self.widths[1 + sign]
        x = (self.half_x - width / 2) * np.cos(angle)
        y = (self.half_y - width / 2) * np.sin(angle)
        return self.side * (PLATEAU_X - float(x)), CENTRE_Y + sign * float(y)


CENTRE_Y = 5.5


def random_meniscus(rng: np.random.Generator, side: int) -> Meniscus:
    """A meniscus whose parts are some 8 % wider or narrower than average."""
    widths, heights = ((8.0, 8.3, 13.0), (5.6, 5.6, 6.6)) if side < 0 else (
        (10.0, 9.5, 10.5), (5.2, 6.0, 6.8)
    )  # fmt: skip
    size = rng.normal(1, 0.03)
    return Meniscus(
        side,
        16.8 * size,
        (23.5 if side < 0 else 18.8) * size,
        _varied(rng, widths),
        _varied(rng, heights),
        rng.uniform(50, 60) if side < 0 else rng.uniform(32, 44),
    )


def _varied(rng: np.random.Generator, sizes: tuple[float, ...]) -> tuple[float, float, float]:
    first, second, third = sizes * np.clip(rng.normal(1, 0.08, 3), 0.8, 1.25)
    return float(first), float(second), float(third)


def wedge(meniscus: Meniscus, femur: Bone, plateau: Surface) -> Surface:
    """The body of a meniscus: triangular across, between the condyle and the plateau.

    Args:
        meniscus: its sizes.
        femur: bounds it above.
        plateau: height above the surface of the tibial plateau.
    """
    side, gap = meniscus.side, float(np.cos(np.deg2rad(meniscus.gap_deg)))

    def surface(p: Points) -> Array:
        dx, dy = side * p.x - PLATEAU_X, p.y - CENTRE_Y
        u, v = dx / meniscus.half_x, dy / meniscus.half_y
        r = np.sqrt(u * u + v * v) + 1e-3
        inwards = (1 - r) * np.sqrt(dx * dx + dy * dy) / r  # mm from the outer wall
        front, back = smooth_step(-v / r), smooth_step(v / r)
        above = p.value(plateau)
        width, height = (
            body + (anterior - body) * front + (posterior - body) * back
            for anterior, body, posterior in (meniscus.widths, meniscus.heights)
        )
        waist = 0.05 * (above - height / 2) ** 2  # the outer wall is a little hollow
        rise = (height - TIP_MM) * np.clip(1 - inwards / width, 0, 1) ** 0.9 + TIP_MM
        ring = np.maximum(waist - 0.4 - inwards, inwards - width)
        across = smooth_max(smooth_max(ring, above - rise, 1.2), 0.15 - above, 0.5)
        body = smooth_max(across, 0.15 - p.value(femur.outer), 0.5)
        return smooth_max(body, (gap * r + u) * -14, 2.0)

    return surface


def roots(menisci: dict[str, Meniscus]) -> list[Capsule]:
    """The ends of the menisci, which fix their horns to the tibia between the plateaus.

    The posterior medial root lies 10 mm behind the medial spine, in front of the posterior cruciate
    ligament; the lateral ones lie behind the lateral spine and beside the anterior cruciate
    ligament.
    """
    at = {"medial": ((-7.5, -16.0), (-5.5, 18.5)), "lateral": ((8.5, -3.5), (5.0, 12.5))}
    cords = []
    for name, meniscus in menisci.items():
        for (x, y), sign in zip(at[name], (-1, 1), strict=True):
            start_x, start_y = meniscus.end(sign)
            path = [(start_x, start_y, 2.2), (0.4 * start_x + 0.6 * x, y, 2.6), (x, y, 0.0)]
            cords += cord(path, [2.2, 1.7, 2.0], (1, 1, 0), 1.5)
    return cords


def meniscal_ligaments(
    rng: np.random.Generator, menisci: dict[str, Meniscus], notch_mm: float
) -> list[Capsule]:
    """The transverse ligament and the meniscofemoral ligaments, where a knee has them.

    Args:
        rng: source of their presence and thickness.
        menisci: by "medial" and "lateral".
        notch_mm: half the width of the intercondylar notch.
    """
    (medial_x, medial_y), (lateral_x, lateral_y) = (m.end(-1) for m in menisci.values())
    x, y = menisci["lateral"].end(1)
    thickness = rng.uniform(0.8, 1.4, 3)
    front = min(medial_y, lateral_y) - rng.uniform(4, 6)
    transverse = cord(
        [(medial_x - 3, medial_y - 2, 3.5), (0, front, 4.5), (lateral_x + 3, lateral_y - 3, 3.5)],
        thickness[0],
    )
    wall = -notch_mm
    humphry = cord([(x, y - 2, 5), (-1, 17, 7.5), (wall - 1, 11, 9)], thickness[1], (0, 0, 1), 1.6)
    wrisberg = cord(
        [(x, y, 5), (1, 31, 9), (wall, 27, 16)], 1.2 * thickness[2], (0, 0, 1), 1.8
    )  # fmt: skip
    present = rng.choice(4, p=MENISCOFEMORAL_SHARES)
    return [
        *(transverse if rng.random() < TRANSVERSE_SHARE else []),
        *(humphry if present in (0, 2) else []),
        *(wrisberg if present in (1, 2) else []),
    ]


def coronary_ligament(tibia: Bone, plateau: Surface) -> Surface:
    """The thin sheet that ties the rims of both menisci to the side of the tibia."""
    return partial(_coronary, tibia, plateau)


def _coronary(tibia: Bone, plateau: Surface, p: Points) -> Array:
    below = np.abs(p.value(plateau) + CORONARY_HEIGHT_MM / 2) - CORONARY_HEIGHT_MM / 2
    sides = 14 - np.abs(p.x)
    return np.maximum(np.maximum(p.value(tibia.outer) - CORONARY_MM, below), sides)
