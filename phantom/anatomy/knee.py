"""The knee of one subject: which tissue is at any point of it, with which T1, T2 and m0."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantom.anatomy import assembly, pathology
from phantom.anatomy.implicit_surfaces import Array, Points, Vector
from phantom.anatomy.structure import Structure
from phantom.anatomy.tissue_texture import TissueTextures
from phantom.anatomy.tissues import (
    FIRST_CARTILAGE,
    LABELS,
    TISSUES,
    cartilage_values,
    values_by_label,
)

Labels = NDArray[np.int16]
Owner = NDArray[np.intp]
MARROW_M0 = TISSUES[LABELS["marrow"]].m0  # which lesions and red marrow fade to
# A knee coil holds the knee slightly bent. The bend is spread out below the tibial cartilage.
LARGEST_FLEXION_DEG, BEND_FROM_MM, BEND_MM = 12.0, -9.0, 40.0
# Relative standard deviation between people: 5.8 ms of 36.4 in cartilage at 3 T (Pai et al. 2008,
# doi 10.1016/j.mri.2008.02.017), part of which is the scatter of the measurement.
CARTILAGE_T2_SPREAD = 0.13


@dataclass(frozen=True, eq=False)
class Material:
    """The tissue at each of n points.

    Attributes:
        label: int16.
        t1_ms: float32, in whole ms.
        t2_ms: float32, in multiples of 1/64 ms.
        m0: float32, in multiples of 1/4096.
        t2_prime_ms: float32, dephasing by susceptibility.
    """

    label: Labels
    t1_ms: Array
    t2_ms: Array
    m0: Array
    t2_prime_ms: Array


class Knee:
    """A random knee; the same generator state gives the same knee.

    Args:
        rng: source of all that is random.
        fat_t2: range from which the T2 of fat, relative to the reference knee's, is drawn.

    Attributes:
        size: relative to the reference knee.
        flexion_deg: of the leg below the joint, which bends backwards.
        cartilage_t2: T2 of all its cartilage relative to the reference knee's.
        fat_t2: the same of fat and marrow.
        structures: in painting order.
        findings: the findings that changed its anatomy.
        joint_fluid_ml: volume of the fluid in the joint.
    """

    def __init__(self, rng: np.random.Generator, fat_t2: tuple[float, ...] = (1.0,)) -> None:
        self.size = float(np.clip(rng.normal(1.0, 0.06), 0.87, 1.13))
        self.flexion_deg = float(rng.uniform(0, LARGEST_FLEXION_DEG))
        self._waves = _random_waves(rng)
        anatomy = assembly.assemble(rng)
        self.structures, self.findings = anatomy.structures, anatomy.findings
        self.joint_fluid_ml = anatomy.joint_fluid_ml * self.size**3
        self._textures = TissueTextures(rng)
        self.cartilage_t2 = float(np.clip(rng.normal(1, CARTILAGE_T2_SPREAD), 0.75, 1.3))
        self.fat_t2 = float(rng.uniform(fat_t2[0], fat_t2[-1]))

    def to_reference(self, x: Array, y: Array, z: Array) -> Points:
        """The positions in the reference knee of positions in this knee (mm, knee axes)."""
        x, y, z = x / self.size, y / self.size, z / self.size
        below = np.maximum(BEND_FROM_MM - z, 0)
        bent = np.where(below < BEND_MM, below**2 / (2 * BEND_MM), below - BEND_MM / 2)
        y = y - np.float32(np.tan(np.deg2rad(self.flexion_deg))) * bent
        dx, dy, dz = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
        for (kx, ky, kz), phase, (ax, ay, az) in self._waves:
            wave = np.sin(kx * x + ky * y + kz * z + phase)
            dx += ax * wave
            dy += ay * wave
            dz += az * wave
        return Points(x + dx, y + dy, z + dz)

    def from_reference(self, reference: Sequence[float]) -> NDArray[np.float64]:
        """The position in this knee (mm) of a position in the reference knee."""
        target = np.asarray(reference, float)
        position = target * self.size
        for _ in range(30):
            p = self.to_reference(*(np.atleast_1d(axis).astype(np.float32) for axis in position))
            position = position + (target - np.array([p.x[0], p.y[0], p.z[0]])) * self.size
        return position

    def material(
        self, points: Points, structures: Sequence[Structure], owner: Owner, size_mm: Vector
    ) -> Material:
        """The tissue at `points`.

        Args:
            points: positions in the reference knee.
            structures: those that were painted.
            owner: which of them each point belongs to, see `paint`.
            size_mm: of the boxes around the points over which texture is averaged, reference mm.
        """
        label = labels(structures, owner)
        t1, t2, m0, t2_prime = (
            values_by_label(name)[label] for name in ("t1_ms", "t2_ms", "m0", "t2_prime_ms")
        )
        t2 *= self._textures.relative_t2(points)
        t2[values_by_label("fat")[label] > 0] *= np.float32(self.fat_t2)
        for number in np.flatnonzero(np.bincount(owner)):
            if number:
                structure, indices = structures[int(number) - 1], np.flatnonzero(owner == number)
                within = points.take(indices)
                if structure.label >= FIRST_CARTILAGE:
                    values = self._cartilage(within, structure)
                    t1[indices], t2[indices], m0[indices] = values
                elif structure.depth:
                    m0[indices] += (MARROW_M0 - m0[indices]) * (1 - structure.depth(within))
                if structure.relative_t2:
                    t2[indices] *= structure.relative_t2(within)
                if structure.bone_density:
                    bone = self._textures.relative_bone(within, size_mm)
                    t2_prime[indices] /= structure.bone_density(within) * bone
                m0[indices] *= self._textures.relative_density(structure, within, size_mm)
        t2, m0 = np.round(t2 * 64) / np.float32(64), np.round(m0 * 4096) / np.float32(4096)
        return Material(label, np.round(t1), t2, m0, t2_prime)

    def _cartilage(self, points: Points, structure: Structure) -> tuple[Array, ...]:
        """T1, T2 and m0 of cartilage, which change with depth and near findings."""
        assert structure.depth
        t1, t2, m0 = cartilage_values(structure.depth(points))
        t2 *= np.float32(self.cartilage_t2) * self._textures.relative_t2(points)
        return pathology.degenerate_cartilage(self.findings, points, t1, t2, m0)


def labels(structures: Sequence[Structure], owner: Owner) -> Labels:
    """The label of each point's tissue."""
    return np.array([LABELS["air"], *(s.label for s in structures)], np.int16)[owner]


