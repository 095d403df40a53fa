"""One subject's knee: what is at any point of it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phantom.anatomy import assembly, pathology
from phantom.anatomy.assembly import Structure
from phantom.anatomy.implicit_surfaces import Array, Points
from phantom.anatomy.texture import Texture
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS, cartilage_values, table

Labels = NDArray[np.int16]
T2_SPREAD = 0.03  # within a tissue, relative standard deviation
LESION_RIM_M0 = 0.06
# Between people, relative: 5.8 ms of 36.4 in cartilage at 3 T (Pai et al. 2008, doi
# 10.1016/j.mri.2008.02.017), of which part is the scatter of the measurement.
CARTILAGE_T2_SPREAD = 0.13


@dataclass(frozen=True, eq=False)
class Material:
    """What is at each of n points.

    Attributes:
        label: int16, of the tissue.
        t1_ms: float32; `t2_ms` and `m0` likewise.
        t2_ms: see `t1_ms`.
        m0: see `t1_ms`.
        near: whether a visible surface is nearer than the margin asked for.
    """

    label: Labels
    t1_ms: Array
    t2_ms: Array
    m0: Array
    near: NDArray[np.bool_]


class Knee:
    """A knee at random; the same generator state gives the same knee.

    Attributes:
        size: relative to the reference knee.
        cartilage_t2: of all its cartilage, relative to the reference knee's.
        structures: in painting order.
        findings: what is wrong with it.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.size = float(np.clip(rng.normal(1.0, 0.06), 0.87, 1.13))
        self._waves = _waves(rng)
        self.structures, self.findings = assembly.drawn(rng)
        self._smooth = Texture(rng, (1.6, 1.6, 1.6), 3.8)
        self._fibres = Texture(rng, (1.3, 1.3, 6.0), 3.0)
        self._trabeculae = Texture(rng, (0.6, 0.6, 0.8), 2.0)
        self._partitions = Texture(rng, (2.2, 2.2, 2.8), 4.0)
        self._streaks = Texture(rng, (1.5, 1.5, 10.0), 3.8)
        self.cartilage_t2 = float(np.clip(rng.normal(1, CARTILAGE_T2_SPREAD), 0.75, 1.3))

    def points(self, x: Array, y: Array, z: Array) -> Points:
        """Positions in this knee (mm, knee axes) as positions in the reference knee."""
        x, y, z = x / self.size, y / self.size, z / self.size
        dx, dy, dz = np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
        for (kx, ky, kz), phase, (ax, ay, az) in self._waves:
            wave = np.sin(kx * x + ky * y + kz * z + phase)
            dx += ax * wave
            dy += ay * wave
            dz += az * wave
        return Points(x + dx, y + dy, z + dz)

    def position(self, reference: Sequence[float]) -> NDArray[np.float64]:
        """Where in this knee (mm) a point of the reference knee is: `points` undone."""
        wanted = np.asarray(reference, float)
        found = wanted * self.size
        for _ in range(30):
            p = self.points(*(np.atleast_1d(axis).astype(np.float32) for axis in found))
            found = found + (wanted - np.array([p.x[0], p.y[0], p.z[0]])) * self.size
        return found

    def material(self, points: Points, structures: Sequence[Structure], margin: float) -> Material:
        """What is at `points`, of the given structures only; times are rounded, see `Material`."""
        label, depth, near = _painted(points, structures, margin)
        t1, t2, m0 = (table(name)[label] for name in ("t1_ms", "t2_ms", "m0"))
        cartilage = np.flatnonzero(label >= FIRST_CARTILAGE)
        if cartilage.size:
            there, healthy = points.at(cartilage), cartilage_values(depth[cartilage])
            t1[cartilage], t2[cartilage], m0[cartilage] = pathology.softened(
                self.findings, there, healthy[0], healthy[1] * self.cartilage_t2, healthy[2]
            )
        lesion = np.flatnonzero(label == LABELS["bone_marrow_lesion"])
        m0[lesion] = LESION_RIM_M0 + (m0[lesion] - LESION_RIM_M0) * depth[lesion]
        self._vary(points, label, t2, m0)
        return Material(
            label, np.round(t1), np.round(t2 * 64) / 64, np.round(m0 * 4096) / 4096, near
        )

    def _vary(self, points: Points, label: Labels, t2: Array, m0: Array) -> None:
        """Lets T2 and proton density vary within tissues, and adds what is finer still."""
        spread = table("spread")
        for grain, texture in (
            ("smooth", self._smooth),
            ("fibrous", self._fibres),
            ("trabecular", self._trabeculae),
        ):
            which = np.flatnonzero(_GRAIN[grain][label])
            if which.size:
                variation = texture.at(points, which)
                m0[which] *= 1 + spread[label[which]] * variation
                t2[which] *= 1 + T2_SPREAD * variation
        muscle = np.flatnonzero(label == LABELS["muscle"])
        if muscle.size:  # streaks of fat between the bundles
            some = np.clip(self._smooth.at(points, muscle) + 0.2, 0, 1)
            m0[muscle] *= 1 - 0.2 * some * _sheets(self._streaks.at(points, muscle), 0.09)
        fat = np.flatnonzero(_GRAIN["lobular"][label])
        if fat.size:  # walls of connective tissue between the lobules
            some = np.clip(self._smooth.at(points, fat), 0, 1)
            m0[fat] *= 1 + 0.4 * some * _sheets(self._partitions.at(points, fat), 0.09)


_GRAIN = {
    grain: np.isin(np.arange(len(LABELS)), [LABELS[name] for name in names])
    for grain, names in {
        "fibrous": ("muscle", "tendon", "ligament", "cruciate_ligament", "nerve"),
        "trabecular": ("marrow", "red_marrow", "bone_marrow_lesion"),
        "lobular": ("subcutaneous_fat", "intermuscular_fat", "hoffa_fat_pad"),
    }.items()
}
_GRAIN["smooth"] = ~(_GRAIN["fibrous"] | _GRAIN["trabecular"])
_GRAIN["smooth"][LABELS["air"]] = False


def _sheets(field: Array, width: float) -> Array:
    """1 on the surfaces where a random field is 0, falling to 0 within `width`."""
    return np.maximum(1 - np.abs(field) * (1 / width), 0)


def _painted(
    points: Points, structures: Sequence[Structure], margin: float
) -> tuple[Labels, Array, NDArray[np.bool_]]:
    label = np.full(points.x.shape, LABELS["air"], np.int16)
    depth = np.zeros_like(points.x)
    near = np.zeros(points.x.shape, bool)
    for structure in structures:
        value = points.of(structure.surface)
        inside = value < 0
        label[inside] = structure.label
        if structure.depth is not None:
            np.copyto(depth, points.of(structure.depth), where=inside)
        if margin:
            near &= value > -margin  # what lies deep inside a later structure is hidden
            near |= np.abs(value) < margin
    return label, depth, near


def _waves(rng: np.random.Generator) -> list[tuple[list[float], float, list[float]]]:
    """A smooth displacement of everything, some 1.5 mm: no two knees alike."""
    waves = []
    for length, amplitude in ((90, 0.9), (60, 0.7), (60, 0.7), (40, 0.4), (30, 0.25), (12, 0.08)):
        direction = rng.normal(size=3)
        k = direction / np.linalg.norm(direction) * 2 * np.pi / (length * rng.uniform(0.8, 1.25))
        shift = rng.normal(size=3) * amplitude
        waves.append((k.tolist(), float(rng.uniform(0, 2 * np.pi)), shift.tolist()))
    return waves
