"""Metrics against their written-out definitions and against scikit-image."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from eval.metrics import mse, psnr, rmse, ssim, ssim_map
from mrsr_tf.errors import InputError

RNG = np.random.default_rng(0)
REFERENCE = np.clip(RNG.normal(0.4, 0.2, (24, 19, 3)), 0, 1)
IMAGE = np.clip(REFERENCE + RNG.normal(0, 0.05, REFERENCE.shape), 0, 1)


def ssim_by_windows(x, y, data_range):
    """Wang's SSIM of one image, computed window by window."""
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(weights, weights) / weights.sum() ** 2
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def at(row, col):
        a, b = (image[row : row + 11, col : col + 11] for image in (x, y))
        ma, mb = (window * a).sum(), (window * b).sum()
        va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
        vab = (window * (a - ma) * (b - mb)).sum()
        return (2 * ma * mb + c1) * (2 * vab + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))

    return np.array([[at(r, c) for c in range(x.shape[1] - 10)] for r in range(x.shape[0] - 10)])


def test_ssim_is_wangs_definition_averaged_over_slices():
    expected = [ssim_by_windows(REFERENCE[..., i], IMAGE[..., i], 1.0).mean() for i in range(3)]
    assert ssim(REFERENCE, IMAGE, data_range=1.0) == pytest.approx(np.mean(expected), abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ssim_is_scikit_images(dtype):
    expected = np.mean(
        [
            structural_similarity(
                REFERENCE[..., i],
                IMAGE[..., i],
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                data_range=0.8,
            )
            for i in range(3)
        ]
    )
    similarity = ssim(REFERENCE.astype(dtype), IMAGE.astype(dtype), data_range=0.8)
    assert similarity == pytest.approx(expected, abs=1e-6)


def test_ssim_of_a_volume_of_one_slice_is_that_of_the_image():
    volume = ssim(REFERENCE[..., :1], IMAGE[..., :1], data_range=1.0)
    assert ssim(REFERENCE[..., 0], IMAGE[..., 0], data_range=1.0) == volume


def test_the_ssim_map_is_wangs_definition_with_the_border_masked():
    similarity = ssim_map(REFERENCE, IMAGE, data_range=1.0)
    assert similarity.shape == REFERENCE.shape
    assert similarity.count() == 14 * 9 * 3
    assert similarity.mean() == pytest.approx(ssim(REFERENCE, IMAGE, data_range=1.0), abs=1e-9)
    np.testing.assert_allclose(
        similarity[5:-5, 5:-5, 1], ssim_by_windows(REFERENCE[..., 1], IMAGE[..., 1], 1.0), atol=1e-9
    )
    assert ssim_map(REFERENCE[..., 0], IMAGE[..., 0], data_range=1.0).shape == (24, 19)


def test_errors_follow_their_definitions():
    reference, image = np.zeros((2, 5)), np.array([[3.0] * 5, [1.0] * 5])
    assert mse(reference, image, data_range=1.0) == 5
    assert rmse(reference, image, data_range=1.0) == math.sqrt(5)
    assert psnr(reference, image, data_range=10.0) == pytest.approx(10 * math.log10(100 / 5))


def test_the_papers_rmse_is_its_mse():
    noise = np.full((12, 12), math.sqrt(0.17e-3))
    assert psnr(0 * noise, noise, data_range=1.0) == pytest.approx(37.7, abs=0.01)
    assert rmse(0 * noise, noise, data_range=1.0) == pytest.approx(13e-3, abs=0.1e-3)


def test_equal_images_have_perfect_scores():
    assert ssim(IMAGE, IMAGE, data_range=1.0) == 1
    assert mse(IMAGE, IMAGE, data_range=1.0) == rmse(IMAGE, IMAGE, data_range=1.0) == 0
    assert psnr(IMAGE, IMAGE, data_range=1.0) == math.inf


@given(scale=st.floats(1e-3, 1e4))
def test_no_metric_depends_on_the_unit(scale):
    for metric in (ssim, psnr, mse, rmse):
        in_unit = metric(scale * REFERENCE, scale * IMAGE, data_range=scale)
        assert in_unit == pytest.approx(metric(REFERENCE, IMAGE, data_range=1.0), rel=1e-6)


def test_unsigned_integers_do_not_overflow():
    low, high = np.full((12, 12), 10, np.uint16), np.full((12, 12), 12, np.uint16)
    for metric in (ssim, psnr, mse, rmse):
        assert metric(low, high, data_range=100.0) == metric(high, low, data_range=100.0)
    assert rmse(low, high, data_range=1.0) == 2


@pytest.mark.parametrize("metric", [ssim, ssim_map, psnr, mse, rmse])
@pytest.mark.parametrize(
    ("reference", "image", "data_range", "message"),
    [
        (np.zeros((12, 12, 2)), np.zeros((12, 12, 3)), 1.0, "one shape"),
        (np.zeros((0, 12)), np.zeros((0, 12)), 1.0, "one shape"),
        (np.zeros((12, 12)), np.full((12, 12), np.nan), 1.0, "got 144 in the image"),
        (np.full((12, 12), np.inf), np.zeros((12, 12)), 1.0, "got 144 in the reference"),
        (np.zeros((12, 12)), np.zeros((12, 12)), 0.0, "data range above 0, got 0"),
        (np.zeros((12, 12)), np.zeros((12, 12)), math.nan, "data range above 0, got nan"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(metric, reference, image, data_range, message):
    with pytest.raises(InputError, match=message):
        metric(reference, image, data_range=data_range)


@pytest.mark.parametrize("metric", [ssim, psnr, mse, rmse])
def test_the_data_range_is_required(metric):
    with pytest.raises(TypeError, match="data_range"):
        metric(REFERENCE, IMAGE)


@pytest.mark.parametrize("shape", [(10, 20), (20, 10, 3), (20,), (20, 20, 2, 2)])
def test_ssim_needs_images_of_at_least_its_window(shape):
    with pytest.raises(InputError, match="at least 11 x 11"):
        ssim(np.zeros(shape), np.zeros(shape), data_range=1.0)
