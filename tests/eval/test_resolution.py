import math

import numpy as np
import pytest
from scipy import ndimage, signal

from eval.experiments import resolution
from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Interpolation
from mrsr_tf.mri.slices import FIR_ORDER, interpolate, thicken, tricubic_matrix
from mrsr_tf.volume import Volume

SPACING_MM = np.array([0.4, 0.5, 0.7])
NOISE = np.random.default_rng(0).normal(size=(40, 40, 64))
EVERYWHERE = np.ones(NOISE.shape, bool)


def layered() -> np.ndarray:
    """Two levels that meet anywhere between two slices, each voxel the mean of what is in it."""
    rows, cols, slices = np.indices((40, 30, 32))
    surface = 15.5 + 0.1 * rows + 0.07 * cols
    return 100 + 900 * np.clip(slices - surface + 0.5, 0, 1)


def edges_of(truth: np.ndarray) -> resolution.Edges:
    return resolution.edges(truth, np.ones(truth.shape, bool), SPACING_MM, 1000.0)


def test_the_truth_is_transferred_completely_and_without_false_power():
    same = resolution.spectra(NOISE, NOISE, EVERYWHERE, 0.7)
    np.testing.assert_allclose(same.transfer, 1)
    np.testing.assert_allclose(same.false_power, 0, atol=1e-12)
    assert same.per_mm[-1] == pytest.approx(1 / 1.4)
    assert math.isnan(resolution.falls_to(0.5, same))


def test_the_transfer_of_tricubic_interpolation_is_the_gain_of_low_pass_and_spline():
    fine = interpolate(thicken(NOISE))
    angle = 2 * np.pi * np.arange(18) / resolution.SEGMENT
    _, low_pass = signal.freqz(signal.firwin(FIR_ORDER + 1, 0.5), worN=angle)
    _, spline = signal.freqz(tricubic_matrix(32, 2)[:, 16], worN=angle)
    gain = np.abs(low_pass) * np.abs(spline) / 2
    seen = gain[:-2] / 6 + gain[1:-1] * 2 / 3 + gain[2:] / 6  # through Hann's window
    spectra = resolution.spectra(NOISE, fine, EVERYWHERE, 0.7)
    np.testing.assert_allclose(spectra.transfer, seen, atol=0.01)


def test_noise_unrelated_to_the_truth_is_false_power():
    other = 2 * np.random.default_rng(1).normal(size=NOISE.shape)
    spectra = resolution.spectra(NOISE, NOISE + other, EVERYWHERE, 0.7)
    np.testing.assert_allclose(spectra.transfer, 1, atol=0.1)
    np.testing.assert_allclose(spectra.false_power, 4, rtol=0.1)
    np.testing.assert_allclose(spectra.power[1:], np.square(resolution.WINDOW).sum(), rtol=0.1)


def test_the_frequency_of_a_level_is_interpolated():
    ones = np.ones(3)
    spectra = resolution.Spectra(np.array([0.1, 0.2, 0.3]), np.array([0.9, 0.7, 0.3]), ones, ones)
    assert resolution.falls_to(0.5, spectra) == pytest.approx(0.25)
    assert resolution.falls_to(0.95, spectra) == pytest.approx(0.05)
    assert math.isnan(resolution.falls_to(0.1, spectra))


@pytest.mark.parametrize("sigma", [0.01, 0.8, 1.2])
def test_an_edge_is_as_wide_as_it_was_blurred(sigma):
    truth = layered()
    blurred = ndimage.gaussian_filter1d(truth, sigma, axis=2)
    weights = ndimage.gaussian_filter1d(np.eye(1, 31, 15)[0], sigma)
    ends = np.arange(31) - 15 + 0.5  # of voxels, each the mean of what is in it
    expected = 2 * np.interp(0.9, np.cumsum(weights), ends)
    assert resolution.width(resolution.edge_spread(blurred, edges_of(truth))) == pytest.approx(
        expected, rel=0.06
    )


def test_edges_lie_where_the_truth_steps_and_only_along_the_slices():
    truth = layered()
    edges = edges_of(truth)
    rows, cols, first = edges.voxels.T
    np.testing.assert_allclose(first + edges.beyond, 15.5 + 0.1 * rows + 0.07 * cols, atol=1e-6)
    assert len(edges_of(truth.transpose(2, 1, 0)).step) == 0  # a surface across the slices
    assert len(edges_of(1000 - truth).step) > resolution.FEWEST_EDGES  # falling ones count, too


def test_too_few_edges_have_no_width():
    spread = resolution.edge_spread(NOISE, edges_of(np.ones((4, 4, 4))))
    assert np.isnan(spread).all()
    assert math.isnan(resolution.width(spread))


def test_a_scan_without_a_line_inside_the_body_is_refused():
    with pytest.raises(InputError, match="expected structure along 32 slices"):
        resolution.spectra(NOISE, NOISE, ~EVERYWHERE, 0.7)


def test_too_few_slices_have_no_spectrum():
    few = NOISE[:, :, :31]
    with pytest.raises(InputError, match=r"expected 32 slices or more .* got 31"):
        resolution.spectra(few, few, EVERYWHERE[:, :, :31], 0.7)


def test_an_evaluation_has_rows_and_curves_of_truth_and_methods():
    array = np.repeat(layered()[..., None], 2, axis=-1) + NOISE[:, :30, :32, None]
    array[:, :5] = array[:, -5:] = 5  # air
    scan = Volume(array, np.diag([*SPACING_MM, 1]))
    rows, kept = resolution.evaluate(scan, [Interpolation("fi")])
    assert [(row["method"], row["echo"]) for row in rows] == [
        *(("truth", 1), ("truth", 2), ("fi", 1), ("fi", 2)),
    ]
    truth, _, fi, _ = rows
    assert truth["false_percent"] == pytest.approx(0, abs=1e-9)
    assert truth["edge_mm"] < 0.7 < fi["edge_mm"]
    assert fi["mtf50_per_mm"] == pytest.approx(0.5 / 1.4, abs=0.08)
    assert {picture.view: picture.panels["fi"].shape for picture in kept} == {
        "transfer": (2, 3, 16),
        "edge": (2, 2, 25),
    }
