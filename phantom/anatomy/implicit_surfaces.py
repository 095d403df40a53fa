"""Implicit surfaces: functions that are negative inside a body and approximate the distance to it.

Coordinates are those of a reference knee in mm: x points lateral, y posterior and z superior; the
origin lies between the femoral condyles and the tibial plateau. Distances are in mm.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.floating]
Vector = Sequence[float]


class Points:
    """Positions in the reference knee; every surface is evaluated at most once on them.

    Attributes:
        x, y, z: float32 (n,), reference mm.
        axes: all three.
    """

    def __init__(self, x: Array, y: Array, z: Array) -> None:
        self.axes = self.x, self.y, self.z = x, y, z
        self._values: dict[Surface, Array] = {}
        self._whole: tuple[Points, NDArray[np.intp]] | None = None

    def value(self, surface: "Surface") -> Array:
        """The value of `surface` at every point. The array is cached: do not write to it."""
        if surface not in self._values:
            self._values[surface] = self._known(surface)
        return self._values[surface]

    def _known(self, surface: "Surface") -> Array:
        """From the points that these were taken of, if they know it."""
        if self._whole and self._whole[0]._knows(surface):
            return self._whole[0].value(surface)[self._whole[1]]
        return surface(self)

    def _knows(self, surface: "Surface") -> bool:
        return surface in self._values or bool(self._whole and self._whole[0]._knows(surface))

    def take(self, indices: NDArray[np.intp]) -> "Points":
        """The points with the given indices, and with what was evaluated on them."""
        part = Points(self.x[indices], self.y[indices], self.z[indices])
        part._whole = self, indices
        return part

    def within(self) -> tuple["Points", float]:
        """The middle of the points, and a radius within which all of them lie, mm."""
        low, high = (np.array([f(axis) for axis in self.axes]) for f in (np.min, np.max))
        middle = ((low + high) / 2).astype(np.float32)
        return Points(*middle[:, None]), float(np.linalg.norm(high - low)) / 2


Surface = Callable[[Points], Array]


def smooth_min(a: Array, b: Array, radius: float) -> Array:
    """The minimum of `a` and `b`, rounded where they differ by less than `radius` mm.

    The blend is quadratic and never exceeds the minimum.
    """
    blend = np.maximum(radius - np.abs(a - b), 0)
    return np.minimum(a, b) - blend * blend * (0.25 / radius)


def smooth_max(a: Array, b: Array, radius: float) -> Array:
    """The maximum of `a` and `b`, rounded where they differ by less than `radius` mm."""
    blend = np.maximum(radius - np.abs(a - b), 0)
    return np.maximum(a, b) + blend * blend * (0.25 / radius)


def two_least(values: Iterable[Array]) -> Array:
    """The least and the second least of at least two values at each point, (2, n)."""
    first, second, *others = values
    least, next_least = np.minimum(first, second), np.maximum(first, second)
    for value in others:
        next_least = np.minimum(next_least, np.maximum(least, value))
        least = np.minimum(least, value)
    return np.stack([least, next_least])


def smooth_step(a: Array) -> Array:
    """0 below 0, 1 above 1, and a cubic in between."""
    a = np.clip(a, 0, 1)
    return a * a * (3 - 2 * a)


def union(*surfaces: Surface, radius: float = 0.0) -> Surface:
    """The points inside any of the bodies. Edges between them are rounded by `radius` mm."""
    return _reduce(surfaces, partial(smooth_min, radius=radius) if radius else np.minimum)


def intersection(*surfaces: Surface, radius: float = 0.0) -> Surface:
    """The points inside all of the bodies. Edges are rounded by `radius` mm."""
    return _reduce(surfaces, partial(smooth_max, radius=radius) if radius else np.maximum)


def _reduce(surfaces: Sequence[Surface], operation: Callable[[Array, Array], Array]) -> Surface:
    return lambda points: reduce(operation, map(points.value, surfaces))


def complement(surface: Surface) -> Surface:
    """The points outside the body."""
    return lambda points: -points.value(surface)


def dilated(surface: Surface, margin_mm: float) -> Surface:
    """The body with its surface moved outwards by `margin_mm`, inwards where that is negative."""
    return lambda points: points.value(surface) - margin_mm


def displaced(surface: Surface, amplitude_mm: float, field: Surface) -> Surface:
    """The body with its surface moved outwards by `amplitude_mm` times a scalar field."""
    return lambda points: points.value(surface) - amplitude_mm * points.value(field)


def ellipsoid(centre: Vector, radii: Vector) -> Surface:
    """An ellipsoid with its axes along x, y and z."""
    (cx, cy, cz), (rx, ry, rz) = map(_floats, (centre, radii))
    smallest = min(rx, ry, rz)

    def surface(p: Points) -> Array:
        squared = ((p.x - cx) / rx) ** 2 + ((p.y - cy) / ry) ** 2 + ((p.z - cz) / rz) ** 2
        return (np.sqrt(squared) - 1) * smallest

    return surface


# All functions of height are tables on one grid of z, so that the place of a point in the grid is
# computed once.
_LOWEST_MM, _STEP_MM, _STEPS = -150.0, 0.5, 600


def _grid_position(p: Points) -> Array:
    return np.clip((p.z - _LOWEST_MM) * (1 / _STEP_MM), 0, _STEPS - 1)


def _grid_index(p: Points) -> Array:
    return p.value(_grid_position).astype(np.int32)


def _grid_fraction(p: Points) -> Array:
    return p.value(_grid_position) - p.value(_grid_index).astype(np.float32)


def by_height(z: ArrayLike, values: ArrayLike) -> Surface:
    """A smooth function of z through ascending knots, constant beyond them."""
    knots = np.asarray(z, float)
    heights = np.clip(_LOWEST_MM + _STEP_MM * np.arange(_STEPS + 1), knots[0], knots[-1])
    table = PchipInterpolator(knots, np.broadcast_to(values, knots.shape))(heights)
    table = table.astype(np.float32)
    rise = np.append(np.diff(table), np.float32(0))

    def function(p: Points) -> Array:
        index = p.value(_grid_index).astype(np.int32, copy=False)
        return table.take(index) + p.value(_grid_fraction) * rise.take(index)

    return function


def column(
    *,
    z: Vector,
    x: Vector | float = 0.0,
    y: Vector,
    half_width: Vector,
    half_depth: Vector,
    rotation_deg: float = 0.0,
) -> Surface:
    """An elliptic column along z that ends where its half-width falls to 0.

    The distance from its side is (k - 1) k / |p / r^2| with k = |p / r|, whose gradient is 1 on the
    surface; beyond its ends it is the distance from their edges.

    Args:
        z: ascending knots, mm.
        x: x of the centre, one value or one at each knot, mm.
        y: y of the centre at each knot, mm.
        half_width: semi-axis along x at each knot, before the rotation, mm.
        half_depth: semi-axis along y at each knot, before the rotation, mm.
        rotation_deg: rotation of the ellipse about the column.
    """
    centre_x, centre_y = by_height(z, x), by_height(z, y)
    a, b = (by_height(z, np.maximum(half, 0.05)) for half in (half_width, half_depth))
    angle = np.deg2rad(rotation_deg)
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    low, high = float(z[0]), float(z[-1])

    def surface(p: Points) -> Array:
        dx, dy = p.x - centre_x(p), p.y - centre_y(p)
        width, depth = a(p), b(p)
        u, v = (cos * dx + sin * dy) / width, (cos * dy - sin * dx) / depth
        k = np.sqrt(u * u + v * v)
        slope = np.sqrt((u / width) ** 2 + (v / depth) ** 2)
        radius = np.where(k > 1e-3, k / np.maximum(slope, 1e-6), np.minimum(width, depth))
        side = (k - 1) * radius
        cap = np.maximum(low - p.z, p.z - high)
        beside, beyond = np.maximum(side, 0), np.maximum(cap, 0)
        outside = np.sqrt(beside * beside + beyond * beyond)
        return outside + np.minimum(np.maximum(side, cap), 0)

    return surface


def cord(
    path: Sequence[Vector],
    radius: ArrayLike,
    wide_axis: Vector = (1, 0, 0),
    flatness: float = 1.0,
) -> list["Capsule"]:
    """The segments of a rounded cord along a smooth path, or of a flat band.

    Args:
        path: (n, 3) points that the path runs through, mm.
        radius: half the thickness in mm, either one value or one per point of the path.
        wide_axis: the direction in which a band is wide.
        flatness: half-width divided by half-thickness. A cord is round where this is 1.
    """
    knots = np.asarray(path, float)
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(knots, axis=0), axis=1))]
    positions = np.linspace(0, length[-1], 3 * len(knots) - 2)
    nodes = PchipInterpolator(length, knots)(positions)
    radii = np.interp(positions, length, np.broadcast_to(radius, len(knots)))
    wide = np.asarray(wide_axis, float) / np.linalg.norm(wide_axis)
    tangents = np.gradient(nodes, axis=0)
    tangents /= np.linalg.norm(tangents, axis=1, keepdims=True)
    return [
        Capsule(a, b, (float(r), float(s)), wide, flatness, (float(u[2]), float(v[2])))
        for (a, b), (r, s), (u, v) in zip(
            pairwise(nodes), pairwise(radii), pairwise(tangents), strict=True
        )
    ]


class Capsule:
    """A capsule from one point to another, whose radius changes linearly.

    A band is a round cord in a space that is squeezed along its wide axis, so that its segments
    meet without gaps.
    """

    def __init__(
        self,
        start: NDArray[np.float64],
        end: NDArray[np.float64],
        radii: tuple[float, float],
        wide: NDArray[np.float64],
        flatness: float,
        cosines: tuple[float, float],
    ) -> None:
        self._squeeze = 1 - 1 / flatness
        self._axis, self._cosines = end - start, cosines
        self._origin = start
        step = end - start - self._squeeze * (wide @ (end - start)) * wide
        self._start, self._step, self._wide = map(_floats, (start, step, wide))
        self._squared_length = max(float(step @ step), 1e-6)
        self._radius, self._growth = radii[0], radii[1] - radii[0]

    def across(self) -> tuple[Surface, Surface]:
        """Two coordinates across the cord, from its middle, mm."""
        second = np.cross(self._axis, self._wide)
        first = np.cross(second, self._axis)
        return partial(_along, self._origin, first), partial(_along, self._origin, second)

    def cosine_to_z(self, p: Points) -> Array:
        """Cosine of the angle between the cord, which bends smoothly, and z."""
        t = np.clip(_along(self._origin, self._axis, p) / np.linalg.norm(self._axis), 0, 1)
        return self._cosines[0] + np.float32(self._cosines[1] - self._cosines[0]) * t

    def __call__(self, p: Points) -> Array:
        """Negative inside."""
        (ax, ay, az), (bx, by, bz), (wx, wy, wz) = self._start, self._step, self._wide
        dx, dy, dz = p.x - ax, p.y - ay, p.z - az
        if self._squeeze:
            shift = (dx * wx + dy * wy + dz * wz) * self._squeeze
            dx, dy, dz = dx - shift * wx, dy - shift * wy, dz - shift * wz
        t = np.clip((dx * bx + dy * by + dz * bz) * (1 / self._squared_length), 0, 1)
        dx, dy, dz = dx - t * bx, dy - t * by, dz - t * bz
        return np.sqrt(dx * dx + dy * dy + dz * dz) - (self._radius + self._growth * t)


def _along(origin: NDArray[np.float64], axis: NDArray[np.float64], p: Points) -> Array:
    """Distance of points from an origin along an axis of any length."""
    (ox, oy, oz), (ax, ay, az) = _floats(origin), _floats(axis / np.linalg.norm(axis))
    return (p.x - ox) * ax + (p.y - oy) * ay + (p.z - oz) * az


def first_hit(surface: Surface, start: Vector, end: Vector) -> list[float]:
    """The first point inside the body on the line from `start` to `end`, in steps of 0.05 mm."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    t = np.linspace(0, 1, int(np.linalg.norm(b - a) / 0.05) + 2)[:, None]
    line = a + t * (b - a)
    inside = surface(Points(*line.astype(np.float32).T)) < 0
    return _floats(line[int(np.argmax(inside))])


def _floats(values: Vector | NDArray[np.floating]) -> list[float]:
    return [float(value) for value in values]
