"""Slab, coils, k-space and noise, each against an independent derivation."""

import numpy as np
import pytest
from scipy import fft, stats

from mrsr_tf.errors import InputError
from mrsr_tf.mri.reception import (
    acquired_noise,
    coil_shading,
    filter_frequencies,
    fold,
    magnitude,
    noise_of_coils,
    phase_encoding_window,
    slab_profile,
)


def white_noise(shape, seed):
    """Complex, with a standard deviation of 1 in the real and in the imaginary part."""
    return np.random.default_rng(seed).standard_normal((*shape, 2)).view(complex)[..., 0]


def test_a_slab_excites_half_at_its_faces_and_all_of_its_middle():
    profile = slab_profile(40, 8, 6.0)
    assert profile.shape == (56,)
    assert profile[27] == pytest.approx(1, abs=1e-4)
    assert (profile[7] + profile[8]) / 2 == pytest.approx(0.5, abs=1e-6)  # a face lies between them
    assert profile == pytest.approx(profile[::-1])
    position = np.arange(-8, 48) + 0.5
    low, high = np.interp([0.12, 0.88], profile[:28], position[:28])
    assert high - low == pytest.approx(6.0, abs=0.2)


def test_a_sharp_slab_excites_nothing_beyond_its_faces():
    assert slab_profile(4, 2, 0.0).tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_what_lies_beyond_one_end_of_a_slab_folds_into_the_other():
    image = np.zeros((1, 1, 10), complex)
    image[0, 0, [1, 5, 8]] = 3, 7, 5  # beyond the first slice, inside, beyond the last slice
    assert fold(image, 2)[0, 0].tolist() == [5, 0, 0, 7, 0, 3]
    assert fold(image, 0) is image


def test_a_coil_is_brighter_towards_its_elements_and_smooth():
    shading = coil_shading((60, 60, 20), (2.5, 2.5, 5.0), np.random.default_rng(0))
    assert shading.mean() == pytest.approx(1, abs=1e-4)
    assert shading[30, 30, 10] == pytest.approx(shading[20:40, 20:40, 8:12].min(), rel=0.1)
    assert np.abs(np.diff(shading, axis=0)).max() < 0.3


def test_one_coil_element_has_the_profile_of_a_loop_on_its_axis():
    rng = np.random.default_rng(3)
    start, away, row, radius = (rng.uniform(*r) for r in ((0, 1), (75, 110), (-45, 45), (40, 60)))
    angle = 2 * np.pi * start
    place = np.array([row, away * np.cos(angle), away * np.sin(angle)])
    at = (np.stack(np.meshgrid(*[np.arange(9) - 4] * 3, indexing="ij"), axis=-1)) * 12.0
    expected = (1 + np.square(at - place).sum(axis=-1) / radius**2) ** -1.5
    shading = coil_shading((9, 9, 9), (12, 12, 12), np.random.default_rng(3), elements=1)
    assert shading == pytest.approx(expected / expected.mean(), rel=1e-5)


@pytest.mark.parametrize(("corners", "share"), [(False, np.pi / 4), (True, 1.0)])
def test_an_ellipse_takes_0_79_of_the_time_of_a_rectangle(corners, share):
    window = phase_encoding_window(400, 400, 0.8, corners=corners, fermi=False)
    assert window.mean() == pytest.approx(0.8 * share, abs=0.005)


def test_a_fermi_filter_is_a_half_at_0_92_of_its_radius():
    window = phase_encoding_window(1000, 1, 1.0, corners=True, fermi=True)[:, 0]
    assert window[920] == pytest.approx(0.5, abs=0.01)
    assert window[:700].min() > 0.99


def test_a_filter_shifts_nothing_and_keeps_the_mean():
    position = np.arange(48)
    bump = np.exp(-((position - 20.3) ** 2) / 30)[None, None, :]
    weights = np.linspace(1, 0, 48) ** 0.5
    filtered = filter_frequencies(bump, weights, (2,))[0, 0]
    assert (filtered * position).sum() / filtered.sum() == pytest.approx(20.3, abs=0.05)
    assert filtered.sum() == pytest.approx(bump.sum())


@pytest.mark.parametrize("coils", [1, 2, 4, 8])
@pytest.mark.parametrize("signal", [0.0, 3.0])
def test_the_root_of_a_sum_of_squares_is_non_central_chi(coils, signal):
    sigma, shape = 2.0, (60, 60, 20)
    first, *others = white_noise((coils, *shape), seed=coils)
    power = np.sum(np.abs(others) ** 2, axis=0)
    uniform = np.full(shape, sigma * signal, complex)
    image = magnitude(uniform, first, power, coils=coils, deviation=sigma, floor=0.0)
    squared = (image / sigma) ** 2
    expected = stats.ncx2(2 * coils, signal**2) if signal else stats.chi2(2 * coils)
    assert squared.mean() == pytest.approx(expected.mean(), rel=0.02)
    assert squared.std() == pytest.approx(expected.std(), rel=0.03)


