"""The muscles around the knee: bellies that fill their compartments, and their fibres.

Paths and sizes are those of an average adult in reference mm (x lateral, y posterior, z superior).
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from phantom.anatomy.implicit_surfaces import (
    Array,
    Points,
    Surface,
    by_height,
    column,
    intersection,
    two_least,
)

HEIGHTS = (-130, -90, -60, -40, -20, 0, 20, 40, 60, 80, 130)
GROWTH_MM = 5.0  # bellies grow by so much, or until they meet
GAPS_MM = (0.3, 1.4)  # of fat between two muscles
FAR_MM = 12.0  # bellies that are as far do not meet
NARROWEST = 0.45  # fascicles converge where a belly does, down to this part of their distance


@dataclass(frozen=True, eq=False)
class Muscle:
    """A muscle.

    Attributes:
        surface: of its belly.
        across: two coordinates across its fascicles, mm.
    """

    surface: Surface
    across: tuple[Surface, Surface]


@dataclass(frozen=True)
class Belly:
    """An elliptic belly whose knots begin at `HEIGHTS[start]`.

    Attributes:
        start: index of its lowest height.
        x, y: of its centre at each knot, mm.
        half_width, half_depth: semi-axes at each knot, mm.
        pennation_deg: angle between its fascicles and its axis.
        rotation_deg: of the ellipse about the axis.
    """

    start: int
    x: list[float]
    y: list[float]
    half_width: list[float]
    half_depth: list[float]
    pennation_deg: float
    rotation_deg: float = 0.0

    @property
    def heights(self) -> tuple[float, ...]:
        """The height of each knot, mm."""
        return HEIGHTS[self.start : self.start + len(self.x)]

    def surface(self) -> Surface:
        """Negative inside."""
        return column(
            z=self.heights, x=self.x, y=self.y, half_width=self.half_width,
            half_depth=self.half_depth, rotation_deg=self.rotation_deg,
        )  # fmt: skip

    def across(self, azimuth: float) -> tuple[Surface, Surface]:
        """Coordinates across the fascicles, which tilt by the pennation towards an azimuth."""
        widest = max(self.half_width)
        size = by_height(self.heights, np.maximum(np.divide(self.half_width, widest), NARROWEST))
        slope = np.tan(np.deg2rad(self.pennation_deg))

        def coordinate(axis: int, centre: Surface, tilt: float, p: Points) -> Array:
            return (p.axes[axis] - centre(p) - tilt * p.z) / size(p)

        return (
            partial(coordinate, 0, by_height(self.heights, self.x), slope * np.cos(azimuth)),
            partial(coordinate, 1, by_height(self.heights, self.y), slope * np.sin(azimuth)),
        )


# Pennation: 7 to 33 degrees in vastus lateralis, 12 to 33 in medial gastrocnemius (Kawakami et al.
# 2006, doi 10.1002/ajhb.20561); the others are typical values.
BELLIES = (
    # Thigh: vastus intermedius, medialis, lateralis.
    Belly(7, [0, 0, 0, 0], [-18, -22, -22, -22], [0, 22, 30, 32], [0, 6, 12, 16], 10),
    Belly(5, [-35, -36, -35, -32, -30, -30], [-12, -12, -12, -14, -15, -15],
          [0, 8, 14, 20, 24, 27], [0, 11, 18, 24, 29, 32], 25, 15),
    Belly(6, [38, 36, 35, 33, 32], [-10, -10, -13, -16, -18],
          [0, 11, 19, 25, 29], [0, 15, 23, 28, 31], 18, -15),
    # Hamstrings: semimembranosus, biceps, semitendinosus; then sartorius.
    Belly(5, [-24, -23, -21, -20, -20, -18], [37, 39, 42, 42, 41, 39],
          [0, 9, 15, 19, 22, 24], [0, 9, 15, 19, 22, 24], 15, 20),
    Belly(5, [41, 40, 36, 31, 28, 24], [29, 32, 37, 39, 40, 41],
          [0, 6, 11, 17, 21, 24], [0, 10, 16, 20, 22, 24], 12),
    Belly(6, [-26, -23, -19, -15, -12], [52, 55, 57, 58, 58],
          [0, 6, 11, 15, 18], [0, 4, 8, 11, 13], 5),
    Belly(2, [-34, -39, -44, -47, -48, -48, -47, -44], [2, 12, 20, 24, 24, 22, 18, 10],
          [0, 3, 4, 4.5, 6, 7, 8, 9], [0, 8, 10, 11, 12, 14, 16, 18], 1, -8),
    # Calf: tibialis posterior, soleus, popliteus, the heads of gastrocnemius.
    Belly(0, [13, 13, 14, 16], [20, 20, 19, 18], [16, 15, 11, 0], [10, 10, 7, 0], 12),
    Belly(0, [4, 5, 8, 15, 24], [34, 33, 32, 31, 29], [38, 34, 27, 14, 0],
          [15, 13, 11, 7, 0], 25),
    Belly(2, [-10, -6, 0, 10], [22, 26, 30, 31], [0, 16, 19, 0], [0, 8, 8, 0], 30, 6),
    Belly(0, [-22, -22, -23, -23, -22, -20, -18, -17], [49, 49, 49, 48, 46, 42, 36, 30],
          [28, 26, 24, 21.5, 18, 14, 9.5, 0], [19, 19, 18, 16.5, 14.5, 12, 8, 0], 20, 8),
    Belly(0, [21, 21, 21, 21, 20, 20, 19, 18], [49, 49, 48, 47, 45, 41, 36, 30],
          [26, 24, 22, 20, 17, 13, 9, 0], [18, 18, 17, 15.5, 13.5, 11, 7.5, 0], 14, -8),
    # Front and side of the leg: tibialis anterior with the extensors, peronei.
    Belly(0, [26, 26, 26, 29, 32], [-2, -3, -4, -5, -4], [16, 16, 14, 8, 0],
          [20, 19, 16, 10, 0], 10, -25),
    Belly(0, [41, 41, 41, 41, 40], [14, 14, 14, 13, 12], [11, 11, 9, 5, 0],
          [15, 14, 12, 8, 0], 10),
)  # fmt: skip


def muscles(rng: np.random.Generator, compartment: Surface) -> list[Muscle]:
    """The muscles of a random knee, each grown until it meets its neighbours.

    Args:
        rng: source of bulk, gaps and the directions of fascicles.
        compartment: encloses all of them.
    """
    growth_mm, gap_mm = GROWTH_MM + rng.uniform(-4, 2.5), rng.uniform(*GAPS_MM)
    surfaces = [belly.surface() for belly in BELLIES]

    def two_nearest(p: Points) -> Array:
        """The values of the two nearest bellies, or `FAR_MM` where there are not two near."""
        middle, radius = p.within()
        near = [surface for surface in surfaces if surface(middle)[0] < 1.5 * radius + FAR_MM]
        far = [np.full_like(p.x, FAR_MM)] * (2 - len(near))
        return two_least([*map(p.value, near), *far])

    def grown(surface: Surface, p: Points) -> Array:
        own, (nearest, second) = p.value(surface), p.value(two_nearest)
        other = np.where(own == nearest, second, nearest)
        return np.maximum(own - growth_mm, (own - other + gap_mm) / 2)

    return [
        Muscle(
            intersection(partial(grown, surface), compartment),
            belly.across(rng.choice([-1, 1]) * np.pi / 2 + rng.normal(0, 0.4)),
        )
        for belly, surface in zip(BELLIES, surfaces, strict=True)
    ]
