"""Vessels and nerves around the knee: trunks in their places, and trees that grow from them.

Paths and sizes are those of an average adult in reference mm (x lateral, y posterior, z superior).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import PchipInterpolator

from phantom.anatomy.implicit_surfaces import Array, Points, Surface, Vector, cord

Vectors = NDArray[np.float64]

STEP_MM = 0.8  # of growing vessels
FINEST_MM = 0.25  # radius at which they end
MEANDER = 0.09  # change of direction per step
BRANCH_MM = (5.0, 8.0)  # distance between branches: the first, and the second times the radius
MINOR_SHARE = (0.08, 0.5)  # of the flow, into the thinner branch
ANGLE_DEG = (25.0, 70.0)  # between both branches
MOST_STEPS, MOST_TIPS = 160, 700
SUPERFICIAL_MM = (0.5, 1.1)  # radii of veins below the skin where they begin
# Paths, and the ranges of radii, of the great and the small saphenous vein. Without reflux they are
# 3.7 +- 0.9 mm (Mendoza et al. 2013, doi 10.1016/j.ejvs.2012.10.014) and 3.1 +- 1.3 mm wide (Joh
# and Park 2013, doi 10.4174/jkss.2013.85.4.169).
SAPHENOUS = (
    ([(-38, 8, -90), (-47, 22, -30), (-50, 34, 20), (-50, 36, 90)], (1.4, 2.3)),
    ([(2, 62, -90), (4, 62, -20), (5, 62, 20)], (0.9, 2.2)),
)
CLEARANCE_MM = 0.4  # between a vein and the fascia that it runs on
ASIDE_MM = 1.5  # spread of the places of trunks between knees
# Grid on which vessels are drawn, and its range of distances from their walls.
CELL_MM, LOW_MM, HIGH_MM = 0.5, (-68.0, -68.0, -82.0), (68.0, 80.0, 82.0)
QUANTUM_MM, DEEPEST_MM, FARTHEST_MM = 0.01, -1.0, 1.1


@dataclass(frozen=True)
class Root:
    """Where a tree leaves its trunk.

    Attributes:
        position, direction: mm, and of any length.
        radius_mm: of its first branch.
    """

    position: Vector
    direction: Vector
    radius_mm: float


def trunks(rng: np.random.Generator) -> dict[str, list[Surface]]:
    """The large deep vessels and the nerves by the name of their tissue."""
    paths = {
        "artery": [([(-4, 26, 90), (0, 34, 35), (2, 37, 5), (4, 35, -25), (6, 28, -90)], 3.0)],
        "vein": [([(0, 33, 90), (4, 41, 35), (5, 44, 5), (3, 43, -25), (1, 34, -90)], 3.8)],
        "nerve": [
            ([(8, 42, 90), (9, 48, 30), (7, 51, 0), (4, 50, -35), (4, 41, -90)], 2.4),
            ([(30, 46, 90), (34, 42, 30), (41, 33, -10), (42, 22, -28)], 1.8),
        ],
    }
    aside = rng.normal(0, ASIDE_MM, 3)  # of all together, so that none runs into another
    return {
        tissue: [
            part
            for path, radius in found
            for part in cord((np.array(path) + aside).tolist(), radius)
        ]
        for tissue, found in paths.items()
    }


def saphenous_veins(rng: np.random.Generator, fascia: Surface) -> tuple[Vectors, Array]:
    """The great and the small saphenous vein, which run on the fascia.

    Returns:
        As `grow`.
    """
    paths, radii = [], []
    for path, sizes in SAPHENOUS:
        radius, knots = float(rng.uniform(*sizes)), np.array(path, float)
        heights = np.arange(knots[0, 2], knots[-1, 2], STEP_MM)
        places = PchipInterpolator(knots[:, 2], knots)(heights)
        places[:, :2] += rng.normal(0, ASIDE_MM, 2)
        paths.append(_beside(places, fascia, radius + CLEARANCE_MM))
        radii.append(np.full(len(heights), radius))
    return np.concatenate(paths), np.concatenate(radii)


def _beside(places: Vectors, surface: Surface, distance_mm: float) -> Vectors:
    """The nearest places at a distance from a surface."""
    for _ in range(6):
        missing = distance_mm - surface(_points(places)).astype(float)
        places = places + missing[:, None] * _unit(_slope(places, surface))
    return places


def deep_roots(rng: np.random.Generator) -> list[Root]:
    """The genicular, sural and muscular branches of the popliteal vessels."""
    sides = ((-1, 0.2, 0.3), (1, 0.2, 0.2), (-1, 0, -0.2), (1, 0, -0.3), (0.2, 1, 0), (-0.3, 1, -1))
    heights = (35, 32, 2, 0, 12, -10)
    branches: list[tuple[float, Vector]] = list(zip(heights, sides, strict=True))
    branches += [(rng.uniform(-60, 70), rng.normal(size=3).tolist()) for _ in range(8)]
    return [
        Root((1, 36, height), direction, float(rng.uniform(0.6, 1.2)))
        for height, direction in branches
    ]


def superficial_roots(
    rng: np.random.Generator, region: Surface, trunks: Vectors, count: int = 14
) -> list[Root]:
    """Where veins below the skin begin: at `count` random places of a region, and on its trunks.

    Tributaries of a trunk come from below, as blood flows upwards.
    """
    places = rng.uniform(LOW_MM, HIGH_MM, (4000, 3))
    inside = places[region(_points(places)) < -1][:count]
    places = np.concatenate([inside, rng.choice(trunks, count)])
    rise = np.r_[rng.choice([-1, 1], len(inside)), np.full(count, -1)]
    headings = np.c_[rng.normal(0, 0.8, (len(places), 2)), rise]
    radii = rng.uniform(*SUPERFICIAL_MM, len(places)).tolist()
    return [Root(*root) for root in zip(places.tolist(), headings.tolist(), radii, strict=True)]


def grow(rng: np.random.Generator, roots: list[Root], region: Surface) -> tuple[Vectors, Array]:
    """Trees that branch within a region until their branches are `FINEST_MM` thin.

    The cubes of both radii behind a branching add up to that before it (Murray 1926, doi
    10.1073/pnas.12.3.207).

    Returns:
        (n, 3) points of the centre lines, `STEP_MM` apart, and their (n,) radii, mm.
    """
    place = np.array([root.position for root in roots], float)
    heading = _unit(np.array([root.direction for root in roots], float))
    radius = np.array([root.radius_mm for root in roots])
    places, radii = [place], [radius]
    for _ in range(MOST_STEPS):
        heading = _unit(heading + MEANDER * rng.normal(size=heading.shape))
        heading = _within(place, heading, radius, region)
        place = place + STEP_MM * heading
        forks = np.flatnonzero(
            rng.random(len(radius)) * (BRANCH_MM[0] + BRANCH_MM[1] * radius) < STEP_MM
        )
        share = rng.uniform(*MINOR_SHARE, len(forks))
        sideways = _unit(np.cross(heading[forks], rng.normal(size=(len(forks), 3))))
        angle = np.deg2rad(rng.uniform(*ANGLE_DEG, len(forks)))[:, None]
        branch = np.cos(angle) * heading[forks] + np.sin(angle) * sideways
        minor = radius[forks] * share ** (1 / 3)
        radius = radius.copy()
        radius[forks] *= (1 - share) ** (1 / 3)
        place = np.concatenate([place, place[forks]])
        heading = np.concatenate([heading, branch])
        radius = np.concatenate([radius, minor])
        alive = np.flatnonzero((radius > FINEST_MM) & (region(_points(place)) < 0))[:MOST_TIPS]
        place, heading, radius = place[alive], heading[alive], radius[alive]
        places.append(place)
        radii.append(radius)
    return np.concatenate(places), np.concatenate(radii)


def _within(place: Vectors, heading: Vectors, radius: Array, region: Surface) -> Vectors:
    """Turns what would leave the region along its surface."""
    ahead = place + 2 * STEP_MM * heading
    value = region(_points(ahead))
    slope = _unit(_slope(ahead, region))
    outwards = np.maximum((slope * heading).sum(axis=1), 0) * (value > -radius - 0.3)
    return _unit(heading - 1.2 * outwards[:, None] * slope)


def _slope(places: Vectors, surface: Surface) -> Vectors:
    """The gradient of a surface, (n, 3)."""
    here = surface(_points(places))
    there = [surface(_points(places + 0.5 * axis)) for axis in np.eye(3)]
    return np.stack([(value - here) / 0.5 for value in there], axis=1)


def drawn(places: Vectors, radii: Array) -> Surface:
    """The tubes around centre lines, as the distance from their walls on a grid.

    The distance is linear between points 0.5 mm apart, and limited to -1 to 1.1 mm.
    """
    low = np.array(LOW_MM)
    shape = np.ceil((np.array(HIGH_MM) - low) / CELL_MM).astype(int)
    farthest = round((FARTHEST_MM - DEEPEST_MM) / QUANTUM_MM)
    grid = np.full(shape, farthest, np.uint8)
    for thin, thick in ((0, 0.4), (0.4, 0.8), (0.8, 2.5)):
        chosen = np.flatnonzero((radii > thin) & (radii <= thick))
        reach = int((thick + FARTHEST_MM) / CELL_MM)
        for part in np.array_split(chosen, len(chosen) // 500 + 1):
            middle = np.round((places[part] - low) / CELL_MM).astype(int)
            cells = middle.T[..., None] + np.arange(-reach, reach + 1)  # along each axis
            away = (low[:, None, None] + cells * CELL_MM - places[part].T[..., None]) ** 2
            away[(cells < 0) | (cells >= shape[:, None, None])] = np.inf
            x, y, z = away
            distance = np.sqrt(x[:, :, None, None] + y[:, None, :, None] + z[:, None, None])
            distance -= radii[part][:, None, None, None]
            point, *indices = np.nonzero(distance < FARTHEST_MM)
            place = [along[point, i] for along, i in zip(cells, indices, strict=True)]
            depth = np.maximum(distance[point, *indices] - DEEPEST_MM, 0)
            steps = np.round(depth / QUANTUM_MM).astype(np.uint8)
            np.minimum.at(grid.ravel(), np.ravel_multi_index(place, grid.shape), steps)

    # Few points are near a vessel, and interpolation takes twenty times as long as a look-up.
    is_near = (ndimage.minimum_filter(grid, 2, origin=-1) < farthest).ravel()

    def surface(p: Points) -> Array:
        index = np.stack([(axis - o) * (1 / CELL_MM) for axis, o in zip(p.axes, low, strict=True)])
        cell = np.zeros(p.x.shape, np.int32)
        for along, count in zip(index, grid.shape, strict=True):
            cell = cell * count + np.clip(along, 0, count - 1).astype(np.int32)
        near = np.flatnonzero(is_near.take(cell))
        value = np.full(p.x.shape, FARTHEST_MM, np.float32)
        steps = ndimage.map_coordinates(grid, index[:, near], np.float32, order=1, mode="nearest")
        value[near] = steps * np.float32(QUANTUM_MM) + np.float32(DEEPEST_MM)
        return value

    return surface


def _points(places: Vectors) -> Points:
    return Points(*places.T.astype(np.float32))


def _unit(vectors: Vectors) -> Vectors:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
