"""The acquisition: partial volume, signals, coil, k-space and noise."""

import numpy as np
import pytest
from knee_grids import STILL, sagittal

from mrsr_tf.mri.dess import dess_signals
from phantom.anatomy.knee import Knee, Material
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS, TISSUES
from phantom.scanner import acquisition
from phantom.scanner.acquisition import acquire, receive_field, scan_knee
from phantom.scanner.protocols import PROTOCOLS, Sequence


@pytest.fixture(scope="module")
def knee():
    return Knee(np.random.default_rng([0, 0, 0]))


def material(tissue):
    values = (np.float32([getattr(tissue, name)]) for name in ("t1_ms", "t2_ms", "m0"))
    label = np.array([LABELS[tissue.name]], np.int16)
    return Material(label, *values, near=np.zeros(1, bool))


def test_blocks_see_every_structure_that_reaches_into_them():
    knee = Knee(np.random.default_rng([3, 1]))
    shape, spacing = (40, 48, 32), (3.1, 3.0, 3.3)
    to_knee = sagittal(shape, spacing, (0, 6, 0))
    scan = scan_knee(knee, to_knee, shape, STILL, finest_mm=9.0)
    index = np.indices(shape).reshape(3, -1).astype(float)
    voxels = knee.to_reference(*acquisition._positions(to_knee, index))
    assert np.array_equal(
        scan.label.ravel(), knee.material(voxels, knee.structures, margin=0.0).label
    )


def test_threads_do_not_change_the_scan(knee):
    shape = (40, 40, 20)
    to_knee = sagittal(shape, (0.5, 0.5, 0.7))
    single, double = (scan_knee(knee, to_knee, shape, STILL, threads) for threads in (1, 2))
    for name in ("signal", "label", "t1_ms", "t2_ms", "m0"):
        assert np.array_equal(getattr(single, name), getattr(double, name))


def test_voxels_of_one_tissue_hold_its_signal_and_mixed_ones_the_mean_of_complex_signals(knee):
    shape, spacing = (24, 24, 10), (0.4, 0.4, 0.7)
    scan = scan_knee(knee, sagittal(shape, spacing), shape, STILL)
    n = (4, 4, 6)
    fine_shape = tuple(a * b for a, b in zip(shape, n, strict=True))
    fine = scan_knee(
        knee, sagittal(fine_shape, [d / k for d, k in zip(spacing, n, strict=True)]),
        fine_shape, STILL,
    )  # fmt: skip
    split = [part for size, k in zip(shape, n, strict=True) for part in (size, k)]
    mean = fine.signal.reshape(*split, 2).mean(axis=(1, 3, 5))
    label = fine.label.reshape(split)
    pure = label.min(axis=(1, 3, 5)) == label.max(axis=(1, 3, 5))
    mixed = ~pure & (np.abs(scan.signal[..., 0]) > 0.01)
    assert mixed.sum() > 500
    off = np.abs(scan.signal - mean)[mixed] / np.abs(mean).max()
    assert np.sqrt((off**2).mean()) < 0.04
    s1, s2 = dess_signals(scan.m0, scan.t1_ms, scan.t2_ms, tr_ms=23.0, te_ms=7.0, flip_deg=20.0)
    cartilage = pure & (scan.label >= FIRST_CARTILAGE)
    assert cartilage.sum() > 300
    for echo, signal in enumerate((s1, s2)):
        # within a voxel that touches no other tissue T2 still runs with depth
        error = np.abs(np.abs(scan.signal[..., echo]) / signal - 1)[cartilage]
        assert np.median(error) == 0
        assert error.max() < 0.08


@pytest.mark.parametrize(("name", "relative_diffusivity"), [("synovial_fluid", 2), ("muscle", 1)])
def test_liquids_diffuse_twice_as_fast_as_tissue(name, relative_diffusivity):
    spoiler = {"spoiler_area": 3132.0, "spoiler_duration_us": 1560.0}
    (tissue,) = (tissue for tissue in TISSUES if tissue.name == name)
    sequence = Sequence(23.0, (7.0, 39.0), 20.0, 1.25e-9, **spoiler)
    signal = acquisition._signal(material(tissue), sequence)
    expected = dess_signals(
        tissue.m0, tissue.t1_ms, tissue.t2_ms, tr_ms=23.0, te_ms=7.0, flip_deg=20.0,
        diffusivity=relative_diffusivity * 1.25e-9, **spoiler,
    )  # fmt: skip
    assert signal[:, 0].real == pytest.approx(expected, rel=1e-5)


def test_fat_turns_by_its_chemical_shift_until_each_echo_and_keeps_the_ratio_of_both():
    (fat,) = (tissue for tissue in TISSUES if tissue.name == "subcutaneous_fat")
    s1, s2 = acquisition._signal(material(fat), STILL)[:, 0]
    plain = dess_signals(fat.m0, fat.t1_ms, fat.t2_ms, tr_ms=23.0, te_ms=7.0, flip_deg=20.0)
    assert np.rad2deg(np.angle(s1)) == pytest.approx(-430 * 0.007 % -1 * 360, abs=0.1)
    assert np.angle(s2) == pytest.approx(-np.angle(s1), abs=1e-4)
    assert abs(s2) / abs(s1) == pytest.approx(plain[1] / plain[0], rel=1e-5)
    assert abs(s1) == pytest.approx(plain[0], rel=1e-5)


def test_noise_is_rician_with_the_given_sigma():
    empty = np.zeros((64, 80, 12), np.complex64)
    field = np.ones_like(empty)
    for fraction in (1.0, 0.8):
        air = acquire(empty, field, 2.0, fraction, [1])
        assert np.sqrt((air**2).mean() / 2) == pytest.approx(2.0, rel=0.02)
        tissue = acquire(empty + 100, field, 2.0, fraction, [1])
        assert tissue.std() == pytest.approx(2.0, rel=0.03)
        assert tissue.mean() == pytest.approx(100.0, abs=0.2)


def test_truncation_removes_frequencies_and_without_it_the_signal_stays_as_it_is():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((8, 64, 3)).astype(np.float32) + 10 + 0j
    signal = signal.astype(np.complex64)
    field = np.ones_like(signal)
    assert acquire(signal, field, 0.0, None, [0]) == pytest.approx(np.abs(signal), rel=1e-6)
    cut = acquire(signal, field, 0.0, 0.75, [0])
    mirrored = np.concatenate([cut, cut[:, ::-1]], axis=1)
    power = np.abs(np.fft.rfft(mirrored, axis=1))
    assert power[:, 49:].max() < 1e-4 * power.max()


def test_the_receive_field_is_smooth_and_about_one():
    field = receive_field((104, 104, 40), (1.54, 1.54, 2.8), np.random.default_rng(0))
    size = np.abs(field)
    assert 0.5 < size.min() < size.max() < 1.8
    assert np.abs(np.diff(field, axis=0)).max() < 0.06


def test_every_protocol_times_its_second_echo_by_the_sequence():
    for protocol in PROTOCOLS.values():
        assert protocol.te_ms[1] == pytest.approx(2 * protocol.tr_ms - protocol.te_ms[0])
