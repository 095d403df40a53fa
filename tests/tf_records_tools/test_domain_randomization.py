"""Many scans of one volume."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrsr_tf.errors import InputError
from mrsr_tf.io.nifti import read_nifti, write_nifti
from mrsr_tf.volume import Volume
from tf_records_tools import domain_randomization
from tf_records_tools.domain_randomization import Ranges, randomize_scan, resample


def head(shape: tuple[int, ...] = (40, 36, 32), echoes: int = 1) -> Volume:
    """A ball of two tissues in air."""
    places = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij"))
    distance = np.linalg.norm(places, axis=0)
    image = np.where(distance < 0.5, 900.0, np.where(distance < 0.9, 400.0, 0.0))
    return Volume(np.repeat(image[..., None], echoes, axis=3), np.eye(4))


def test_resampling_keeps_a_slow_wave_where_it_was():
    def wave(count: int) -> np.ndarray:
        return 3 + np.cos(np.pi * 2 * (np.arange(count) + 0.5) / count)  # of the field of view

    for count in (20, 48, 77):
        found = resample(wave(48)[:, None], (count, 1))
        np.testing.assert_allclose(found[:, 0], wave(count), atol=1e-6)


def test_a_window_damps_detail_and_keeps_the_mean():
    noise = np.random.default_rng(0).normal(5, 1, (64, 3))
    plain, windowed = resample(noise, (32, 3)), resample(noise, (32, 3), window=1.0)
    np.testing.assert_allclose(windowed.mean(), plain.mean(), rtol=1e-6)
    assert windowed.std() < 0.8 * plain.std()


def test_a_scan_covers_the_field_of_view_in_thicker_slices_of_finer_pixels():
    ranges = Ranges(pixels=(1.2, 1.2), interpolated=(1.5, 1.5), thickness=(2.0, 2.0), beyond=(0, 0))
    for seed in range(4):
        scan = randomize_scan(
            head(), 2, np.random.default_rng(seed), fewest_slices=8, ranges=ranges
        )
        extent = scan.spacing_mm * scan.array.shape[:3]
        np.testing.assert_allclose(sorted(extent), [32, 36, 40], rtol=1e-6)
        assert 1.5 < scan.spacing_mm[2] / scan.spacing_mm[0] < 4
        assert scan.echoes == 2


def test_slices_stay_as_many_as_asked_for():
    for seed in range(6):
        scan = randomize_scan(head(), 1, np.random.default_rng(seed), fewest_slices=30)
        assert scan.array.shape[2] >= 30


def test_air_stays_dark_and_the_echoes_differ_beyond_their_noise():
    quiet = Ranges(noise=(0.001, 0.001), beyond=(0, 0))
    scan = randomize_scan(head(), 2, np.random.default_rng(3), fewest_slices=8, ranges=quiet)
    assert np.median(scan.array[:2, :2]) < 0.02
    assert np.abs(scan.array[..., 0] - scan.array[..., 1]).max() > 0.1


def test_noise_is_that_of_a_magnitude_in_air(monkeypatch):
    monkeypatch.setattr(domain_randomization, "random_coils", lambda random: 1)
    monkeypatch.setattr(domain_randomization, "FLOOR_PROBABILITY", 0.0)
    ranges = Ranges(
        noise=(0.02, 0.02), interpolated=(1.0, 1.0), pixels=(1.0, 1.0), noise_ratio=(0.7, 0.7)
    )
    scan = randomize_scan(head(), 2, np.random.default_rng(1), fewest_slices=30, ranges=ranges)
    first, second = np.moveaxis(scan.array[:4, :4], 3, 0)
    np.testing.assert_allclose(first.mean(), 0.02 * np.sqrt(np.pi / 2), rtol=0.25)  # Rayleigh
    np.testing.assert_allclose(second.mean() / first.mean(), 0.7, rtol=0.1)


def test_the_second_echo_is_mostly_a_fraction_of_the_first():
    fine = np.linspace(0.05, 1, 60, dtype=np.float32)
    shares = []
    for seed in range(60):
        first, second = domain_randomization._contrasts(fine, 2, np.random.default_rng(seed))
        assert 0 <= second.min() <= second.max() <= 1
        shares.append(float(np.mean(second / first)))
    assert np.mean(np.array(shares) < 0.5) > 0.5
    assert np.mean(np.array(shares) > 0.7) > 0.1


def test_the_ends_of_a_slab_are_dark():
    volume = Volume(np.full((24, 24, 40, 1), 100.0, np.float32), np.eye(4))
    sharp, soft = (
        randomize_scan(
            volume, 1, np.random.default_rng(5), fewest_slices=36,
            ranges=Ranges(
                slab_edge=(edge, edge), beyond=(0, 0), thickness=(1, 1), window=(0, 0),
                noise=(1e-4, 1e-4),
            ),
        ).array.mean(axis=(0, 1, 3))
        for edge in (1e-9, 0.15)
    )  # fmt: skip
    ratio = soft / sharp
    assert ratio[len(ratio) // 2] == pytest.approx(1, abs=0.02)
    assert ratio[[0, -1]] == pytest.approx(0.5 * (1 + np.tanh(2 * 0.5 / 6)), abs=0.05)


@pytest.mark.parametrize(
    ("volume", "why"),
    [
        (head(echoes=2), "one echo"),
        (Volume(head().array, np.diag([1, 1, 3, 1.0])), "alike along all axes"),
        (head((9, 8, 7)), "30 voxels"),
    ],
)
def test_what_is_no_isotropic_volume_is_refused(volume, why):
    with pytest.raises(InputError, match=why):
        randomize_scan(volume, 1, np.random.default_rng(0), fewest_slices=30)


def test_the_command_makes_the_same_scans_again_and_finishes_what_is_missing(tmp_path: Path):
    write_nifti(head(), tmp_path / "head.nii")

    def call(output: str) -> subprocess.CompletedProcess[str]:
        module = "tf_records_tools.make_varied_scans"
        paths = [f"--input={tmp_path}/head.nii", f"--output={tmp_path / output}"]
        flags = ["--scans=2", "--fewest_slices=8", "--contrasts=dual", "--seed=4"]
        return subprocess.run(
            [sys.executable, "-m", module, *paths, *flags],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    for output in ("one", "two"):
        done = call(output)
        assert done.returncode == 0, done.stderr
    for run in ("000", "001"):
        one, two = (read_nifti(tmp_path / f / f"sub-1_run-{run}.nii") for f in ("one", "two"))
        np.testing.assert_array_equal(one.array, two.array)
        assert one.echoes == 2
    assert "nothing to do" in call("one").stdout
