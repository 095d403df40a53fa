"""The knee of one subject: which tissue is at any point of it, with which T1, T2 and m0."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantom.anatomy import assembly, pathology
from phantom.anatomy.assembly import Structure
from phantom.anatomy.implicit_surfaces import Array, Points
from phantom.anatomy.texture import Texture
from phantom.anatomy.tissues import (
    FIRST_CARTILAGE,
    LABELS,
    cartilage_values,
    is_any_of,
    values_by_label,
)

Labels = NDArray[np.int16]
T2_SPREAD = 0.03  # relative standard deviation within a tissue
LESION_RIM_M0 = 0.06
# Relative standard deviation between people: 5.8 ms of 36.4 in cartilage at 3 T (Pai et al. 2008,
# doi 10.1016/j.mri.2008.02.017), part of which is the scatter of the measurement.
CARTILAGE_T2_SPREAD = 0.13
SHEET_WIDTH = 0.09  # of fat streaks and septa, in standard deviations of their random field


@dataclass(frozen=True, eq=False)
class Material:
    """The tissue at each of n points.

    Attributes:
        label: int16.
        t1_ms: float32, in whole ms.
        t2_ms: float32, in multiples of 1/64 ms.
        m0: float32, in multiples of 1/4096.
        near: bool, whether a visible surface is nearer than the given margin.
    """

    label: Labels
    t1_ms: Array
    t2_ms: Array
    m0: Array
    near: NDArray[np.bool_]


class Knee:
    """A random knee; the same generator state gives the same knee.

    Attributes:
        size: relative to the reference knee.
        cartilage_t2: T2 of all its cartilage relative to the reference knee's.
        structures: in painting order.
        findings: the findings that changed its anatomy.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.size = float(np.clip(rng.normal(1.0, 0.06), 0.87, 1.13))
        self._waves = _random_waves(rng)
        self.structures, self.findings = assembly.assemble(rng)
        self._smooth = Texture(rng, (1.6, 1.6, 1.6), 3.8)
        self._fibres = Texture(rng, (1.3, 1.3, 6.0), 3.0)
        self._trabeculae = Texture(rng, (0.6, 0.6, 0.8), 2.0)
        self._septa = Texture(rng, (2.2, 2.2, 2.8), 4.0)
        self._fat_streaks = Texture(rng, (1.5, 1.5, 10.0), 3.8)
        self.cartilage_t2 = float(np.clip(rng.normal(1, CARTILAGE_T2_SPREAD), 0.75, 1.3))

    def to_reference(self, x: Array, y: Array, z: Array) -> Points:
        """The positions in the reference knee of positions in this knee (mm, knee axes)."""
        x, y, z = x / self.size, y / self.size, z / self.size
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

    def material(self, points: Points, structures: Sequence[Structure], margin: float) -> Material:
        """The tissue at `points`, considering only the given structures.

        Args:
            points: positions in the reference knee.
            structures: those that can reach the points, in painting order.
            margin: distance to a surface up to which a point counts as near it, reference mm.
        """
        label, depth, near = _paint(points, structures, margin)
        t1, t2, m0 = (values_by_label(name)[label] for name in ("t1_ms", "t2_ms", "m0"))
        cartilage = np.flatnonzero(label >= FIRST_CARTILAGE)
        if cartilage.size:
            healthy_t1, healthy_t2, healthy_m0 = cartilage_values(depth[cartilage])
            healthy = healthy_t1, healthy_t2 * self.cartilage_t2, healthy_m0
            t1[cartilage], t2[cartilage], m0[cartilage] = pathology.degenerate_cartilage(
                self.findings, points.take(cartilage), *healthy
            )
        lesion = np.flatnonzero(label == LABELS["bone_marrow_lesion"])
        m0[lesion] = LESION_RIM_M0 + (m0[lesion] - LESION_RIM_M0) * depth[lesion]
        self._add_texture(points, label, t2, m0)
        return Material(
            label, np.round(t1), np.round(t2 * 64) / 64, np.round(m0 * 4096) / 4096, near
        )

    def _add_texture(self, points: Points, label: Labels, t2: Array, m0: Array) -> None:
        """Varies T2 and proton density within the tissues, in place."""
        spread = values_by_label("spread")
        for tissues, texture in (
            (SMOOTH, self._smooth),
            (FIBROUS, self._fibres),
            (TRABECULAR, self._trabeculae),
        ):
            indices = np.flatnonzero(tissues[label])
            if indices.size:
                variation = texture.sample(points, indices)
                m0[indices] *= 1 + spread[label[indices]] * variation
                t2[indices] *= 1 + T2_SPREAD * variation
        muscle = np.flatnonzero(label == LABELS["muscle"])
        if muscle.size:  # streaks of fat between the bundles
            density = np.clip(self._smooth.sample(points, muscle) + 0.2, 0, 1)
            m0[muscle] *= 1 - 0.2 * density * _sheets(self._fat_streaks.sample(points, muscle))
        fat = np.flatnonzero(LOBULAR[label])
        if fat.size:  # walls of connective tissue between the lobules
            density = np.clip(self._smooth.sample(points, fat), 0, 1)
            m0[fat] *= 1 + 0.4 * density * _sheets(self._septa.sample(points, fat))


# How the tissues vary, as masks by label.
FIBROUS = is_any_of("muscle", "tendon", "ligament", "cruciate_ligament", "nerve")
TRABECULAR = is_any_of("marrow", "red_marrow", "bone_marrow_lesion")
LOBULAR = is_any_of("subcutaneous_fat", "intermuscular_fat", "hoffa_fat_pad")
SMOOTH = ~(FIBROUS | TRABECULAR | is_any_of("air"))


def _sheets(field: Array) -> Array:
    """1 on the surfaces where a random field is 0, falling to 0 within `SHEET_WIDTH`."""
    return np.maximum(1 - np.abs(field) * (1 / SHEET_WIDTH), 0)


def _paint(
    points: Points, structures: Sequence[Structure], margin: float
) -> tuple[Labels, Array, NDArray[np.bool_]]:
    """Label and depth at each point, and whether a visible surface is nearer than the margin."""
    label = np.full(points.x.shape, LABELS["air"], np.int16)
    depth = np.zeros_like(points.x)
    near = np.zeros(points.x.shape, bool)
    for structure in structures:
        value = points.value(structure.surface)
        inside = value < 0
        label[inside] = structure.label
        if structure.depth is not None:
            np.copyto(depth, points.value(structure.depth), where=inside)
        if margin:
            near &= value > -margin  # a surface deep inside a later structure is hidden
            near |= np.abs(value) < margin
    return label, depth, near


def _random_waves(rng: np.random.Generator) -> list[tuple[list[float], float, list[float]]]:
    """Wave vector, phase and displacement of the waves that warp a knee by some 1.5 mm."""
    waves = []
    for length, amplitude in ((90, 0.9), (60, 0.7), (60, 0.7), (40, 0.4), (30, 0.25), (12, 0.08)):
        direction = rng.normal(size=3)
        k = direction / np.linalg.norm(direction) * 2 * np.pi / (length * rng.uniform(0.8, 1.25))
        displacement = rng.normal(size=3) * amplitude
        waves.append((k.tolist(), float(rng.uniform(0, 2 * np.pi)), displacement.tolist()))
    return waves
