import numpy as np
import pytest
from scipy import ndimage, signal

from eval.baselines import fi, tci
from mrsr_tf.errors import InputError

THICK = np.random.default_rng(0).random(
    (21, 22, 23)
)  # SciPy's own splines are inexact on short axes


def test_tci_is_the_tricubic_spline_of_scipy():
    rows, cols, fine = np.indices((21, 22, 46))
    expected = ndimage.map_coordinates(THICK, (rows, cols, fine / 2), order=3, mode="reflect")
    np.testing.assert_allclose(tci(THICK, 2), expected, atol=1e-12)


def test_fi_is_the_zero_filling_of_scipy():
    mirrored = np.concatenate([THICK, THICK[..., ::-1]], axis=2)
    expected = signal.resample(mirrored, 138, axis=2)[..., :69]
    np.testing.assert_allclose(fi(THICK, 3), expected, atol=1e-12)


@pytest.mark.parametrize("baseline", [tci, fi])
def test_every_factor_th_slice_is_the_thick_one(baseline):
    for factor in (2, 3, 4):
        np.testing.assert_allclose(baseline(THICK, factor)[..., ::factor], THICK, atol=1e-12)


@pytest.mark.parametrize("baseline", [tci, fi])
def test_two_echoes_at_once_or_a_single_image_are_refused(baseline):
    for shape in ((3, 4, 7, 2), (3, 4)):
        with pytest.raises(InputError, match="one echo"):
            baseline(np.zeros(shape), 2)
