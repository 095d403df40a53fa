"""Thick slices and the way back: no shift, no lost slice, and SciPy's own filters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage, signal

from mrsr_tf.errors import InputError
from mrsr_tf.mri.slices import Profile, first_slice, interpolate, thicken

METHODS = ("tricubic", "fourier")
PERIOD, LENGTH = 12, 720  # fine slices


def make_image(slices, rows=3, cols=2):
    return np.random.default_rng(slices).random((rows, cols, slices))


def delay(wave, spacing=1.0):
    """By how many fine slices a sine of `PERIOD` lags, from the phase of its middle third."""
    middle = np.arange(len(wave) // 3, len(wave) * 2 // 3)
    turn = 2 * np.pi * middle * spacing / PERIOD
    phase = np.angle(np.sum(wave[middle] * np.exp(-1j * (turn - np.pi / 2))))
    return -phase / (2 * np.pi) * PERIOD


def sine(slices, spacing=1.0):
    return np.sin(2 * np.pi * spacing * np.arange(slices) / PERIOD)


def test_the_measure_of_delay_sees_a_tenth_of_a_slice():
    shifted = np.sin(2 * np.pi * (np.arange(LENGTH) - 0.1) / PERIOD)
    assert delay(shifted) == pytest.approx(0.1, abs=1e-9)


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_thick_slices_sit_where_their_profile_says(factor, profile):
    found = delay(thicken(sine(LENGTH), factor, axis=0, profile=profile), spacing=factor)
    assert found == pytest.approx(-first_slice(profile, factor), abs=5e-4)
    assert first_slice(profile, factor) == (0.5 * (factor - 1) if profile == "box" else 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("first", [0, 0.5, 1.5])
def test_interpolation_does_not_shift(factor, method, first):
    position = np.arange(first, LENGTH, factor)
    thick = np.sin(2 * np.pi * position / PERIOD)
    back = interpolate(thick, factor, axis=0, method=method, first=first)
    assert delay(back) == pytest.approx(0, abs=5e-4)


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [2, 3])
def test_there_and_back_does_not_shift(method, profile, factor):
    thick = thicken(sine(LENGTH), factor, axis=0, profile=profile)
    first = first_slice(profile, factor)
    back = interpolate(thick, factor, axis=0, method=method, first=first)
    assert delay(back) == pytest.approx(0, abs=5e-4)


@pytest.mark.parametrize("method", METHODS)
def test_what_the_filter_passes_comes_back_as_it_was(method):
    back = interpolate(thicken(sine(LENGTH), axis=0), axis=0, method=method)
    np.testing.assert_allclose(back[24:-24], sine(LENGTH)[24:-24], atol=0.01)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_a_box_is_the_mean_of_its_slices(blocks, factor):
    image = make_image(blocks * factor)
    expected = image.reshape(3, 2, blocks, factor).mean(axis=-1)
    np.testing.assert_allclose(thicken(image, factor, profile="box"), expected, atol=1e-12)
    # One slice more is the mean of itself and its mirror images.
    more = thicken(make_image(blocks * factor + 1), factor, profile="box")
    assert more.shape[2] == blocks + 1
    if factor == 2:
        np.testing.assert_allclose(more[..., -1], make_image(2 * blocks + 1)[..., -1], atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("thick_slices", [1, 2, 8, 15])
def test_kspace_is_the_crop_of_the_mirrored_scans_spectrum(thick_slices, factor):
    image = make_image(thick_slices * factor)
    mirrored = np.concatenate([image, image[..., ::-1]], axis=2)
    kz = np.fft.fftshift(np.fft.fft(mirrored), axes=2)
    kept = kz[..., (factor - 1) * thick_slices : (factor + 1) * thick_slices]
    thick = np.fft.ifft(np.fft.ifftshift(kept, axes=2)).real[..., :thick_slices] / factor
    np.testing.assert_allclose(thicken(image, factor, profile="kspace"), thick, atol=1e-12)


@pytest.mark.parametrize(
    ("profile", "at_half", "at_three_quarters"),
    [
        ("fir", 1, 1),
        ("box", 0.924, 0.831),
        ("kspace", 1, 1),
        ("kspace_hamming", 0.54, 0.215),
    ],
)
def test_each_profile_has_its_gain_below_the_thick_nyquist(profile, at_half, at_three_quarters):
    def gain(share_of_thick_nyquist):
        wave = np.cos(np.pi * share_of_thick_nyquist / 2 * (np.arange(640) + 0.5))
        middle = slice(100, 220)  # away from the ends
        position = 2 * np.arange(640 // 2)[middle] + first_slice(profile, 2) + 0.5
        expected = np.cos(np.pi * share_of_thick_nyquist / 2 * position)
        found = thicken(wave, axis=0, profile=profile)[middle]
        return found @ expected / (expected @ expected)

    assert gain(0.5) == pytest.approx(at_half, abs=0.01)
    assert gain(0.75) == pytest.approx(at_three_quarters, abs=0.02)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("slices", [1, 2, 5, 47, 48, 160])
def test_thickening_is_scipys_filter_of_the_array(slices, factor):
    taps = signal.firwin(49, 1 / factor)
    expected = ndimage.correlate1d(make_image(slices), taps, axis=2, mode="reflect")[..., ::factor]
    np.testing.assert_allclose(thicken(make_image(slices), factor), expected, atol=1e-12)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("slices", [24, 25, 160])
def test_tricubic_is_scipys_spline_of_the_array(slices, factor):
    fine = np.arange(factor * slices) / factor
    expected = np.array(
        [
            ndimage.map_coordinates(line, [fine], order=3, mode="reflect")
            for line in make_image(slices).reshape(-1, slices)
        ]
    )
    found = interpolate(make_image(slices), factor).reshape(-1, factor * slices)
    np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("slices", [1, 2, 5, 24, 25])
def test_fourier_is_the_trigonometric_polynomial_through_the_mirrored_slices(slices, factor):
    mirrored = np.concatenate([make_image(slices), make_image(slices)[..., ::-1]], axis=2)
    spectrum = np.fft.fft(mirrored) / (2 * slices)
    positions = np.arange(factor * slices) / factor
    expected = np.zeros((3, 2, factor * slices), complex)
    for frequency in range(-slices, slices + 1):
        share = 0.5 if abs(frequency) == slices else 1.0  # the Nyquist bin is split
        wave = np.exp(1j * np.pi * frequency * positions / slices)
        expected += share * spectrum[..., frequency % (2 * slices), None] * wave
    np.testing.assert_allclose(
        interpolate(make_image(slices), factor, method="fourier"), expected.real, atol=1e-12
    )


@given(slices=st.integers(1, 40), factor=st.integers(2, 5), method=st.sampled_from(METHODS))
def test_nothing_is_lost_at_any_slice_count(slices, factor, method):
    thick = thicken(make_image(slices), factor)
    assert thick.shape == (3, 2, -(-slices // factor))
    fine = interpolate(thick, factor, method=method)
    assert fine.shape == (3, 2, factor * thick.shape[2])
    np.testing.assert_allclose(fine[..., ::factor], thick, atol=1e-10)


@given(slices=st.integers(1, 40), factor=st.integers(2, 5), profile=st.sampled_from(Profile))
def test_any_profile_has_as_many_slices_and_keeps_a_constant(slices, factor, profile):
    thick = thicken(np.full((3, 2, slices), 0.7), factor, profile=profile)
    assert thick.shape == (3, 2, -(-slices // factor))
    np.testing.assert_allclose(thick, 0.7, atol=1e-12)
    fine = interpolate(thick, factor, first=first_slice(profile, factor))
    np.testing.assert_allclose(fine, 0.7, atol=1e-12)


@given(slices=st.integers(1, 60), factor=st.integers(2, 5))
def test_a_constant_stays_what_it_is(slices, factor):
    constant = np.full((2, 2, slices), 0.7)
    np.testing.assert_allclose(thicken(constant, factor), 0.7, atol=1e-12)
    for method in METHODS:
        np.testing.assert_allclose(interpolate(constant, factor, method=method), 0.7, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_scan_upside_down_thickens_to_its_mirror_image_at_matching_slices(method):
    # Slice 0 and, of an odd count, the last slice are both kept by factor 2.
    image = make_image(25)
    np.testing.assert_allclose(thicken(image[..., ::-1]), thicken(image)[..., ::-1], atol=1e-12)
    fine = interpolate(image, method=method)[..., :-1]
    turned = interpolate(image[..., ::-1], method=method)[..., :-1]
    np.testing.assert_allclose(turned, fine[..., ::-1], atol=1e-12)


def test_half_of_the_thick_nyquist_passes_and_what_would_alias_does_not():
    position = np.arange(400)

    def gain(cycles_per_slice):
        wave = np.cos(2 * np.pi * cycles_per_slice * position)
        return np.abs(thicken(wave, axis=0)[20:-20]).max()

    assert gain(0.125) == pytest.approx(1, abs=5e-3)
    assert gain(0.25) == pytest.approx(0.5, abs=1e-2)
    assert gain(0.375) == pytest.approx(0, abs=5e-3)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, 3])
def test_any_axis_may_be_that_of_the_slices(axis):
    image = np.random.default_rng(0).random((6, 7, 8, 9))
    moved = np.moveaxis(image, axis, 2)
    for operator in (thicken, interpolate):
        np.testing.assert_allclose(
            np.moveaxis(operator(image, axis=axis), axis, 2), operator(moved), atol=1e-12
        )


@pytest.mark.parametrize("operator", [thicken, interpolate])
def test_echoes_do_not_mix(operator):
    echoes = np.random.default_rng(0).random((3, 4, 10, 2))
    separately = [operator(echoes[..., echo]) for echo in range(2)]
    np.testing.assert_allclose(operator(echoes), np.stack(separately, axis=-1), atol=1e-12)


@pytest.mark.parametrize("operator", [thicken, interpolate])
@pytest.mark.parametrize(
    ("given_type", "type_back"),
    [(np.float32, np.float32), (np.float64, np.float64), (np.int16, np.float32)],
)
def test_floats_keep_their_type_and_integers_become_floats(operator, given_type, type_back):
    image = (100 * make_image(9)).astype(given_type)
    found = operator(image)
    assert found.dtype == type_back
    np.testing.assert_allclose(found, operator(image.astype(float)), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("operator", [thicken, interpolate])
@pytest.mark.parametrize("factor", [1, 0, -2, 2.5])
def test_a_factor_that_is_none_is_refused(operator, factor):
    with pytest.raises(InputError, match=f"integer of 2 or more, got {factor}"):
        operator(make_image(8), factor)


def test_an_unknown_profile_is_refused():
    with pytest.raises(InputError, match="fir, box, kspace, kspace_hamming, got 'gauss'"):
        thicken(make_image(8), profile="gauss")


def test_an_unknown_method_is_refused():
    with pytest.raises(InputError, match="tricubic or fourier, got 'nearest'"):
        interpolate(make_image(8), method="nearest")