@pytest.mark.parametrize("coils", [1, 4])
def test_a_subtracted_noise_floor_leaves_air_below_its_mean_power_at_zero(coils):
    shape = (60, 60, 20)
    deviation = np.linspace(1, 5, 60)[:, None]  # along the columns
    first, *others = white_noise((coils, *shape), seed=0)
    power = np.sum(np.abs(others) ** 2, axis=0)
    air = np.zeros(shape, complex)
    image = magnitude(air, first, power, coils=coils, deviation=deviation, floor=1.0)
    assert image.min() == 0
    below_mean = stats.chi2(2 * coils).cdf(2 * coils)
    for column in (slice(0, 6), slice(54, 60)):
        assert np.mean(image[:, column] == 0) == pytest.approx(below_mean, abs=0.06)


@pytest.mark.parametrize("coils", [1, 16])
@pytest.mark.parametrize("snr", [8.0, 20.0])
def test_a_subtracted_noise_floor_leaves_the_mean_of_signal_as_it_is(coils, snr):
    first, *others = white_noise((coils, 60, 60, 20), seed=1)
    power = np.sum(np.abs(others) ** 2, axis=0)
    uniform = np.full((60, 60, 20), snr, complex)
    whole, subtracted = (
        magnitude(uniform, first, power, coils=coils, deviation=1.0, floor=floor)
        for floor in (0.0, 1.0)
    )
    assert np.mean(subtracted**2) == pytest.approx(snr**2, rel=2e-3)
    assert subtracted.mean() == pytest.approx(snr, rel=0.015)
    assert np.mean(whole**2) == pytest.approx(snr**2 + 2 * coils, rel=2e-3)


def test_without_noise_the_magnitude_is_that_of_the_image():
    image = 3 * white_noise((4, 5, 6), seed=0)
    assert magnitude(image, 0.0, 0.0, coils=4, deviation=0.0, floor=1.0) == pytest.approx(
        np.abs(image)
    )


def test_zero_filled_noise_has_unit_deviation_and_only_the_acquired_frequencies():
    shape, acquired = (40, 60, 32), (30, 45, 32)
    weights = np.linspace(1, 0.2, 45, dtype=np.float32)[None, :, None]
    noise = acquired_noise(shape, acquired, np.random.default_rng(0), weights)
    assert noise.shape == shape
    assert noise.dtype == np.complex64
    for part in (noise.real, noise.imag):
        assert part.std() == pytest.approx(1, rel=0.01)
    spectrum = np.abs(fft.fftn(noise, norm="ortho")) ** 2
    rows, columns = (np.abs(fft.fftfreq(n, 1 / n)) for n in shape[:2])
    assert spectrum[rows >= 15].max() < 1e-6
    assert spectrum[:, columns >= 22.5].max() < 1e-6
    power = spectrum[rows < 15].mean(axis=(0, 2))[columns < 22.5]
    expected = np.interp(2 * columns[columns < 22.5], np.arange(45), weights[0, :, 0] ** 2)
    assert power / power[:3].mean() == pytest.approx(expected, abs=0.2)


def test_filtered_noise_is_as_strong_at_the_ends_as_in_the_middle():
    weights = np.linspace(1, 0, 24, dtype=np.float32)[None, None]
    noise = acquired_noise((100, 80, 24), (80, 80, 24), np.random.default_rng(0), weights)
    for axis in (0, 2):
        others = tuple(a for a in range(3) if a != axis)
        assert noise.real.std(axis=others) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("coils", [1, 2, 4, 8, 16])
def test_the_power_of_all_coils_is_chi_squared_and_independent_between_neighbours(coils):
    shape = (64, 40, 24)
    first, others = noise_of_coils(coils, shape, shape, np.random.default_rng(0))
    power = np.abs(first) ** 2 + others
    expected = stats.chi2(2 * coils)
    assert power.mean() == pytest.approx(expected.mean(), rel=0.01)
    assert power.var() == pytest.approx(expected.var(), rel=0.03)
    for axis in range(3):
        neighbour = np.roll(power, 1, axis=axis)
        assert np.corrcoef(power.ravel(), neighbour.ravel())[0, 1] == pytest.approx(0, abs=0.015)


@pytest.mark.parametrize("coils", [0, 6])
def test_another_number_of_coils_is_refused(coils):
    with pytest.raises(InputError, match=f"expected 1 to 4 coils or a multiple of 4, got {coils}"):
        noise_of_coils(coils, (4, 4, 4), (4, 4, 4), np.random.default_rng(0))
