"""What one scanner does to one scan, drawn at random so widely that a real scan lies inside."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mrsr_tf.mri.reception import random_coils
from phantom.anatomy.implicit_surfaces import Array, Points, Surface, smooth_step
from phantom.scanner.protocols import Protocol

BEYOND_MM = 5.0  # how far beyond the slab spins are simulated


@dataclass(frozen=True)
class Imperfections:
    """What makes a scan differ from perfect voxels, in the order of the acquisition.

    Attributes:
        fat_excess: most signal of fat over that of perfect water excitation, where B0 is off.
        fat_from_mm: distance from the isocentre at which water excitation begins to fail.
        fat_direction: unit vector towards which it fails first.
        slab_edge: distance over which the slab's excitation falls, in parts of the slab.
        ghost: amplitude of each ghost of the popliteal artery over the artery.
        ghost_shift: its distance along the phase direction, in parts of the field of view.
        motion: moves of the leg along the phase direction, as pairs of the part of the scan after
            which it moved and its new place in mm.
        padding: signal of coil padding in air over that of cartilage.
        readout_fraction, phase_fraction: acquired part of the frequencies in plane.
        corners: whether the corners of the phase-encoded plane are acquired.
        fermi: whether k-space is filtered against ringing.
        g_factor: noise in the middle of the phase direction over that at its ends.
        noise_ratio: noise of S2 over that of S1.
        coils: number of coils that are combined by the root of their sum of squares.
        floor: part of the power of pure noise that is subtracted from that of each echo.
    """

    fat_excess: float
    fat_from_mm: float
    fat_direction: tuple[float, float, float]
    slab_edge: float
    ghost: float
    ghost_shift: float
    motion: tuple[tuple[float, float], ...]
    padding: float
    readout_fraction: float
    phase_fraction: float
    corners: bool
    fermi: bool
    g_factor: float
    noise_ratio: float
    coils: int
    floor: tuple[float, float]

    def fat_excitation(self) -> Surface:
        """Signal of fat over that of perfect water excitation, by place."""
        dx, dy, dz = self.fat_direction

        def excess(p: Points) -> Array:
            along = p.x * dx + p.y * dy + p.z * dz
            away = np.sqrt(p.x * p.x + p.y * p.y + 0.5 * p.z * p.z) + 0.3 * along
            return 1 + (self.fat_excess - 1) * smooth_step((away - self.fat_from_mm) / 30)

        return excess


def random_imperfections(rng: np.random.Generator, protocol: Protocol) -> Imperfections:
    """The imperfections of a random scanner, in the ranges that docs/phantom.md lists."""
    interpolates = rng.random() < 0.4  # as ZIP512 does
    readout = rng.uniform(0.6, 0.95) if interpolates else 1.0
    phase = readout * rng.uniform(0.85, 1) if interpolates else protocol.phase_fraction
    subtracts: Callable[[], float] = lambda: rng.uniform(0.2, 1.0) * (rng.random() < 0.5)  # noqa: E731
    direction = rng.normal(size=3)
    moves = np.sort(rng.uniform(0.1, 0.9, rng.integers(0, 4)))
    return Imperfections(
        fat_excess=rng.uniform(1, 7),
        fat_from_mm=rng.uniform(40, 75),
        fat_direction=tuple((direction / np.linalg.norm(direction)).tolist()),
        slab_edge=rng.uniform(0.02, 0.12),
        ghost=rng.uniform(0, 0.04),
        ghost_shift=rng.uniform(0.08, 0.45),
        motion=tuple((float(part), float(rng.uniform(-0.4, 0.4))) for part in moves),
        padding=rng.uniform(0, 0.02),
        readout_fraction=readout,
        phase_fraction=phase,
        corners=bool(rng.random() < 0.5),
        fermi=bool(rng.random() < 0.7),
        g_factor=rng.uniform(1, 1.6),
        noise_ratio=rng.uniform(0.6, 1.0),
        coils=random_coils(rng),
        floor=(subtracts(), subtracts()),
    )
