"""Random findings of a knee and how each of them changes the anatomy."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

import numpy as np

from phantom.anatomy.bones import AXIS_Y, AXIS_Z, CONDYLE_X, PLATEAU_X, Bone
from phantom.anatomy.implicit_surfaces import (
    Array,
    Points,
    Surface,
    cord,
    ellipsoid,
    first_hit,
    intersection,
    smooth_step,
    union,
)
from phantom.anatomy.texture import random_texture


class FindingKind(StrEnum):
    """The kinds of findings, as acquisition.json names them."""

    CARTILAGE_DEFECT = "cartilage_defect"
    CARTILAGE_THINNING = "cartilage_thinning"
    RAISED_CARTILAGE_T2 = "raised_cartilage_t2"
    EFFUSION = "effusion"
    MENISCAL_TEAR = "meniscal_tear"
    OSTEOPHYTE = "osteophyte"
    BONE_MARROW_LESION = "bone_marrow_lesion"
    SUBCHONDRAL_CYST = "subchondral_cyst"
    POPLITEAL_CYST = "popliteal_cyst"


PROBABILITY = {
    FindingKind.CARTILAGE_DEFECT: 0.35,
    FindingKind.CARTILAGE_THINNING: 0.25,
    FindingKind.RAISED_CARTILAGE_T2: 0.4,
    FindingKind.EFFUSION: 0.4,
    FindingKind.MENISCAL_TEAR: 0.3,
    FindingKind.OSTEOPHYTE: 0.3,
    FindingKind.BONE_MARROW_LESION: 0.3,
    FindingKind.SUBCHONDRAL_CYST: 0.2,
    FindingKind.POPLITEAL_CYST: 0.15,
}
# Smallest and largest radius of findings on or below an articular surface, mm.
ARTICULAR_SIZES_MM = {
    FindingKind.CARTILAGE_DEFECT: (3, 7),
    FindingKind.CARTILAGE_THINNING: (11, 18),
    FindingKind.RAISED_CARTILAGE_T2: (6, 14),
    FindingKind.BONE_MARROW_LESION: (6, 12),
    FindingKind.SUBCHONDRAL_CYST: (2, 4),
}
# What takes cartilage, and the outer fraction of its radius over which it ends: a defect has a rim,
# osteoarthritis wears the cartilage towards its middle.
EDGES = {FindingKind.CARTILAGE_DEFECT: 0.35, FindingKind.CARTILAGE_THINNING: 0.9}
DEGENERATED = (1300.0, 60.0, 0.9)  # T1 (ms), T2 (ms) and m0 of cartilage
SIDES = {"medial": -1, "lateral": 1}  # the sign of x

Position = tuple[float, float, float]


@dataclass(frozen=True)
class Finding:
    """A finding.

    Attributes:
        kind: what it is.
        where: compartment or side as in the labels ("medial_femoral", "medial", "joint").
        centre: position in the reference knee, mm.
        size_mm: its radius; for an effusion, half the gap between the walls of the pouch.
        severity: 0 to 1; the fraction of the cartilage thickness that a defect lacks, or that
            thinning has taken in its middle.
    """

    kind: FindingKind
    where: str
    centre: Position
    size_mm: float
    severity: float = 1.0

    def distance(self, p: Points) -> Array:
        """Distance from the centre, mm."""
        x, y, z = self.centre
        return np.sqrt((p.x - x) ** 2 + (p.y - y) ** 2 + (p.z - z) ** 2)

    def weight(self, p: Points, edge: float) -> Array:
        """1 inside, falling to 0 over the outer fraction `edge` of the radius."""
        return smooth_step((1 - p.value(self.distance) / self.size_mm) / edge)


def random_findings(rng: np.random.Generator, joint: dict[str, Bone]) -> list[Finding]:
    """The findings of a random knee; about one knee in eight has none.

    Args:
        rng: source of the random values.
        joint: the healthy bones by the names "femoral", "tibial" and "patellar".
    """
    kinds = [kind for kind, probability in PROBABILITY.items() if rng.random() < probability]
    return [_random_finding(kind, rng, joint) for kind in kinds]


def _random_finding(kind: FindingKind, rng: np.random.Generator, joint: dict[str, Bone]) -> Finding:
    side = str(rng.choice(["medial", "lateral"], p=[0.65, 0.35]))
    if kind == FindingKind.EFFUSION:
        return Finding(kind, "joint", (1, -19, 62), rng.uniform(2.5, 4.5))
    if kind == FindingKind.MENISCAL_TEAR:
        centre = (SIDES[side] * (PLATEAU_X + 3), rng.uniform(17, 21), 2.5)
        return Finding(kind, side, centre, rng.uniform(6, 10), rng.uniform(0.4, 1))
    if kind == FindingKind.POPLITEAL_CYST:
        return Finding(kind, "medial", (-24, 45, 5), rng.uniform(4, 8))
    if kind == FindingKind.OSTEOPHYTE:
        bone = str(rng.choice(["femoral", "tibial"]))
        x, z = (37.0, 9.0) if bone == "femoral" else (36.5, -2.5)
        centre = (SIDES[side] * x, rng.uniform(-6, 16), z)
        return Finding(kind, f"{side}_{bone}", centre, rng.uniform(2, 4.5))
    return _random_articular_finding(kind, side, rng, joint)


def _random_articular_finding(
    kind: FindingKind, side: str, rng: np.random.Generator, joint: dict[str, Bone]
) -> Finding:
    bone = str(rng.choice(["femoral", "tibial", "patellar"], p=[0.5, 0.3, 0.2]))
    size = rng.uniform(*ARTICULAR_SIZES_MM[kind])
    severity = rng.uniform(0.4, 1)
    depth_mm = {
        FindingKind.BONE_MARROW_LESION: 0.8 * size + 2,
        FindingKind.SUBCHONDRAL_CYST: size + 2.8,
    }.get(kind, 0.0)
    where = "patellar" if bone == "patellar" else f"{side}_{bone}"
    start, end = _random_line(bone, SIDES[side], rng)
    surface = np.array(first_hit(joint[bone].outer, start.tolist(), end.tolist()))
    x, y, z = surface + depth_mm * (end - start) / np.linalg.norm(end - start)
    return Finding(kind, where, (float(x), float(y), float(z)), size, severity)


def _random_line(bone: str, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of a line from within the joint through the articular surface, mm."""
    if bone == "femoral":
        angle, x = np.deg2rad(rng.uniform(-55, 45)), side * (CONDYLE_X + rng.uniform(-5, 4))
        end = np.array([x, AXIS_Y, AXIS_Z])
        return end - 45 * np.array([0, np.sin(angle), np.cos(angle)]), end
    if bone == "tibial":
        x, y = side * (PLATEAU_X + rng.uniform(-5, 4)), 6 + rng.uniform(-8, 8)
        return np.array([x, y, 20]), np.array([x, y, -20])
    x, z = rng.uniform(-10, 12), rng.uniform(34, 44)
    return np.array([x, -5, z]), np.array([x, -45, z])


