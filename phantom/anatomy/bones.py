"""Femur, tibia, patella and fibula with their cartilage.

An articulating bone is described by its outer surface, which includes the cartilage, and by the
thickness of the cartilage as a function of space. The bone itself is what lies deeper than that.
"""

from dataclasses import dataclass, replace

import numpy as np

from phantom.anatomy.implicit_surfaces import (
    Array,
    Points,
    Surface,
    column,
    complement,
    dilated,
    ellipsoid,
    first_hit,
    intersection,
    smooth_max,
    smooth_step,
    union,
)

CONDYLE_X = 22.0  # distance of a condyle's crown from the midline, mm
PLATEAU_X = 21.0  # distance of the middle of a tibial plateau from the midline, mm
CLEARANCE_MM = 0.1  # between the cartilages of two bones (a choice)


def _no_cartilage(p: Points) -> Array:
    return np.zeros_like(p.x)


@dataclass(frozen=True, eq=False)
class Bone:
    """A bone and its cartilage.

    Attributes:
        outer: the outer surface, cartilage included.
        thickness: thickness of the cartilage as a function of space, mm.
        plateau: height above the articular surface; only of the tibia.
    """

    outer: Surface
    thickness: Surface = _no_cartilage
    plateau: Surface | None = None

    def osseous(self, p: Points) -> Array:
        """The surface of the bone without its cartilage."""
        return p.value(self.outer) + p.value(self.thickness)

    def depth(self, p: Points) -> Array:
        """Relative depth within the cartilage, from 0 at its surface to 1 at the bone."""
        return np.clip(-p.value(self.outer) / np.maximum(p.value(self.thickness), 0.1), 0, 1)

    def beside(self, other: "Bone") -> "Bone":
        """The bone that leaves room for another one; its cartilage is as thick as before."""
        free = complement(dilated(other.outer, CLEARANCE_MM))
        return replace(self, outer=intersection(self.outer, free))


