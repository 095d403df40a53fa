"""Skin, superficial and deep fascia, in reference mm (x lateral, y posterior, z superior)."""

from collections.abc import Callable

import numpy as np

from phantom.anatomy.implicit_surfaces import Array, Points, Surface, column, ellipsoid, union

SKIN_AND_LEAST_FAT_MM = 2.0
# Of the fat below the skin: wavelength in mm, and amplitude relative to its thickness (a choice).
SWELLINGS = ((85.0, 0.15), (50.0, 0.07), (27.0, 0.025))


def fascia() -> Surface:
    """The deep fascia, which encloses muscles and bones."""
    leg = column(
        z=[-140, -90, -50, -20, 10, 40, 80, 140],
        y=[22, 22, 20, 16, 9, 7, 5, 4],
        half_width=[47, 47, 48, 48.5, 50, 52, 56, 62],
        half_depth=[45, 45, 46, 47, 51, 52, 56, 62],
    )
    return union(leg, ellipsoid((1, -24, 26), (30, 21, 40)), radius=18)


# Of the circle around the leg on which subcutaneous fat is measured: nine periods of its lobules.
AROUND_MM = 9 * 36.48 / (2 * np.pi)


def skin(rng: np.random.Generator, fascia: Surface, fat_mm: float) -> Surface:
    """The surface of the leg: some `fat_mm` outside the fascia, more behind and medially.

    How much more differs between knees, and the fat swells and thins over centimetres.
    """
    behind, medially = rng.uniform(0.004, 0.013), rng.uniform(0.003, 0.010)
    swelling = [_wave(rng, length, share) for length, share in SWELLINGS]

    def surface(p: Points) -> Array:
        thickness = sum((wave(p) for wave in swelling), 1 + behind * p.y - medially * p.x)
        return p.value(fascia) - (SKIN_AND_LEAST_FAT_MM + fat_mm * np.maximum(thickness, 0.25))

    return surface


def _wave(
    rng: np.random.Generator, length_mm: float, amplitude: float
) -> Callable[[Points], Array]:
    """A wave of a random direction and phase."""
    direction = rng.normal(size=3)
    kx, ky, kz = (2 * np.pi / length_mm * direction / np.linalg.norm(direction)).tolist()
    phase = float(rng.uniform(0, 2 * np.pi))
    return lambda p: amplitude * np.sin(kx * p.x + ky * p.y + kz * p.z + phase)


def fat_coordinates(below_skin: Surface, fascia: Surface) -> tuple[Surface, Surface, Surface]:
    """Coordinates of subcutaneous fat: around the leg, from its middle outwards, along the leg.

    The superficial fascia, a membrane between two layers of fat, lies in the middle.
    """

    def around(p: Points) -> Array:
        return np.float32(AROUND_MM) * np.arctan2(p.x, p.y - 10)

    def outwards(p: Points) -> Array:
        return (p.value(below_skin) + p.value(fascia)) / 2

    return around, outwards, lambda p: p.z
