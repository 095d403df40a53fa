"""T2 from two echoes: published values, the truth recovered, and what has no T2."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from random_scans import make_scan

from eval.t2_noise import t2_deviation
from mrsr_tf.errors import InputError
from mrsr_tf.mri.dess import dess_signals, t2_map
from mrsr_tf.mri.noise import above_noise
from mrsr_tf.mri.t2 import sequence, with_sequence
from mrsr_tf.volume import Volume

PAPER = {"tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0}
SPOILER = {"spoiler_area": 3132.0, "spoiler_duration_us": 1560.0}
CARTILAGE = np.linspace(15, 50, 71)


def recovered(t2, method, *, t1=1200.0, flip=20.0, spoiler=SPOILER, **options):
    """T2 from the signals of this very T2."""
    sequence = {"tr_ms": 23.0, "te_ms": 7.0, "flip_deg": flip, **spoiler}
    s1, s2 = dess_signals(0.8, t1, t2, **sequence)
    return t2_map(s1, s2, t1_ms=t1, method=method, **sequence, **options)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("spoiler", "t2"),
    [(SPOILER, (24.3478, 35.2105, 51.5183, 80.4030)), ({}, (23.8669, 34.2135, 49.4116, 75.3869))],
)
def test_the_analytic_formula_gives_the_published_values(spoiler, t2, dtype):
    ratio = np.array([0.2, 0.3, 0.4, 0.5], dtype)
    result = t2_map(np.ones_like(ratio), ratio, **PAPER, **spoiler)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, t2, atol=1e-4)


def test_the_analytic_formula_has_the_published_bias():
    truth = np.array([27.0, 37.0, 50.0, 80.0])
    bias = recovered(truth, "analytic", t1=1240.0, spoiler={}) / truth - 1
    np.testing.assert_allclose(bias, [0.01, 0.022, 0.046, 0.13], atol=0.006)


def test_the_analytic_formula_reads_diffusing_cartilage_to_a_few_percent():
    error = recovered(CARTILAGE, "analytic") / CARTILAGE - 1
    assert error.min() > -0.005
    assert error.max() < 0.055


@pytest.mark.parametrize("spoiler", [{}, SPOILER])
@pytest.mark.parametrize("t1", [365.0, 1000.0, 1200.0, 3620.0])
def test_the_exact_method_recovers_every_t2_up_to_the_limit(t1, spoiler):
    t2 = np.linspace(2, 99.9, 500)
    np.testing.assert_allclose(recovered(t2, "exact", t1=t1, spoiler=spoiler), t2, rtol=2e-4)


@given(
    flip=st.floats(12, 90),
    tr=st.floats(14, 40),
    te=st.floats(2, 6.9),
    area=st.floats(0, 8000),
    t1=st.floats(300, 4000),
    t2=st.floats(5, 99),
)
def test_the_exact_method_recovers_t2_in_any_sequence(flip, tr, te, area, t1, t2):
    sequence = {"tr_ms": tr, "te_ms": te, "flip_deg": flip, "spoiler_area": area}
    s1, s2 = dess_signals(1.0, t1, t2, **sequence)
    assert t2_map(s1, s2, t1_ms=t1, method="exact", **sequence) == pytest.approx(t2, rel=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("flip_map", [False, True])
def test_the_exact_method_takes_maps_of_t1_and_flip_angle(flip_map, dtype):
    rng = np.random.default_rng(0)
    shape = (12, 9, 11)
    t1, t2 = rng.uniform(700, 1500, shape), rng.uniform(5, 99, shape)
    flip = rng.uniform(15, 25, shape) if flip_map else np.array(20.0)
    found = recovered(t2.astype(dtype), "exact", t1=t1.astype(dtype), flip=flip.astype(dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, t2, rtol=2e-4)


def test_a_map_of_one_t1_gives_what_the_number_gives():
    t1 = np.full(CARTILAGE.shape, 1200.0)
    for method in ("analytic", "exact"):
        s1, s2 = dess_signals(1.0, t1, CARTILAGE, **PAPER)
        np.testing.assert_allclose(
            t2_map(s1, s2, t1_ms=t1, method=method, **PAPER),
            t2_map(s1, s2, method=method, **PAPER),
            rtol=1e-9,
        )


@pytest.mark.parametrize("method", ["analytic", "exact"])
def test_the_order_in_memory_does_not_matter(method):
    t1, t2 = np.random.default_rng(0).uniform([[[700]], [[5]]], [[[1500]], [[99]]], (2, 6, 7))
    s1, s2 = dess_signals(1.0, t1, t2, **PAPER)
    turned = (np.asfortranarray(s1), np.stack([s2, s1], axis=-1)[..., 0])
    expected = t2_map(s1, s2, t1_ms=t1, method=method, **PAPER)
    np.testing.assert_allclose(t2_map(*turned, t1_ms=t1, method=method, **PAPER), expected)


def test_a_wrong_t1_costs_two_percent():
    s1, s2 = dess_signals(1.0, 1000.0, CARTILAGE, **PAPER)
    error = t2_map(s1, s2, t1_ms=1200.0, method="exact", **PAPER) / CARTILAGE - 1
    assert 0.005 < abs(error).mean() < 0.04


@pytest.mark.parametrize("method", ["analytic", "exact"])
@pytest.mark.parametrize(
    ("s1", "s2"),
    [
        *[(0, 0), (0, 1), (1, 0), (-1, 0.3), (1, -0.3), (-1, -0.3), (1, 0.62), (1, 0.95), (1, 3)],
        *[(np.nan, 0.3), (1, np.nan), (np.inf, 1), (1, np.inf)],
    ],
)
def test_what_has_no_t2_is_not_a_number(s1, s2, method):
    result = t2_map(np.array([s1, 1.0]), np.array([s2, 0.3]), method=method, **PAPER)
    np.testing.assert_array_equal(np.isnan(result), [True, False])


@pytest.mark.parametrize("method", ["analytic", "exact"])
def test_t2_beyond_the_limit_is_not_a_number_unless_the_limit_is_raised(method):
    t2 = np.array([99.0, 150.0, 767.0])
    assert np.isnan(recovered(t2, "exact")[1:]).all()
    np.testing.assert_allclose(recovered(t2, "exact", limit_ms=1000.0), t2, rtol=5e-3)
    assert recovered(t2[:1], "analytic", limit_ms=1000.0)[0] > 100
    assert np.isnan(recovered(t2[:1], "analytic")[0])


def test_voxels_without_t1_or_flip_angle_have_no_t2():
    s1, s2 = np.ones(3), np.full(3, 0.3)
    hole = np.array([1.0, 0.0, np.nan])
    for method in ("analytic", "exact"):
        for maps in ({"t1_ms": 1200 * hole}, {"flip_deg": 20 * hole}, {"t1_ms": 0 * s1}):
            result = t2_map(s1, s2, method=method, **(PAPER | maps))
            assert np.isnan(result[1:]).all()
            assert np.isnan(result[0]) == (not np.any(maps.get("t1_ms", s1) > 0))


def test_numbers_empty_arrays_and_scanner_integers_are_taken():
    assert t2_map(10, 2, **PAPER) == pytest.approx(23.8669, abs=1e-4)
    assert t2_map(np.array([10], np.int16), np.array([2], np.int16), **PAPER).dtype == np.float64
    for method in ("analytic", "exact"):
        assert t2_map(np.zeros((0, 3)), np.zeros((0, 3)), method=method, **PAPER).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"s2": np.ones(3)}, r"one shape, got \(2,\) and \(3,\)"),
        ({"t1_ms": np.ones(3)}, r"T1 that is .* shape \(2,\), got \(3,\)"),
        ({"flip_deg": np.ones((1, 2))}, "flip angle that is"),
        ({"t1_ms": 0.0}, "T1 above 0"),
        ({"t1_ms": np.nan}, "T1 above 0"),
        ({"method": "mono"}, "analytic or exact, got 'mono'"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        t2_map(**({"s1": np.ones(2), "s2": np.ones(2)} | PAPER | arguments))


def test_the_sequence_is_what_the_scan_says():
    assert sequence(make_scan(**SPOILER)) == {**PAPER, **SPOILER}


def test_a_single_contrast_scan_has_no_t2_and_the_refusal_says_why():
    with pytest.raises(InputError, match=r"single-contrast .* combined into one image"):
        sequence(make_scan(echoes=1))


@pytest.mark.parametrize(
    ("unknown", "flag"),
    [
        ("repetition_time_ms", "RepetitionTime"),
        ("echo_times_ms", "EchoTime"),
        ("flip_angle_deg", "FlipAngle"),
    ],
)
def test_an_unknown_time_or_flip_angle_is_asked_for(unknown, flag):
    with pytest.raises(InputError, match=f"without {flag}"):
        sequence(make_scan(**{**SPOILER, unknown: None}))


def test_an_unknown_spoiler_means_no_diffusion_and_a_warning(caplog):
    assert sequence(make_scan(spoiler_area=None), "knee_7") == PAPER
    assert "T2 is computed without diffusion, and reads 2-4 % low" in caplog.text
    assert "in knee_7" in caplog.text


def test_echo_times_that_are_not_of_a_dess_are_warned_of(caplog):
    sequence(make_scan(echo_times_ms=(7.0, 30.0), **SPOILER))
    assert "TE1 + TE2 = 2 TR" in caplog.text


def test_what_is_given_fills_what_the_header_lacks(caplog):
    bare = make_scan(echo_times_ms=None, repetition_time_ms=None, flip_angle_deg=None)
    scan = with_sequence(bare, **PAPER, **SPOILER)
    assert sequence(scan) == {**PAPER, **SPOILER}
    assert scan.echo_times_ms == (7.0, 39.0)
    assert not caplog.text


def test_what_contradicts_the_header_is_used_and_said(caplog):
    parameters = sequence(
        with_sequence(make_scan(**SPOILER), tr_ms=25.0, te_ms=7.48, flip_deg=20.0)
    )
    assert (parameters["tr_ms"], parameters["te_ms"], parameters["flip_deg"]) == (25.0, 7.48, 20.0)
    assert "repetition time ms: 25 is given and used, the header says 23" in caplog.text
    assert "echo time ms: 7.48 is given and used, the header says 7" in caplog.text
    assert "flip" not in caplog.text


def test_tissue_stands_out_of_the_noise_and_air_does_not():
    rng = np.random.default_rng(0)
    signal = np.zeros((64, 64, 3, 2))
    signal[16:48, 16:48] = (1.0, 0.3)
    noise = rng.normal(0, 0.02, (*signal.shape, 2))
    image = np.hypot(signal + noise[..., 0], noise[..., 1])
    mask = above_noise(Volume(image, np.eye(4)))
    assert mask[18:46, 18:46].all()
    assert mask[:12].mean() < 0.01


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_an_image_of_one_grey_is_taken(level):
    assert above_noise(Volume(np.full((12, 12, 2, 2), level), np.eye(4))).shape == (12, 12, 2)


@pytest.mark.parametrize("method", ["analytic", "exact"])
@pytest.mark.parametrize("t2_ms", [25.0, 45.0])
def test_the_deviation_of_t2_is_the_spread_of_its_map_under_noise(method, t2_ms):
    signals = np.array(dess_signals(0.8, 1200.0, t2_ms, **PAPER, **SPOILER))
    random = np.random.default_rng(0)
    noisy = signals + random.normal(0, signals[0] / 60, (60, 50, 6, 2))
    scan = Volume(noisy.astype(np.float32), np.eye(4))
    known = {"method": method, **PAPER, **SPOILER}
    deviation = t2_deviation(scan, **known)
    seen = np.nanstd(t2_map(noisy[..., 0], noisy[..., 1], **known))
    assert np.nanmedian(deviation) == pytest.approx(seen, rel=0.1)


def test_where_there_is_no_signal_t2_has_no_deviation():
    scan = Volume(np.zeros((8, 8, 2, 2), np.float32), np.eye(4))
    assert np.isnan(t2_deviation(scan, **PAPER)).all()
