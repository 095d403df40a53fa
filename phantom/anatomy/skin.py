"""Skin and deep fascia, in reference mm (x lateral, y posterior, z superior)."""

import numpy as np

from phantom.anatomy.implicit_surfaces import Array, Points, Surface, column, ellipsoid, union


def fascia() -> Surface:
    """The deep fascia, which encloses muscles and bones."""
    leg = column(
        z=[-140, -90, -50, -20, 10, 40, 80, 140],
        y=[22, 22, 20, 16, 9, 7, 5, 4],
        half_width=[47, 47, 48, 48.5, 50, 52, 56, 62],
        half_depth=[45, 45, 46, 47, 51, 52, 56, 62],
    )
    return union(leg, ellipsoid((1, -24, 26), (30, 21, 40)), radius=18)


def skin(fascia: Surface, fat_mm: float) -> Surface:
    """The surface of the leg: some `fat_mm` outside the fascia, more behind and medially."""

    def surface(p: Points) -> Array:
        thickness = 1.0 + 0.009 * p.y - 0.006 * p.x + 0.12 * np.sin(0.06 * p.z + 0.05 * p.y)
        return p.value(fascia) - (2.0 + fat_mm * np.maximum(thickness, 0.25))

    return surface
