"""The acquisition: partial volume, signals, coil, k-space and noise."""

import numpy as np
import pytest
from knee_grids import STILL, knee_of, points, sagittal

from mrsr_tf.mri.dess import dess_signals
from phantom.anatomy.knee import Material, labels, paint
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS, TISSUES
from phantom.scanner import partial_volume
from phantom.scanner.partial_volume import scan_knee
from phantom.scanner.protocols import PROTOCOLS, Sequence


@pytest.fixture(scope="module")
def knee():
    return knee_of(0, 0, 0)


def signal_of(tissue, sequence, fat_excitation=None):
    values = (
        np.float32([getattr(tissue, name)]) for name in ("t1_ms", "t2_ms", "m0", "t2_prime_ms")
    )
    label = np.array([LABELS[tissue.name]], np.int16)
    material = Material(label, *values)
    return partial_volume._signal(sequence, fat_excitation, material, points(0, 0, 0))


def test_blocks_see_every_structure_that_reaches_into_them():
    knee = knee_of(3, 1)
    shape, spacing = (40, 48, 32), (3.1, 3.0, 3.3)
    to_knee = sagittal(shape, spacing, (0, 6, 0))
    scan = scan_knee(knee, to_knee, shape, STILL, finest_mm=9.0)
    index = np.indices(shape).reshape(3, -1).astype(float)
    voxels = knee.to_reference(*partial_volume._positions(to_knee, index))
    owner, _ = paint(voxels, knee.structures)
    assert np.array_equal(scan.label.ravel(), labels(knee.structures, owner))


def test_samples_of_mixed_voxels_see_every_structure_that_reaches_into_them(knee, monkeypatch):
    shape, spacing = (24, 24, 10), (0.4, 0.4, 0.7)
    for centre in ((-20, 6, 2), (0, 33, 5), (-20, -28, 30)):  # joint, vessels, front
        grid = sagittal(shape, spacing, centre)
        scan = scan_knee(knee, grid, shape, STILL)
        with monkeypatch.context() as every:
            every.setattr(partial_volume, "_reaching", lambda points, structures, reach: structures)
            whole = scan_knee(knee, grid, shape, STILL)
        assert np.array_equal(scan.signal, whole.signal)


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
    assert np.sqrt((off**2).mean()) < 0.07  # films of bright fluid are thinner than the samples
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
    signal = signal_of(tissue, sequence)
    expected = dess_signals(
        tissue.m0, tissue.t1_ms, tissue.t2_ms, tr_ms=23.0, te_ms=7.0, flip_deg=20.0,
        diffusivity=relative_diffusivity * 1.25e-9, **spoiler,
    )  # fmt: skip
    assert signal[:, 0].real == pytest.approx(expected, rel=1e-5)


def test_fat_turns_by_its_chemical_shift_until_each_echo_and_keeps_the_ratio_of_both():
    (fat,) = (tissue for tissue in TISSUES if tissue.name == "subcutaneous_fat")
    s1, s2 = signal_of(fat, STILL)[:, 0]
    plain = dess_signals(fat.m0, fat.t1_ms, fat.t2_ms, tr_ms=23.0, te_ms=7.0, flip_deg=20.0)
    assert np.rad2deg(np.angle(s1)) == pytest.approx(-430 * 0.007 % -1 * 360, abs=0.1)
    assert np.angle(s2) == pytest.approx(-np.angle(s1), abs=1e-4)
    assert abs(s2) / abs(s1) == pytest.approx(plain[1] / plain[0], rel=1e-5)
    assert abs(s1) == pytest.approx(plain[0], rel=1e-5)


def test_fat_is_brighter_in_both_echoes_where_water_excitation_fails():
    (fat,) = (tissue for tissue in TISSUES if tissue.name == "subcutaneous_fat")
    ratio = signal_of(fat, STILL, lambda p: np.full_like(p.x, 3)) / signal_of(fat, STILL)
    assert ratio == pytest.approx(3, rel=1e-5)


def test_trabecular_bone_darkens_marrow_in_both_echoes_and_keeps_their_ratio():
    (marrow,) = (tissue for tissue in TISSUES if tissue.name == "marrow")
    dephased, free = (
        np.abs(signal_of(marrow, STILL))[:, 0],
        dess_signals(marrow.m0, marrow.t1_ms, marrow.t2_ms, tr_ms=23.0, te_ms=7.0, flip_deg=20.0),
    )
    assert dephased / free == pytest.approx(np.exp(-7 / 10), rel=1e-5)


def test_every_protocol_times_its_second_echo_by_the_sequence():
    for protocol in PROTOCOLS.values():
        assert protocol.te_ms[1] == pytest.approx(2 * protocol.tr_ms - protocol.te_ms[0])