def apply_findings(bone: Bone, name: str, findings: Sequence[Finding]) -> Bone:
    """The bone of the given name with its cartilage defects and osteophytes."""
    for finding in findings:
        if finding.kind == FindingKind.OSTEOPHYTE and finding.where.endswith(name):
            r = finding.size_mm
            spur = ellipsoid(finding.centre, (r, 1.8 * r, 0.8 * r))
            bone = replace(bone, outer=union(bone.outer, spur, radius=2.5))
        elif finding.kind in EDGES and finding.where.endswith(name):
            bone = _with_less_cartilage(bone, finding)
    return bone


def _with_less_cartilage(bone: Bone, finding: Finding) -> Bone:
    def lost(p: Points) -> Array:
        weight = finding.weight(p, EDGES[finding.kind])
        return finding.severity * weight * p.value(bone.thickness)

    return replace(
        bone,
        outer=lambda p: p.value(bone.outer) + p.value(lost),
        thickness=lambda p: p.value(bone.thickness) - p.value(lost),
    )


def degenerate_cartilage(
    findings: Sequence[Finding], p: Points, *values: Array
) -> tuple[Array, ...]:
    """T1, T2 and m0 of cartilage, raised towards `DEGENERATED` near raised-T2 findings."""
    for finding in findings:
        if finding.kind == FindingKind.RAISED_CARTILAGE_T2:
            weight = 0.75 * finding.severity * finding.weight(p, 0.7)
            values = tuple(
                value + weight * np.maximum(degenerated - value, 0)
                for value, degenerated in zip(values, DEGENERATED, strict=True)
            )
    return values


def meniscal_tears(findings: Sequence[Finding], menisci: dict[str, Surface]) -> list[Surface]:
    """Oblique clefts in the posterior horns of the menisci, by side."""

    def cleft(finding: Finding, p: Points) -> Array:
        x, y, z = finding.centre
        plane = 0.85 * (p.z - z) + 0.45 * (p.y - y) - 0.25 * (p.x - x)
        bent = np.abs(plane + 0.3 * np.sin(p.x * 0.9)) - (0.25 + 0.3 * finding.severity)
        return np.maximum(bent, p.value(finding.distance) - finding.size_mm)

    return [
        intersection(partial(cleft, finding), menisci[finding.where])
        for finding in findings
        if finding.kind == FindingKind.MENISCAL_TEAR
    ]


def popliteal_cysts(findings: Sequence[Finding]) -> list[Surface]:
    """Two lobes on the medial gastrocnemius, with a neck between it and semimembranosus."""
    cysts = []
    for finding in findings:
        if finding.kind == FindingKind.POPLITEAL_CYST:
            shifts = [(3, -13, 13), (-4, -5, 10), (0, 0, 0), (1, 0, -8), (3, 0, -14)]
            radii = np.multiply(finding.size_mm, [0.15, 0.35, 0.85, 0.6, 0.65])
            path = np.add(finding.centre, shifts).tolist()
            cysts.append(union(*cord(path, radii.tolist(), (0.65, 0.76, 0), 1.4), radius=2.0))
    return cysts


# How the radius of a body within bone varies around it: its relative standard deviation, and how
# fast the power of the variation falls with frequency. Lesions are feathery, cysts lobed.
OUTLINES = {FindingKind.BONE_MARROW_LESION: (0.25, 3.3), FindingKind.SUBCHONDRAL_CYST: (0.15, 6.0)}


def bodies_in_bone(
    rng: np.random.Generator, findings: Sequence[Finding], kind: FindingKind
) -> list[tuple[Surface, Surface]]:
    """Lesions with feathery edges or cysts with lobes, each with its depth.

    The depth is 0 at the rim, and 1 from 5 mm inside.
    """
    found = [finding for finding in findings if finding.kind == kind]
    if not found:
        return []
    spread, roughness = OUTLINES[kind]
    outline = random_texture(rng, (0.5, 0.5, 0.5), roughness)

    def body(finding: Finding, p: Points) -> Array:
        radius = finding.size_mm * (1 + np.float32(spread) * outline.sample(p.axes))
        return p.value(finding.distance) - radius

    def depth(surface: Surface, p: Points) -> Array:
        return np.clip(-p.value(surface) / 5, 0, 1)

    bodies = [partial(body, finding) for finding in found]
    return [(surface, partial(depth, surface)) for surface in bodies]
