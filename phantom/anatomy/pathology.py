"""What can be wrong with a knee: findings drawn at random, and how each changes the anatomy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from phantom.anatomy.bones import AXIS_Y, AXIS_Z, CONDYLE_X, PLATEAU_X, Bone
from phantom.anatomy.implicit_surfaces import (
    Array,
    Points,
    Surface,
    crossing,
    ellipsoid,
    intersection,
    smooth_step,
    union,
)

PROBABILITY = {
    "cartilage_defect": 0.35,
    "raised_cartilage_t2": 0.4,
    "effusion": 0.4,
    "meniscal_tear": 0.3,
    "osteophyte": 0.3,
    "bone_marrow_lesion": 0.3,
    "subchondral_cyst": 0.2,
    "popliteal_cyst": 0.15,
}
SIDES = {"medial": -1, "lateral": 1}


@dataclass(frozen=True)
class Finding:
    """One finding.

    Attributes:
        kind: one of `PROBABILITY`.
        where: compartment or side, as in the labels ("medial_femoral", "medial", "joint").
        centre: reference mm.
        size_mm: its radius; of an effusion, half the thickness of the pouch.
        severity: 0 to 1; of a defect, the part of the cartilage's thickness that is lost.
    """

    kind: str
    where: str
    centre: tuple[float, float, float]
    size_mm: float
    severity: float = 1.0

    def distance(self, p: Points) -> Array:
        """From its centre, mm."""
        x, y, z = self.centre
        return np.sqrt((p.x - x) ** 2 + (p.y - y) ** 2 + (p.z - z) ** 2)

    def weight(self, p: Points, edge: float) -> Array:
        """1 inside, falling to 0 over the outer `edge` (a fraction of its size)."""
        return smooth_step((1 - p.of(self.distance) / self.size_mm) / edge)


def drawn(rng: np.random.Generator, joint: dict[str, Bone]) -> list[Finding]:
    """The findings of one knee; none in about one knee of eight.

    Args:
        rng: what draws them.
        joint: the healthy bones, by the names "femoral", "tibial" and "patellar".
    """
    kinds = [kind for kind, probability in PROBABILITY.items() if rng.random() < probability]
    return [_finding(kind, rng, joint) for kind in kinds]


def _finding(kind: str, rng: np.random.Generator, joint: dict[str, Bone]) -> Finding:
    side = str(rng.choice(["medial", "lateral"], p=[0.65, 0.35]))
    if kind == "effusion":
        return Finding(kind, "joint", (1, -19, 62), float(rng.uniform(2.5, 4.5)))
    if kind == "meniscal_tear":
        centre = (SIDES[side] * (PLATEAU_X + 3), float(rng.uniform(17, 21)), 2.5)
        return Finding(kind, side, centre, float(rng.uniform(6, 10)), float(rng.uniform(0.4, 1)))
    if kind == "popliteal_cyst":
        return Finding(kind, "medial", (-13, 41, 4), float(rng.uniform(4, 9)))
    if kind == "osteophyte":
        bone = str(rng.choice(["femoral", "tibial"]))
        x, z = (37.0, 9.0) if bone == "femoral" else (36.5, -2.5)
        centre = (SIDES[side] * x, float(rng.uniform(-6, 16)), z)
        return Finding(kind, f"{side}_{bone}", centre, float(rng.uniform(2, 4.5)))
    surface_sizes: dict[str, tuple[float, float]] = {
        "cartilage_defect": (3, 7),
        "raised_cartilage_t2": (6, 14),
        "bone_marrow_lesion": (6, 12),
        "subchondral_cyst": (2, 4),
    }
    bone = str(rng.choice(["femoral", "tibial", "patellar"], p=[0.5, 0.3, 0.2]))
    size, severity = float(rng.uniform(*surface_sizes[kind])), float(rng.uniform(0.4, 1))
    under = {"bone_marrow_lesion": 0.8 * size + 2, "subchondral_cyst": size + 2.8}.get(kind, 0.0)
    where = "patellar" if bone == "patellar" else f"{side}_{bone}"
    return Finding(kind, where, _site(bone, side, under, rng, joint[bone]), size, severity)


def _site(
    bone: str, side: str, under: float, rng: np.random.Generator, body: Bone
) -> tuple[float, float, float]:
    """A point on a bone's articular surface, or `under` mm beneath it."""
    if bone == "femoral":
        angle, x = np.deg2rad(rng.uniform(-55, 45)), SIDES[side] * (CONDYLE_X + rng.uniform(-5, 4))
        towards = np.array([x, AXIS_Y, AXIS_Z])
        start = towards - 45 * np.array([0, np.sin(angle), np.cos(angle)])
    elif bone == "tibial":
        x, y = SIDES[side] * (PLATEAU_X + rng.uniform(-5, 4)), 6 + rng.uniform(-8, 8)
        start, towards = np.array([x, y, 20]), np.array([x, y, -20])
    else:
        x, z = rng.uniform(-10, 12), rng.uniform(34, 44)
        start, towards = np.array([x, -5, z]), np.array([x, -45, z])
    on = np.array(crossing(body.outer, start.tolist(), towards.tolist()))
    x, y, z = on + under * (towards - start) / np.linalg.norm(towards - start)
    return float(x), float(y), float(z)


