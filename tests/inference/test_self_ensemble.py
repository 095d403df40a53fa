import numpy as np
import pytest
from random_scans import make_scan

from mrsr_tf.inference.self_ensemble import MEMBERS, Spread, members
from mrsr_tf.mri.slices import first_slice, interpolate


@pytest.mark.parametrize("profile", ["fir", "box"])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("slices", [1, 2, 7, 12])
def test_a_way_without_a_preferred_direction_has_no_spread(profile, factor, slices):
    """All eight lie in the same place, to the last slice, whatever was reversed."""
    first = first_slice(profile, factor)
    thick = make_scan((5, 4, slices)).array
    expected = interpolate(thick, factor, first=first)
    made = list(members(lambda s: interpolate(s, factor, first=first), thick, factor, first))
    assert len(made) == MEMBERS == 8
    for one in made:
        np.testing.assert_allclose(one, expected, atol=0.02)


def test_each_mirrored_input_is_given_once():
    given = []

    def resolve(thick):
        given.append(thick.copy())
        return interpolate(thick, 2)

    list(members(resolve, make_scan((5, 4, 3)).array, 2))
    assert len({one.tobytes() for one in given}) == 8


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_a_way_shifts_the_mean_does_not(axis):
    """A network that moves everything by one voxel, in every direction it is given."""
    bump = np.exp(
        -0.5 * sum((np.indices((25, 25, 13))[a] - c) ** 2 for a, c in enumerate((12, 12, 6)))
    )
    thick = (1000 * bump)[..., None]

    def centre(image):
        places = np.moveaxis(np.indices(image.shape[:3]), 0, -1)
        return (places * image).sum((0, 1, 2)) / image.sum()

    spread = Spread()
    for one in members(lambda s: np.roll(interpolate(s, 2), 1, axis), thick, 2):
        spread.add(one)
    still = centre(interpolate(thick, 2))
    np.testing.assert_allclose(centre(spread.mean), still, atol=1e-3)
    assert abs(centre(np.roll(interpolate(thick, 2), 1, axis)) - still)[axis] > 0.9
    assert spread.deviation.max() > 50


def test_mean_and_deviation_are_numpys():
    images = np.random.default_rng(0).normal(1000, 30, (8, 4, 3, 2)).astype(np.float32)
    images[5, 1, 1, 1] = np.nan
    spread = Spread()
    for image in images:
        spread.add(image)
    np.testing.assert_allclose(spread.mean, images.mean(0), rtol=1e-5)
    np.testing.assert_allclose(spread.deviation, images.std(0, ddof=1), rtol=1e-3)
    assert np.isnan(spread.deviation).sum() == 1
