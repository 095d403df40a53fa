"""The muscles: how their bellies meet, which way fascicles run, and what lies between them."""

import numpy as np
import pytest
from knee_grids import grid, points

from phantom.anatomy import muscles, skin
from phantom.anatomy.structure import Structure
from phantom.anatomy.tissue_texture import TissueTextures
from phantom.anatomy.tissues import LABELS

PENNATION_DEG = 20.0
VOXEL_MM = (0.4, 0.4, 0.4)
STEP_MM = 0.4


@pytest.fixture(scope="module")
def bellies():
    return muscles.muscles(np.random.default_rng(0), skin.fascia())


@pytest.fixture(scope="module")
def belly():
    """A cylinder whose fascicles tilt towards +x."""
    return muscles.Belly(0, [0] * 4, [0] * 4, [20] * 4, [20] * 4, PENNATION_DEG)


@pytest.fixture(scope="module")
def density(belly):
    """Relative proton density within the belly, (y, x, z)."""
    structure = Structure(LABELS["muscle"], belly.surface(), coordinates=belly.across(0.0))
    box = grid(STEP_MM, (-12, 12), (-12, 12), (-120, -48))
    textures = TissueTextures(np.random.default_rng(0))
    return textures.relative_density(structure, box, VOXEL_MM).reshape((60, 60, 180))


def test_fascicles_run_along_the_muscle_by_their_pennation(belly):
    across = belly.across(azimuth=0.0)
    z = np.float32([-100, -80])
    tilted = points(z * np.tan(np.deg2rad(PENNATION_DEG)), [0, 0], z)
    first, second = (axis(tilted) for axis in across)
    assert first == pytest.approx(0, abs=1e-3)  # the same fascicle
    assert second == pytest.approx(0, abs=1e-3)


def test_texture_shifts_along_the_muscle_by_the_tangent_of_its_pennation(density):
    samples_up = 10

    def likeness(shift_y, shift_x):
        below, above = density[8:-8, 8:-8, :-samples_up], density[:, :, samples_up:]
        shifted = np.roll(above, (-shift_y, -shift_x), (0, 1))[8:-8, 8:-8]
        return np.corrcoef(below.ravel(), shifted.ravel())[0, 1]

    tangent = np.tan(np.deg2rad(PENNATION_DEG))
    best_x = max(range(-8, 9), key=lambda shift: likeness(0, shift))
    best_y = max(range(-8, 9), key=lambda shift: likeness(shift, best_x))
    assert best_x == pytest.approx(samples_up * tangent, abs=1)
    assert best_y == pytest.approx(0, abs=1)


def test_fine_texture_is_stronger_across_fascicles_than_along_the_belly(density):
    def power_above(frequency, axis):  # per mm
        spectrum = np.abs(np.fft.rfft(density - density.mean(), axis=axis)) ** 2
        fine = np.fft.rfftfreq(density.shape[axis], STEP_MM) > frequency
        return spectrum.compress(fine, axis=axis).sum() / density.shape[axis]

    assert power_above(0.5, axis=0) > 2 * power_above(0.5, axis=2)


def test_muscle_lacks_the_share_that_fat_and_perimysium_take(density):
    assert 0.09 < 1 - density.mean() < 0.2
    assert density.min() > 0.08


def test_muscles_grow_until_a_thin_gap_and_overlap_nowhere(bellies):
    thigh = grid(1.5, z=(50, 80))
    inside = np.stack([muscle.surface(thigh) < 0 for muscle in bellies])
    assert inside.sum(axis=0).max() == 1
    near = np.stack([muscle.surface(thigh) < 2.0 for muscle in bellies]).sum(axis=0) > 1
    assert 0.01 < (near & ~inside.any(axis=0)).sum() / inside.any(axis=0).sum() < 0.5


def test_a_gap_between_the_heads_of_gastrocnemius_is_as_thin_as_drawn(bellies):
    step = 0.05
    line = points(np.arange(-25, 25, step), 46, -60)
    inside = np.stack([muscle.surface(line) < 0 for muscle in bellies]).any(axis=0)
    gap_mm = step * (~inside).sum()
    assert 0.7 * muscles.GAPS_MM[0] < gap_mm < 1.3 * muscles.GAPS_MM[1]
