"""The tissues around the joint: muscles, vessels, nerves, fascia, fat and skin.

Paths and sizes are those of an average adult in reference mm (x lateral, y posterior, z superior).
"""

import numpy as np

from phantom.anatomy.implicit_surfaces import Array, Points, Surface, column, cord, ellipsoid, union

HEIGHTS = (-130, -90, -60, -40, -20, 0, 20, 40, 60, 80, 130)


def _belly(
    start: int,
    x: list[float],
    y: list[float],
    half_width: list[float],
    half_depth: list[float],
    rotation_deg: float = 0.0,
) -> Surface:
    """A muscle belly whose knots begin at `HEIGHTS[start]`."""
    return column(
        z=HEIGHTS[start : start + len(x)], x=x, y=y, half_width=half_width, half_depth=half_depth,
        rotation_deg=rotation_deg,
    )  # fmt: skip


def muscles() -> list[Surface]:
    """The muscle bellies in painting order: each lies against those before it."""
    return [
        # Thigh: vastus intermedius, medialis, lateralis.
        _belly(7, [0, 0, 0, 0], [-18, -22, -22, -22], [0, 22, 30, 32], [0, 6, 12, 16]),
        _belly(5, [-35, -36, -35, -32, -30, -30], [-12, -12, -12, -14, -15, -15],
               [0, 8, 14, 20, 24, 27], [0, 11, 18, 24, 29, 32], 15),
        _belly(6, [38, 36, 35, 33, 32], [-10, -10, -13, -16, -18],
               [0, 11, 19, 25, 29], [0, 15, 23, 28, 31], -15),
        # Hamstrings: semimembranosus, biceps, semitendinosus; then sartorius.
        _belly(5, [-24, -23, -21, -20, -20, -18], [37, 39, 42, 42, 41, 39],
               [0, 9, 15, 19, 22, 24], [0, 9, 15, 19, 22, 24], 20),
        _belly(5, [41, 40, 36, 31, 28, 24], [29, 32, 37, 39, 40, 41],
               [0, 6, 11, 17, 21, 24], [0, 10, 16, 20, 22, 24]),
        _belly(6, [-26, -23, -19, -15, -12], [52, 55, 57, 58, 58],
               [0, 6, 11, 15, 18], [0, 4, 8, 11, 13]),
        _belly(2, [-34, -39, -44, -47, -48, -48, -47, -44], [2, 12, 20, 24, 24, 22, 18, 10],
               [0, 3, 4, 4.5, 6, 7, 8, 9], [0, 8, 10, 11, 12, 14, 16, 18], -8),
        # Calf: tibialis posterior, soleus, popliteus, the heads of gastrocnemius.
        _belly(0, [13, 13, 14, 16], [20, 20, 19, 18], [16, 15, 11, 0], [10, 10, 7, 0]),
        _belly(0, [4, 5, 8, 15, 24], [34, 33, 32, 31, 29], [38, 34, 27, 14, 0],
               [15, 13, 11, 7, 0]),
        _belly(2, [-10, -6, 0, 10], [22, 26, 30, 31], [0, 16, 19, 0], [0, 8, 8, 0], 6),
        _belly(0, [-22, -22, -23, -23, -22, -20, -18, -17],
               [49, 49, 49, 48, 46, 42, 36, 30], [28, 26, 24, 21.5, 18, 14, 9.5, 0],
               [19, 19, 18, 16.5, 14.5, 12, 8, 0], 8),
        _belly(0, [21, 21, 21, 21, 20, 20, 19, 18], [49, 49, 48, 47, 45, 41, 36, 30],
               [26, 24, 22, 20, 17, 13, 9, 0], [18, 18, 17, 15.5, 13.5, 11, 7.5, 0], -8),
        # Front and side of the leg: tibialis anterior with the extensors, peronei.
        _belly(0, [26, 26, 26, 29, 32], [-2, -3, -4, -5, -4], [16, 16, 14, 8, 0],
               [20, 19, 16, 10, 0], -25),
        _belly(0, [41, 41, 41, 41, 40], [14, 14, 14, 13, 12], [11, 11, 9, 5, 0],
               [15, 14, 12, 8, 0]),
    ]  # fmt: skip


def vessels() -> dict[str, list[Surface]]:
    """Arteries, veins and nerves by the name of their tissue."""
    return {
        "artery": [
            *cord([(-4, 26, 90), (0, 34, 35), (2, 37, 5), (4, 35, -25), (6, 28, -90)], 3.0),
            *cord(
                [(0, 34, 30), (-20, 31, 34), (-38, 12, 36), (-38, -14, 30)], [1.0, 0.9, 0.8, 0.6]
            ),
            *cord([(1, 35, 28), (20, 32, 33), (39, 14, 36), (36, -14, 32)], [1.0, 0.9, 0.8, 0.6]),
            *cord([(2, 36, 2), (-20, 33, -12), (-38, 10, -16)], [0.9, 0.8, 0.6]),
        ],
        "vein": [
            *cord([(0, 32, 90), (4, 38, 35), (5, 41, 5), (3, 39, -25), (1, 34, -90)], 3.8),
            *cord([(-50, 36, 90), (-50, 34, 20), (-47, 22, -30), (-38, 8, -90)], 1.8),
            *cord([(5, 44, 6), (4, 57, -20), (2, 62, -90)], 1.4),
        ],
        "nerve": [
            *cord([(8, 42, 90), (8, 46, 30), (5, 47, 0), (3, 44, -40), (3, 38, -90)], 2.4),
            *cord([(30, 46, 90), (34, 42, 30), (41, 33, -10), (42, 22, -28)], 1.8),
        ],
    }


def small_vessels(rng: np.random.Generator, count: int) -> list[Surface]:
    """Thin veins that wander through the fat around the joint, mostly along z."""
    segments = []
    for _ in range(count):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.7, 1.12)
        angles = angle + np.cumsum(rng.normal(0, 0.12, 4))
        z = rng.uniform(-70, 50) + np.arange(4) * rng.uniform(6, 16)
        x, y = 51 * distance * np.cos(angles), 9 + 52 * distance * np.sin(angles)
        path = np.stack([x, y, z], axis=1)
        path += rng.normal(0, 1.5, path.shape)
        segments += cord(path.tolist(), rng.uniform(0.4, 1.1, 4).tolist())
    return segments


def fascia() -> Surface:
    """The deep fascia, which encloses muscles and bones."""
    leg = column(
        z=[-140, -90, -50, -20, 10, 40, 80, 140],
        y=[19, 19, 18, 14, 9, 7, 5, 4],
        half_width=[47, 47, 48, 48.5, 50, 52, 56, 62],
        half_depth=[48, 48, 49, 49, 51, 52, 56, 62],
    )
    return union(leg, ellipsoid((1, -24, 26), (30, 21, 40)), radius=18)


def skin(fascia: Surface, fat_mm: float) -> Surface:
    """The surface of the leg: some `fat_mm` outside the fascia, more behind and medially."""

    def surface(p: Points) -> Array:
        thickness = 1.0 + 0.009 * p.y - 0.006 * p.x + 0.12 * np.sin(0.06 * p.z + 0.05 * p.y)
        return p.value(fascia) - (2.0 + fat_mm * np.maximum(thickness, 0.25))

    return surface
