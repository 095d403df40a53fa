"""Femur, tibia, patella and fibula, and the cartilage on them.

An articulating bone is its outer surface, cartilage included, and the cartilage's thickness as a
function of space: the bone proper is what lies deeper than that.
"""

from dataclasses import dataclass

import numpy as np

from phantom.anatomy.implicit_surfaces import (
    Array,
    Points,
    Surface,
    column,
    complement,
    ellipsoid,
    intersection,
    smooth_max,
    smooth_step,
    union,
)

MEDIAL, LATERAL = -1, 1
CONDYLE_X = 22.0  # of a condyle's crown, from the midline
PLATEAU_X = 21.0


def _bare(p: Points) -> Array:
    return np.zeros_like(p.x)


@dataclass(frozen=True, eq=False)
class Bone:
    """A bone's outer surface (cartilage included) and its cartilage's thickness in mm.

    `plateau` is the height above a tibia's articular surface.
    """

    outer: Surface
    thickness: Surface = _bare
    plateau: Surface | None = None

    def osseous(self, p: Points) -> Array:
        """The surface of the bone proper."""
        return p.of(self.outer) + p.of(self.thickness)

    def depth(self, p: Points) -> Array:
        """Within the cartilage, from 0 at its surface to 1 at the bone."""
        return np.clip(-p.of(self.outer) / np.maximum(p.of(self.thickness), 0.1), 0, 1)


@dataclass(frozen=True)
class Shape:
    """What differs between two knees, beyond size and the warp of everything; mm."""

    femoral_cartilage: float
    tibial_cartilage: float
    patellar_cartilage: float
    groove: float
    notch_width: float
    spine_height: float
    patella_height: float
    shaft: float

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "Shape":
        """A knee at random."""

        def draw(low: float, high: float) -> float:
            return float(rng.uniform(low, high))

        return cls(
            femoral_cartilage=draw(1.9, 2.7),
            tibial_cartilage=draw(2.0, 3.0),
            patellar_cartilage=draw(2.5, 3.5),
            groove=draw(25, 31),
            notch_width=draw(9.0, 11.0),
            spine_height=draw(6.0, 9.0),
            patella_height=draw(34, 40),
            shaft=draw(0.93, 1.07),
        )


# Distance of the articular surface from the condylar axis, by the angle from straight down
# towards anterior (deg): a spiral, tight behind, wide at the trochlea.
PROFILE_DEG = (-180, -150, -120, -90, -60, -30, 0, 30, 60, 90, 110, 130, 150)
PROFILE_MM = (21, 20, 20.3, 20.8, 21.2, 21.6, 22, 24.3, 29.5, 35, 36.5, 34, 27)
AXIS_Y, AXIS_Z = 10.0, 22.0
HARMONICS = 4


def femur(shape: Shape) -> Bone:
    """Condyles and trochlea on a shaft, less the intercondylar notch."""
    angle = np.deg2rad(PROFILE_DEG)
    basis = np.stack([f(k * angle) for k in range(HARMONICS + 1) for f in (np.cos, np.sin)], 1)
    fit = np.linalg.lstsq(basis, np.array(PROFILE_MM), rcond=None)[0]
    profile = [(float(fit[2 * k]), float(fit[2 * k + 1])) for k in range(HARMONICS + 1)]

    def polar(p: Points) -> tuple[Array, Array, Array]:
        down, front = AXIS_Z - p.z, AXIS_Y - p.y
        rho = np.sqrt(down * down + front * front) + 1e-3
        return rho, down / rho, front / rho

    def condyles(p: Points) -> Array:
        rho, cos, sin = polar(p)
        radius, c, s = np.full_like(rho, profile[0][0]), np.ones_like(rho), np.zeros_like(rho)
        for a, b in profile[1:]:
            c, s = c * cos - s * sin, s * cos + c * sin
            radius += a * c + b * s
        anterior = smooth_step(sin * 1.5)
        off = np.sqrt(p.x * p.x + 9) - (CONDYLE_X - 3 * anterior)
        crown = off * off / (52 + (2 * shape.groove - 52) * anterior)
        radius += anterior * smooth_step((p.x + 12) / 24) * 2.5 - np.minimum(crown, 12)
        return (rho - radius) * 0.95

    def walls(p: Points) -> Array:
        bump = np.exp(-((p.y - 4) ** 2 + (p.z - 24) ** 2) / 160)
        narrowing = 0.5 * np.maximum(-3 - p.y, 0) + 0.25 * np.maximum(p.y - 18, 0)
        return (np.abs(p.x) - (38.5 + 3.0 * bump - narrowing)) * 0.9

    def top(p: Points) -> Array:
        return (p.z - 44 - 0.2 * p.y) * 0.9

    def notch(p: Points) -> Array:
        roof = 6 + 0.62 * (p.y + 6)
        above = np.maximum(p.z - roof, 0)
        tunnel = np.sqrt(p.x * p.x + above * above) - shape.notch_width
        return smooth_max(tunnel, -7 - p.y, 3.0)

    shaft = column(
        [16, 26, 36, 46, 60, 80, 120],
        [0, 0, 0, 0, 1, 1, 1],
        [6, 6, 5, 4, 3.5, 3.5, 3],
        [36, 36.5, 32, 26, 20.5 * shape.shaft, 16.5 * shape.shaft, 15 * shape.shaft],
        [18, 22, 22, 20, 17 * shape.shaft, 15 * shape.shaft, 14.5 * shape.shaft],
    )
    body = union(intersection(condyles, walls, top, radius=7), shaft, radius=9)
    outer = intersection(body, complement(notch), radius=4)

    def thickness(p: Points) -> Array:
        _, cos, sin = polar(p)
        # 1 + cos(angle from the middle of the covered arc): falls to its ends at both horizons.
        middle = np.deg2rad(8)
        arc = cos * float(np.cos(middle)) + sin * float(np.sin(middle)) + 0.42
        edge = np.minimum(arc * 22, -p.of(walls) - 3.5)
        edge = np.minimum(edge, p.of(notch) * 1.2 - 1)
        load = 1 + 0.15 * np.cos(p.x * 0.14) + 0.1 * np.sin(p.y * 0.13)
        return shape.femoral_cartilage * load * smooth_step(edge / 4)

    return Bone(outer, thickness)


