import csv
import subprocess
import sys

import numpy as np
import pytest
from small_scans import write_cohort

from eval.metrics import psnr
from eval.sparse import ScSR, scsr
from mrsr_tf.errors import InputError
from mrsr_tf.mri import slices


def balls(seed: int, shape=(40, 24, 32), count: int = 30) -> np.ndarray:
    """Sharp-edged balls, smoothed by part of a voxel: detail along slices follows that in plane."""
    random = np.random.default_rng(seed)
    axes = np.ogrid[tuple(slice(length) for length in shape)]
    image = np.zeros(shape, np.float32)
    for _ in range(count):
        centre, radius = random.uniform(0, shape), random.uniform(3, 8)
        distance = np.sqrt(
            sum((axis - place) ** 2 for axis, place in zip(axes, centre, strict=True))
        )
        image += random.uniform(-1, 1) * np.clip(radius - distance, 0, 1)
    return (image - image.min()) / np.ptp(image)


@pytest.fixture(scope="module")
def dictionary() -> ScSR:
    return ScSR(atoms=64, patches=6000, passes=3).fit([balls(0), balls(1)])


def test_it_is_better_than_tci_with_the_same_back_projection(dictionary):
    truth = balls(7)
    thick = slices.thicken(truth)
    fair = scsr.back_project(slices.interpolate(thick, 2), thick, 2)
    gain = psnr(truth, dictionary.apply(thick, 2), data_range=1.0) - psnr(
        truth, fair, data_range=1.0
    )
    assert gain > 1


@pytest.mark.parametrize("count", [3, 8, 15])
def test_thickened_it_is_the_input_again(dictionary, count):
    thick = balls(3)[:, :9, :count]
    fine = dictionary.apply(thick, 2)
    assert fine.shape == (40, 9, 2 * count)
    np.testing.assert_allclose(slices.thicken(fine), thick, atol=1e-3)


@pytest.mark.parametrize("profile", ["fir", "box", "kspace"])
@pytest.mark.parametrize("factor", [2, 3])
def test_back_projection_meets_the_input(profile, factor):
    thick = np.random.default_rng(0).random((5, 6, 11))
    fine = np.random.default_rng(1).random((5, 6, 11 * factor))
    fine = scsr.back_project(fine, thick, factor, profile)
    np.testing.assert_allclose(slices.thicken(fine, factor, profile=profile), thick, atol=1e-3)


def test_back_projection_leaves_slices_that_agree_unchanged():
    fine = np.random.default_rng(0).random((5, 6, 22))
    np.testing.assert_allclose(scsr.back_project(fine, slices.thicken(fine), 2), fine, atol=1e-12)


def test_a_sine_comes_back_where_it_was(dictionary):
    phase = 2 * np.pi * np.arange(96) / 12
    wave = np.broadcast_to(0.5 + 0.4 * np.sin(phase), (9, 5, 96))
    fine = dictionary.apply(slices.thicken(wave), 2)[4, 2, 24:72]
    spectrum = np.sum(fine * np.exp(-1j * phase[24:72])) / np.sum(
        wave[4, 2, 24:72] * np.exp(-1j * phase[24:72])
    )
    assert abs(np.angle(spectrum)) * 12 / (2 * np.pi) < 0.02  # slices


def test_a_constant_image_stays_constant(dictionary):
    np.testing.assert_allclose(dictionary.apply(np.full((6, 5, 4), 0.3), 2), 0.3, atol=1e-6)


def test_a_larger_stride_covers_every_voxel_and_changes_little(dictionary):
    thick = slices.thicken(balls(5)[:20, :6])
    for stride in (2, 3, 5):
        fine = dictionary.apply(thick, 2, stride=stride)
        assert np.isfinite(fine).all()  # every voxel is covered
        assert psnr(dictionary.apply(thick, 2), fine, data_range=1.0) > 30


def test_planes_are_independent_of_each_other(dictionary):
    thick = slices.thicken(balls(5)[:20, :6])
    fine = dictionary.apply(thick, 2)
    np.testing.assert_allclose(dictionary.apply(thick[:, 2:3], 2), fine[:, 2:3], atol=1e-5)


