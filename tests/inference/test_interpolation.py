import numpy as np
import pytest
from scipy import ndimage, signal

from mrsr_tf.inference.upsampling import INTERPOLATIONS, Interpolation

# SciPy's own splines are inexact on short axes.
THICK = np.random.default_rng(0).random((21, 22, 23))


def upsample(method: str, factor: int) -> np.ndarray:
    return Interpolation(method, factor).upsample(THICK[..., None])[..., 0]


def test_tci_is_the_tricubic_spline_of_scipy():
    rows, cols, fine = np.indices((21, 22, 46))
    expected = ndimage.map_coordinates(THICK, (rows, cols, fine / 2), order=3, mode="reflect")
    np.testing.assert_allclose(upsample("tci", 2), expected, atol=1e-12)


def test_fi_is_the_zero_filling_of_scipy():
    mirrored = np.concatenate([THICK, THICK[..., ::-1]], axis=2)
    expected = signal.resample(mirrored, 138, axis=2)[..., :69]
    np.testing.assert_allclose(upsample("fi", 3), expected, atol=1e-12)


@pytest.mark.parametrize("method", INTERPOLATIONS)
def test_every_factor_th_slice_is_the_thick_one(method):
    for factor in (2, 3, 4):
        np.testing.assert_allclose(upsample(method, factor)[..., ::factor], THICK, atol=1e-12)