def tibia(shape: Shape) -> Bone:
    """A plateau with two spines on a shaft, with its tuberosity."""

    def height(p: Points) -> Array:
        medial = (p.x + PLATEAU_X) ** 2 * (0.5 / 55) + (p.y - 6) ** 2 * (0.5 / 90)
        lateral = (p.x - PLATEAU_X) ** 2 * (0.5 / 70) - (p.y - 6) ** 2 * (0.5 / 120)
        side = smooth_step((p.x + 5) / 10)
        bowl = medial + (lateral - medial) * side - 0.05 * (p.y - 8) - 0.25
        spines = np.exp(-((p.x + 6) ** 2 / 22 + (p.y - 8) ** 2 / 80))
        spines = spines + 0.85 * np.exp(-((p.x - 6.5) ** 2 / 22 + (p.y - 5) ** 2 / 60))
        return np.minimum(bowl, 3) + shape.spine_height * spines

    def top(p: Points) -> Array:
        return (p.z - height(p)) * 0.92

    body = column(
        [-140, -80, -60, -45, -28, -14, -5, 12],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [4, 3, 2, 2, 4, 6, 6, 6],
        [13, 14, 16, 20, 28.5, 35.5, 37.5, 37.5],
        [14, 15, 17.5, 20, 22, 24.5, 25.5, 25.5],
    )
    fossa = ellipsoid((0, 36, 2), (9, 12, 22))
    tuberosity = ellipsoid((3, -17, -38), (9, 8, 16))
    plateau = intersection(intersection(body, top, radius=3), complement(fossa), radius=5)
    outer = union(plateau, tuberosity, radius=8)

    def disc(p: Points, x: float, y: float, rx: float, ry: float) -> Array:
        return 1 - np.sqrt(((p.x - x) / rx) ** 2 + ((p.y - y) / ry) ** 2)

    def thickness(p: Points) -> Array:
        medial = smooth_step(disc(p, -PLATEAU_X, 6.5, 14.5, 21) * 2.2)
        lateral = smooth_step(disc(p, PLATEAU_X, 6, 14.5, 18) * 2.2) * 1.15
        return shape.tibial_cartilage * np.maximum(medial, lateral) * smooth_step((p.z + 9) / 3)

    return Bone(outer, thickness, plateau=top)


def patella(shape: Shape, groove_y: float) -> Bone:
    """An oval with two facets behind, its ridge at `groove_y` (the trochlea's groove)."""
    z = shape.patella_height
    oval = ellipsoid((1, groove_y - 9, z), (22, 12.5, 20.5))
    slope = 0.36

    def facets(p: Points) -> Array:
        ridge = groove_y + 1.4 - slope * np.sqrt((p.x - 1) ** 2 + 12)
        return (p.y - ridge + 0.004 * (p.z - z) ** 2) * 0.92

    outer = intersection(oval, facets, radius=5)

    def thickness(p: Points) -> Array:
        inside = 1 - np.sqrt(((p.x - 1) / 20) ** 2 + ((p.z - z - 2) / 16.5) ** 2)
        behind = smooth_step((p.y - groove_y + 13) / 5)
        return shape.patellar_cartilage * smooth_step(inside * 2.5) * behind

    return Bone(outer, thickness)


def fibula() -> Bone:
    """A head behind the lateral plateau, on a thin shaft."""
    shaft = column([-140, -75, -40, -12], [29, 30, 32.5, 33], [21, 21, 22, 24], [6, 5.5, 5.5, 6],
                   [6, 6, 6, 6])  # fmt: skip
    return Bone(union(ellipsoid((33.5, 23.5, -17), (9.5, 10, 10.5)), shaft, radius=5))