def paint(
    points: Points, structures: Sequence[Structure], margin: float = 0.0
) -> tuple[Owner, NDArray[np.bool_]]:
    """Paints structures over each other.

    Args:
        points: (n,) positions in the reference knee.
        structures: those that can reach the points, in painting order.
        margin: distance to a surface up to which a point counts as near it, reference mm.

    Returns:
        The structure that each point belongs to, counted from 1 (0 is air), and whether a visible
        surface is within the margin.
    """
    owner = np.zeros(points.x.shape, np.intp)
    near = np.zeros(points.x.shape, bool)
    for number, structure in enumerate(structures, 1):
        value = points.value(structure.surface)
        owner[value < 0] = number
        if margin:
            near &= value > -margin  # a surface deep inside a later structure is hidden
            near |= np.abs(value) < margin
    return owner, near


def _random_waves(rng: np.random.Generator) -> list[tuple[list[float], float, list[float]]]:
    """Wave vector, phase and displacement of the waves that warp a knee by some 1.5 mm."""
    waves = []
    for length, amplitude in ((90, 0.9), (60, 0.7), (60, 0.7), (40, 0.4), (30, 0.25), (12, 0.08)):
        direction = rng.normal(size=3)
        k = direction / np.linalg.norm(direction) * 2 * np.pi / (length * rng.uniform(0.8, 1.25))
        displacement = rng.normal(size=3) * amplitude
        waves.append((k.tolist(), float(rng.uniform(0, 2 * np.pi)), displacement.tolist()))
    return waves
