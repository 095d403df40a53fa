"""Implicit surfaces: functions of space that are negative inside a body and about mm from it.

Coordinates are those of a reference knee: x lateral, y posterior, z superior, mm, origin between
the femoral condyles and the tibial plateau.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.floating]


class Points:
    """Positions, and what is already known of them: each surface is evaluated at most once.

    Attributes:
        x, y, z: float32 (n,), reference mm.
    """

    def __init__(self, x: Array, y: Array, z: Array) -> None:
        self.x, self.y, self.z = x, y, z
        self._known: dict[Surface, Array] = {}

    def of(self, surface: "Surface") -> Array:
        """The value of `surface` at every point; not to be written to."""
        if surface not in self._known:
            self._known[surface] = surface(self)
        return self._known[surface]

    def at(self, which: NDArray[np.intp]) -> "Points":
        """Some of them."""
        return Points(self.x[which], self.y[which], self.z[which])


Surface = Callable[[Points], Array]


def smooth_min(a: Array, b: Array, radius: float) -> Array:
    """The smaller of two, rounded where they are within `radius` mm (a polynomial blend)."""
    blend = np.maximum(radius - np.abs(a - b), 0)
    return np.minimum(a, b) - blend * blend * (0.25 / radius)


def smooth_max(a: Array, b: Array, radius: float) -> Array:
    """The larger of two, rounded where they are within `radius` mm."""
    blend = np.maximum(radius - np.abs(a - b), 0)
    return np.maximum(a, b) + blend * blend * (0.25 / radius)


def smooth_step(a: Array) -> Array:
    """0 below 0, 1 above 1, and a cubic between."""
    a = np.clip(a, 0, 1)
    return a * a * (3 - 2 * a)


def union(*surfaces: Surface, radius: float = 0.0) -> Surface:
    """Points of any body; edges between them rounded by `radius` mm."""
    return _combined(surfaces, radius, smooth_min, np.minimum)


def intersection(*surfaces: Surface, radius: float = 0.0) -> Surface:
    """Points of every body; edges rounded by `radius` mm."""
    return _combined(surfaces, radius, smooth_max, np.maximum)


def _combined(surfaces, radius, smooth, sharp):  # type: ignore[no-untyped-def]
    def combined(points: Points) -> Array:
        value = points.of(surfaces[0])
        for surface in surfaces[1:]:
            other = points.of(surface)
            value = smooth(value, other, radius) if radius else sharp(value, other)
        return value

    return combined


def complement(surface: Surface) -> Surface:
    """Everything outside the body."""
    return lambda points: -points.of(surface)


def grown(surface: Surface, by: float) -> Surface:
    """The body, larger by `by` mm all around (smaller where negative)."""
    return lambda points: points.of(surface) - by


def rippled(surface: Surface, by: float, folds: Surface) -> Surface:
    """The body with its surface moved out by `by` mm times `folds`."""
    return lambda points: points.of(surface) - by * points.of(folds)


def ellipsoid(centre: Sequence[float], radii: Sequence[float]) -> Surface:
    """An ellipsoid along the axes."""
    (cx, cy, cz), (rx, ry, rz) = map(_floats, (centre, radii))
    smallest = min(rx, ry, rz)

    def surface(p: Points) -> Array:
        squared = ((p.x - cx) / rx) ** 2 + ((p.y - cy) / ry) ** 2 + ((p.z - cz) / rz) ** 2
        return (np.sqrt(squared) - 1) * smallest

    return surface


# Functions of height share one table: where a point lies in it is found once.
_LOWEST, _STEP, _STEPS = -150.0, 0.5, 600


def _place(p: Points) -> Array:
    return np.clip((p.z - _LOWEST) * (1 / _STEP), 0, _STEPS - 1)


def _index(p: Points) -> Array:
    return p.of(_place).astype(np.int32)


def _fraction(p: Points) -> Array:
    return p.of(_place) - p.of(_index).astype(np.float32)


def by_height(z: ArrayLike, values: ArrayLike) -> Surface:
    """A smooth function of z through ascending knots, constant beyond them."""
    knots = np.asarray(z, float)
    heights = np.clip(_LOWEST + _STEP * np.arange(_STEPS + 1), knots[0], knots[-1])
    table = PchipInterpolator(knots, values)(heights).astype(np.float32)
    rise = np.append(np.diff(table), np.float32(0))

    def function(p: Points) -> Array:
        index = p.of(_index)
        return table[index] + p.of(_fraction) * rise[index]

    return function


def column(
    z: Sequence[float],
    x: Sequence[float],
    y: Sequence[float],
    half_width: Sequence[float],
    half_depth: Sequence[float],
    turn_deg: float = 0.0,
) -> Surface:
    """An elliptic column that runs along z and ends where its half-width falls to 0.

    Args:
        z: ascending knots.
        x: of the centre at each knot; `y` likewise.
        y: see `x`.
        half_width: of the ellipse along x before it is turned, at each knot.
        half_depth: along y.
        turn_deg: of the ellipse about the column.
    """
    centre_x, centre_y = by_height(z, x), by_height(z, y)
    a, b = (by_height(z, np.maximum(half, 0.05)) for half in (half_width, half_depth))
    cos, sin = float(np.cos(np.deg2rad(turn_deg))), float(np.sin(np.deg2rad(turn_deg)))
    low, high = float(z[0]), float(z[-1])

    def surface(p: Points) -> Array:
        dx, dy = p.x - centre_x(p), p.y - centre_y(p)
        width, depth = a(p), b(p)
        u, v = (cos * dx + sin * dy) / width, (cos * dy - sin * dx) / depth
        side = (np.sqrt(u * u + v * v) - 1) * np.minimum(width, depth)
        return np.maximum(side, np.maximum(low - p.z, p.z - high))

    return surface


def cord(
    path: Sequence[Sequence[float]],
    radius: float | Sequence[float],
    across: Sequence[float] = (1, 0, 0),
    flatness: float = 1.0,
) -> list[Surface]:
    """The pieces of a rounded cord along a smooth path; of a band where `flatness` is above 1.

    Args:
        path: (n, 3) points it passes through.
        radius: half its thickness, mm; one, or one per point of the path.
        across: the direction in which a band is wide.
        flatness: half-width over half-thickness.
    """
    knots = np.asarray(path, float)
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))]
    fine = np.linspace(0, along[-1], 3 * len(knots) - 2)
    nodes = PchipInterpolator(along, knots)(fine)
    radii = np.interp(fine, along, np.broadcast_to(radius, len(knots)))
    wide = np.asarray(across, float) / np.linalg.norm(across)
    return [
        _piece(_floats(a), _floats(b - a), float(r), float(s - r), _floats(wide), flatness)
        for a, b, r, s in zip(nodes[:-1], nodes[1:], radii[:-1], radii[1:], strict=True)
    ]


def _piece(
    start: list[float],
    step: list[float],
    radius: float,
    widening: float,
    wide: list[float],
    flatness: float,
) -> Surface:
    (ax, ay, az), (wx, wy, wz), squeeze = start, wide, 1 - 1 / flatness
    # A band is a round cord in a space squeezed along `wide`: its pieces meet without gaps.
    aside = squeeze * sum(w * s for w, s in zip(wide, step, strict=True))
    bx, by, bz = (s - aside * w for w, s in zip(wide, step, strict=True))
    length = max(bx * bx + by * by + bz * bz, 1e-6)

    def surface(p: Points) -> Array:
        dx, dy, dz = p.x - ax, p.y - ay, p.z - az
        if squeeze:
            aside = (dx * wx + dy * wy + dz * wz) * squeeze
            dx, dy, dz = dx - aside * wx, dy - aside * wy, dz - aside * wz
        t = np.clip((dx * bx + dy * by + dz * bz) * (1 / length), 0, 1)
        dx, dy, dz = dx - t * bx, dy - t * by, dz - t * bz
        return np.sqrt(dx * dx + dy * dy + dz * dz) - (radius + widening * t)

    return surface


def crossing(surface: Surface, start: Sequence[float], towards: Sequence[float]) -> list[float]:
    """The first point of the body's surface on the way from outside it, in steps of 0.05 mm."""
    a, b = np.asarray(start, float), np.asarray(towards, float)
    t = np.linspace(0, 1, int(np.linalg.norm(b - a) / 0.05) + 2)[:, None]
    way = a + t * (b - a)
    inside = surface(Points(*way.astype(np.float32).T)) < 0
    return _floats(way[int(np.argmax(inside))])


def _floats(values: Sequence[float] | NDArray[np.floating]) -> list[float]:
    return [float(value) for value in values]