class Shape:
    """The dimensions in which two knees differ, besides their size and the overall warp.

    Thickness of cartilage is that in the middle of a compartment. Its means over compartments are
    those of 686 people without osteoarthritis: 1.73 (medial) and 2.09 mm (lateral tibia), 1.86 and
    1.77 mm (weight-bearing femur). Their largest possible Z-scores of 5.6 to 9.8 imply standard
    deviations of 10 to 18 % (Eckstein et al. 2010, PubMed 20691798). The patella's is 2.76 mm in
    men, with correlations of 0.08 to 0.78 between plates and of only 0.22 with body height
    (Eckstein et al. 2001, PubMed 11237657). It is 1.22 times women's (Draper et al. 2006, PubMed
    16647278), so that the mean of both is 2.51 mm. So each compartment varies by itself by 11 %
    besides what all share. The trochlea's is a choice.

    Attributes:
        femoral_cartilage, tibial_cartilage: medial and lateral, mm.
        patellar_cartilage, trochlear_cartilage: mm.
        condyle_width: relative to the reference knee.
        groove: radius of the trochlear groove, mm.
        notch_width: half of it, mm.
        roof_slope: of the roof of the notch, tangent.
        spine_height, patella_height: mm.
        plateau_slope: of the tibial plateau towards behind, tangent.
        plateau_radius: of the medial bowl relative to the reference knee.
        facets: slope of the facets of the patella, medial and lateral (Wiberg's types).
        shaft: width relative to the reference knee.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        shared = float(np.clip(rng.normal(1, 0.11), 0.75, 1.25))

        def thickness(mean_mm: float) -> float:
            return mean_mm * shared * float(np.clip(rng.normal(1, 0.11), 0.75, 1.3))

        self.femoral_cartilage = thickness(2.18), thickness(2.09)
        self.tibial_cartilage = thickness(2.45), thickness(3.0)
        self.trochlear_cartilage, self.patellar_cartilage = thickness(2.5), thickness(3.45)
        self.condyle_width = rng.uniform(0.95, 1.05)
        self.groove = rng.uniform(24, 33)
        self.notch_width = rng.uniform(8.0, 11.5)
        self.spine_height = rng.uniform(5.5, 9.5)
        self.roof_slope = rng.uniform(0.85, 1.15)
        self.patella_height = rng.uniform(33, 41)
        self.plateau_slope = rng.uniform(0.02, 0.14)  # 1 to 8 degrees
        self.plateau_radius = rng.uniform(0.8, 1.3)
        self.facets = rng.uniform(0.32, 0.5), rng.uniform(0.28, 0.36)
        self.shaft = rng.uniform(0.93, 1.07)
        self._waves = [
            (rng.normal(0, 0.12, 3).tolist(), float(rng.uniform(0, 6)), rng.uniform(0.02, 0.09))
            for _ in range(4)
        ]

    def relative_thickness(self, p: Points) -> Array:
        """How the thickness of cartilage varies within a compartment, about 1."""
        waves = [
            amplitude * np.sin(kx * p.x + ky * p.y + kz * p.z + phase)
            for (kx, ky, kz), phase, amplitude in self._waves
        ]
        return 1 + sum(waves[1:], waves[0])


# Distance of the articular surface from the condylar axis by the angle from straight down towards
# anterior: a spiral, tight behind and wide at the trochlea.
PROFILE_DEG = (-180, -150, -120, -90, -60, -30, 0, 30, 60, 90, 110, 130, 150)
PROFILE_MM = (21, 20, 20.3, 20.8, 21.2, 21.6, 22, 24.3, 29.5, 35, 36.5, 34, 27)
AXIS_Y, AXIS_Z = 10.0, 22.0  # of the condyles
HARMONICS = 4


def femur(shape: Shape) -> Bone:
    """Condyles and trochlea on a shaft, without the intercondylar notch."""
    shaft = column(
        z=[16, 26, 36, 46, 60, 80, 120],
        x=[0, 0, 0, 0, 1, 1, 1],
        y=[6, 6, 5, 4, 3.5, 3.5, 3],
        half_width=[36, 36.5, 32, 26, 20.5 * shape.shaft, 16.5 * shape.shaft, 15 * shape.shaft],
        half_depth=[18, 22, 22, 20, 17 * shape.shaft, 15 * shape.shaft, 14.5 * shape.shaft],
    )
    condyles = intersection(_condyles(shape), _condylar_walls, _condylar_top, radius=7)
    notch = _notch(shape)

    def thickness(p: Points) -> Array:
        _, cos, sin = _polar(p)
        # 1 + cos(angle from the middle of the covered arc): it falls to the ends at both horizons.
        middle = np.deg2rad(8)
        arc = cos * float(np.cos(middle)) + sin * float(np.sin(middle)) + 0.42
        edge = np.minimum(arc * 22, -p.value(_condylar_walls) - 3.5)
        edge = np.minimum(edge, p.value(notch) * 1.2 - 1)
        medial, lateral = shape.femoral_cartilage
        condyles = medial + (lateral - medial) * smooth_step((p.x + 8) / 16)
        front = smooth_step((-4 - p.y) / 10)
        middle_mm = condyles + (shape.trochlear_cartilage - condyles) * front
        return middle_mm * p.value(shape.relative_thickness) * smooth_step(edge / 6)

    body = union(condyles, shaft, radius=9)
    return Bone(intersection(body, complement(notch), radius=4), thickness)


def _polar(p: Points) -> tuple[Array, Array, Array]:
    """Distance from the condylar axis, and cosine and sine of the angle of `PROFILE_DEG`."""
    down, front = AXIS_Z - p.z, AXIS_Y - p.y
    rho = np.sqrt(down * down + front * front) + 1e-3
    return rho, down / rho, front / rho


def _fourier_profile() -> list[tuple[float, float]]:
    """Cosine and sine coefficients of the condylar profile, mm, for each harmonic."""
    angle = np.deg2rad(PROFILE_DEG)
    basis = np.stack([f(k * angle) for k in range(HARMONICS + 1) for f in (np.cos, np.sin)], 1)
    fit = np.linalg.lstsq(basis, np.array(PROFILE_MM), rcond=None)[0]
    return [(float(fit[2 * k]), float(fit[2 * k + 1])) for k in range(HARMONICS + 1)]


def _condyles(shape: Shape) -> Surface:
    profile = _fourier_profile()

    def surface(p: Points) -> Array:
        rho, cos, sin = _polar(p)
        radius, c, s = np.full_like(rho, profile[0][0]), np.ones_like(rho), np.zeros_like(rho)
        for a, b in profile[1:]:
            c, s = c * cos - s * sin, s * cos + c * sin
            radius += a * c + b * s
        anterior = smooth_step(sin * 1.5)
        x = p.x / shape.condyle_width
        off_crown = np.sqrt(x * x + 9) - (CONDYLE_X - 3 * anterior)
        crown = off_crown * off_crown / (52 + (2 * shape.groove - 52) * anterior)
        ridge = smooth_step(2 * sin - 1) * smooth_step((p.x + 12) / 24)  # of the lateral trochlea
        radius += 2.5 * ridge - np.minimum(crown, 12)
        return (rho - radius) * 0.95

    return surface


def _condylar_walls(p: Points) -> Array:
    bump = np.exp(-((p.y - 4) ** 2 + (p.z - 24) ** 2) / 160)
    narrowing = 0.5 * np.maximum(-3 - p.y, 0) + 0.25 * np.maximum(p.y - 18, 0)
    return (np.abs(p.x) - (38.5 + 3.0 * bump - narrowing)) * 0.9


def _condylar_top(p: Points) -> Array:
    return (p.z - 44 - 0.2 * p.y) * 0.9


def _notch(shape: Shape) -> Surface:
    steepness = float(np.hypot(1, shape.roof_slope))

    def surface(p: Points) -> Array:
        roof = 20 + shape.roof_slope * (p.y - 8)
        above = np.maximum((p.z - roof) / steepness + shape.notch_width, 0)
        tunnel = np.sqrt(p.x * p.x + above * above) - shape.notch_width
        return smooth_max(tunnel, -7 - p.y, 3.0)

    return surface


def tibia(shape: Shape) -> Bone:
    """A plateau with two spines on a shaft with its tuberosity."""
    plateau = _plateau(shape)
    shaft = column(
        z=[-140, -80, -60, -45, -28, -14, -5, 12],
        y=[4, 3, 2, 2, 4, 6, 6, 6],
        half_width=[13, 14, 16, 20, 28.5, 35.5, 37.5, 37.5],
        half_depth=[14, 15, 17.5, 20, 22, 24.5, 25.5, 25.5],
    )
    fossa = ellipsoid((0, 36, 2), (9, 12, 22))
    tuberosity = ellipsoid((3, -17, -38), (9, 8, 16))
    body = intersection(intersection(shaft, plateau, radius=3), complement(fossa), radius=5)

    def thickness(p: Points) -> Array:
        medial = smooth_step(_disc(p, (-PLATEAU_X, 6.5), (14.5, 21)) * 1.8)
        lateral = smooth_step(_disc(p, (PLATEAU_X, 6), (14.5, 18)) * 1.8)
        medial_mm, lateral_mm = shape.tibial_cartilage
        thickness_mm = np.maximum(medial_mm * medial, lateral_mm * lateral)
        return thickness_mm * p.value(shape.relative_thickness) * smooth_step((p.z + 9) / 3)

    return Bone(union(body, tuberosity, radius=8), thickness, plateau)


def _plateau(shape: Shape) -> Surface:
    """Height above the articular surface: a bowl and a saddle, with the spines between them."""

    def surface(p: Points) -> Array:
        medial = (p.x + PLATEAU_X) ** 2 * (0.5 / 55) + (p.y - 6) ** 2 * (0.5 / 90)
        medial = medial / shape.plateau_radius
        lateral = (p.x - PLATEAU_X) ** 2 * (0.5 / 70) - (p.y - 6) ** 2 * (0.5 / 120)
        side = smooth_step((p.x + 5) / 10)
        bowl = medial + (lateral - medial) * side - shape.plateau_slope * (p.y - 8) - 0.25
        spines = np.exp(-((p.x + 6) ** 2 / 22 + (p.y - 8) ** 2 / 80))
        spines = spines + 0.85 * np.exp(-((p.x - 6.5) ** 2 / 22 + (p.y - 5) ** 2 / 60))
        return (p.z - (np.minimum(bowl, 3) + shape.spine_height * spines)) * 0.92

    return surface


def _disc(p: Points, centre: tuple[float, float], radii: tuple[float, float]) -> Array:
    """1 at the centre of an ellipse in x and y, 0 on its edge."""
    (x, y), (rx, ry) = centre, radii
    return 1 - np.sqrt(((p.x - x) / rx) ** 2 + ((p.y - y) / ry) ** 2)


def patella(shape: Shape, ridge_y: float) -> Bone:
    """An oval with two facets behind, whose ridge lies at `ridge_y`, in the trochlear groove."""
    z = shape.patella_height
    oval = ellipsoid((1, ridge_y - 9, z), (22, 12.5, 20.5))
    medial, lateral = shape.facets

    def facets(p: Points) -> Array:
        slope = medial + (lateral - medial) * smooth_step((p.x + 3) / 8)
        ridge = ridge_y + 1.4 - slope * np.sqrt((p.x - 1) ** 2 + 12)
        return (p.y - ridge + 0.004 * (p.z - z) ** 2) * 0.92

    def thickness(p: Points) -> Array:
        inside = 1 - np.sqrt(((p.x - 1) / 20) ** 2 + ((p.z - z - 2) / 16.5) ** 2)
        behind = smooth_step((p.y - ridge_y + 13) / 5)
        thickness_mm = shape.patellar_cartilage * p.value(shape.relative_thickness)
        return thickness_mm * smooth_step(inside * 2.2) * behind

    return Bone(intersection(oval, facets, radius=5), thickness)


def joint(shape: Shape) -> dict[str, Bone]:
    """Tibia, femur and patella by the names "tibial", "femoral" and "patellar"."""
    femoral = femur(shape)
    return {
        "tibial": tibia(shape).beside(femoral),
        "femoral": femoral,
        "patellar": patella(shape, groove_y(femoral, shape) - 0.5).beside(femoral),
    }


def groove_y(femoral: Bone, shape: Shape) -> float:
    """Y of the trochlear groove at the height of the middle of the patella, mm."""
    z = shape.patella_height
    return first_hit(femoral.outer, (1, -60, z), (1, 10, z))[1]


def fibula() -> Bone:
    """A head behind the lateral plateau on a thin shaft."""
    shaft = column(
        z=[-140, -75, -40, -12],
        x=[29, 30, 32.5, 33],
        y=[21, 21, 22, 24],
        half_width=[6, 5.5, 5.5, 6],
        half_depth=[6, 6, 6, 6],
    )
    return Bone(union(ellipsoid((33.5, 23.5, -17), (9.5, 10, 10.5)), shaft, radius=5))