def affected(bone: Bone, name: str, findings: Sequence[Finding]) -> Bone:
    """The bone with its defects and osteophytes."""
    for finding in findings:
        if finding.kind == "osteophyte" and finding.where.endswith(name):
            r = finding.size_mm
            spur = ellipsoid(finding.centre, (r, 1.8 * r, 0.8 * r))
            bone = replace(bone, outer=union(bone.outer, spur, radius=2.5))
        elif finding.kind == "cartilage_defect" and finding.where.endswith(name):
            bone = _worn(bone, finding)
    return bone


def _worn(bone: Bone, finding: Finding) -> Bone:
    def lost(p: Points) -> Array:
        return finding.severity * finding.weight(p, 0.35) * p.of(bone.thickness)

    return replace(
        bone,
        outer=lambda p: p.of(bone.outer) + p.of(lost),
        thickness=lambda p: p.of(bone.thickness) - p.of(lost),
    )


def softened(
    findings: Sequence[Finding], p: Points, t1: Array, t2: Array, m0: Array
) -> tuple[Array, Array, Array]:
    """Cartilage values drawn towards degenerated cartilage (1300 / 60 ms, 0.9)."""
    for finding in findings:
        if finding.kind == "raised_cartilage_t2":
            weight = 0.75 * finding.severity * finding.weight(p, 0.7)
            t1, t2, m0 = (
                value + weight * np.maximum(worst - value, 0)
                for value, worst in ((t1, 1300.0), (t2, 60.0), (m0, 0.9))
            )
    return t1, t2, m0


def tears(findings: Sequence[Finding], menisci: dict[str, Surface]) -> list[Surface]:
    """Oblique clefts in the posterior horns."""

    def cleft(finding: Finding) -> Surface:
        x, y, z = finding.centre
        half = 0.25 + 0.3 * finding.severity

        def surface(p: Points) -> Array:
            plane = 0.85 * (p.z - z) + 0.45 * (p.y - y) - 0.25 * (p.x - x)
            bent = plane + 0.3 * np.sin(p.x * 0.9)
            return np.maximum(np.abs(bent) - half, p.of(finding.distance) - finding.size_mm)

        return intersection(surface, menisci[finding.where])

    return [cleft(f) for f in findings if f.kind == "meniscal_tear"]


def lesions(findings: Sequence[Finding], kind: str) -> list[tuple[Surface, Surface]]:
    """Bodies of a kind, each with its depth from 0 at its rim to 1 some mm inside."""

    def body(finding: Finding) -> Surface:
        def surface(p: Points) -> Array:
            lobes = np.sin(0.7 * p.x + 1) * np.sin(0.6 * p.y) * np.sin(0.8 * p.z + 2)
            return p.of(finding.distance) - finding.size_mm * (1 + 0.25 * lobes)

        return surface

    def depth(surface: Surface) -> Surface:
        return lambda p: np.clip(-p.of(surface) / 5, 0, 1)

    bodies: list[Callable[[Points], Array]] = [body(f) for f in findings if f.kind == kind]
    return [(surface, depth(surface)) for surface in bodies]


def worst(findings: Sequence[Finding], kind: str) -> float:
    """The largest size among findings of a kind, 0 where there is none."""
    return max((f.size_mm for f in findings if f.kind == kind), default=0.0)
