"""Skin and the fat below it."""

import numpy as np
import pytest
from knee_grids import points

from phantom.anatomy import skin

LEG = points(*np.mgrid[-90:91:3.0, -100:111:3.0, -75:76:15.0].reshape(3, -1))


def thickness(seed, fat_mm):
    """From the fascia to the surface of the skin at points near it, mm, and where they are."""
    fascia = skin.fascia()
    leg = skin.skin(np.random.default_rng(seed), fascia, fat_mm)(LEG)
    near = np.abs(leg) < 2
    return (fascia(LEG) - leg)[near], LEG.take(np.flatnonzero(near))


@pytest.mark.parametrize(("seed", "fat_mm"), [(0, 2.5), (1, 5.0), (2, 11.0), (3, 11.0)])
def test_fat_is_thicker_behind_and_medially_and_as_thick_as_in_people(seed, fat_mm):
    fat, at = thickness(seed, fat_mm)
    assert 2.5 < fat.min() < fat.max() < 30
    assert fat[at.y > 20].mean() > fat[at.y < -20].mean()
    assert fat[at.x < -20].mean() > fat[at.x > 20].mean()


def test_fat_swells_over_centimetres_and_differently_in_every_knee():
    (one, at), (other, _) = thickness(0, 8.0), thickness(1, 8.0)
    plane = np.c_[np.ones_like(at.x), at.x, at.y]
    rest = one - plane @ np.linalg.lstsq(plane, one, rcond=None)[0]
    assert 0.4 < rest.std() < 2.5
    assert len(one) != len(other) or not np.allclose(one, other)