def test_every_volume_contributes_as_many_patches():
    volumes = [balls(seed, (20, 12, 20)) for seed in (0, 1, 2)]
    alone = [ScSR(patches=10**6).training_pairs([volume])[1] for volume in volumes]
    _, low = ScSR(atoms=16, patches=300).training_pairs(volumes)
    assert len(low) == 300
    counts = [
        sum((abs(features - patch).max(axis=1) < 1e-6).any() for patch in low) for features in alone
    ]
    assert all(70 < count < 130 for count in counts)


def test_flat_patches_are_not_learned_from():
    half = balls(0, (20, 12, 20))
    half[10:] = 0.5
    low = ScSR(patches=10**6).training_pairs([half])[1]
    np.testing.assert_allclose(np.linalg.norm(low, axis=1), 1, atol=1e-5)
    assert len(low) < 0.8 * 16 * 12 * 16
    with pytest.raises(InputError, match=r"patches that are not flat, one for each atom, got 0"):
        ScSR().fit([np.ones((20, 12, 20))])


@pytest.mark.parametrize(
    ("thick", "factor", "message"),
    [
        (np.zeros((9, 9, 9)), 3, "expected the dictionary's slice factor 2, got 3"),
        (np.zeros((9, 9, 9, 2)), 2, "expected one echo"),
        (np.full((9, 9, 9), np.nan), 2, "expected finite intensities"),
        (np.zeros((4, 9, 9)), 2, r"at least one patch \(5, 1, 5\), got \(4, 1, 18\)"),
        (np.zeros((9, 9, 1)), 2, r"at least one patch \(5, 1, 5\), got \(9, 1, 2\)"),
    ],
)
def test_input_that_cannot_be_super_resolved_is_refused(dictionary, thick, factor, message):
    with pytest.raises(InputError, match=message):
        dictionary.apply(thick, factor)


def test_a_missing_dictionary_or_volume_is_refused():
    with pytest.raises(InputError, match="fit or load one first"):
        ScSR().apply(np.zeros((9, 9, 9)), 2)
    with pytest.raises(InputError, match="got 0"):
        ScSR().fit([])
    with pytest.raises(InputError, match="at least one patch"):
        ScSR().fit([np.zeros((4, 9, 9))])


def test_a_dictionary_survives_its_file(dictionary, tmp_path):
    dictionary.save(tmp_path / scsr.FILE)
    loaded = ScSR.load(tmp_path)
    assert loaded.sha256 == dictionary.sha256
    assert (loaded.factor, loaded.profile, loaded.atoms) == (2, "fir", 64)
    thick = slices.thicken(balls(5)[:20, :6])
    np.testing.assert_array_equal(loaded.apply(thick, 2), dictionary.apply(thick, 2))


def test_a_file_that_is_not_a_dictionary_is_refused(dictionary, tmp_path):
    for name in ("text", "other", "pickle", "short"):
        path = tmp_path / f"{name}.npz"
        if name == "text":
            path.write_text("no arrays")
        elif name == "other":
            np.savez(path, high=np.zeros(3))
        elif name == "pickle":
            np.savez(path, high=np.array([{}], object), low=np.zeros(3), settings="{}")
        else:
            np.savez(path, high=dictionary.high, low=dictionary.low[:, :9], settings="{}")
        with pytest.raises(InputError, match="expected a dictionary of"):
            ScSR.load(path)
    with pytest.raises(InputError, match=r"found no .*dictionary\.npz"):
        ScSR.load(tmp_path)


def run(module: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def test_from_training_scans_to_rows_of_the_evaluation(tmp_path):
    data = write_cohort(tmp_path / "data", 2)
    training = [f"--data={data}", f"--output={tmp_path}/scsr", "--atoms=16", "--patches=500"]
    assert run("eval.train_scsr", *training).returncode == 0
    written = {path.name for path in (tmp_path / "scsr").iterdir()}
    assert written == {"dictionary.npz", "configuration.json", "contents.json"}
    assert "is finished" in run("eval.train_scsr", *training).stdout
    evaluation = [f"--data={data}", f"--output={tmp_path}/out", "--methods=tci,scsr"]
    evaluation += ["--experiment=image_quality"]
    without_dictionary = run("eval.evaluate", *evaluation)
    assert without_dictionary.returncode == 1
    assert without_dictionary.stderr.startswith("error: expected --scsr")
    finished = run("eval.evaluate", *evaluation, f"--scsr={tmp_path}/scsr")
    assert finished.returncode == 0, finished.stderr
    with (tmp_path / "out" / "rows.csv").open() as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"tci", "scsr"}
