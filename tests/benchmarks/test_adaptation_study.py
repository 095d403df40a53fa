"""The study of adaptation: what a network learns from a thick scan, and how it is compared."""

import csv
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from small_runs import make_run

from benchmarks.studies.adaptation_rows import Restored, Row, read_rows, table, write_rows
from benchmarks.studies.self_training import PlaneNetwork, Settings, find_examples
from mrsr_tf.errors import InputError
from mrsr_tf.io.nifti import write_nifti
from mrsr_tf.mri.slices import interpolate, thicken
from mrsr_tf.volume import Volume, intensity_scale

ROOT = Path(__file__).parents[2]
SMALL = Settings(filters=8, layers=3, batch_size=4, patch=16)


def wave(rows, period):
    """(rows, 30, 8, 2), a wave along the rows whose period is counted in them."""
    line = 2 + np.sin(2 * np.pi * (np.arange(rows) + 0.5) / period)
    return np.broadcast_to(line[:, None, None, None], (rows, 30, 8, 2)).astype(np.float32)


def texture(shape, seed=0):
    """Noise between random values along each axis, which has detail at every scale."""
    random = np.random.default_rng(seed)
    image = sum(np.cumsum(random.normal(0, 1, shape), axis) for axis in range(3))
    return (np.abs(image) + 1).astype(np.float32)


def ticks():
    """A clock on which each look takes a second."""
    return itertools.count().__next__


def test_an_example_shows_the_scan_at_its_place_with_pixels_of_the_fine_slices():
    thick = wave(80, period=20)
    # Pixels of 0.5 mm become 1 mm, the fine slices of a scan of 2 mm.
    along_rows, _ = find_examples(thick, (0.5, 1.0, 2.0))
    assert along_rows.truth.shape == (8, 40, 30, 2)
    expected = wave(40, period=10)[:, :, 0] / intensity_scale(interpolate(thick))
    inner = np.s_[4:-4]
    np.testing.assert_allclose(along_rows.truth[0, inner], expected[inner], atol=0.02)


def test_the_input_of_an_example_is_its_truth_thickened_and_interpolated_without_a_shift():
    rows, cols = find_examples(texture((40, 36, 8, 2)), (1.0, 1.0, 2.0))
    assert rows.truth.shape == (8, 40, 36, 2)
    assert cols.truth.shape == (8, 36, 40, 2)
    for example in (rows, cols):
        again = interpolate(thicken(example.truth, 2, 1), 2, 1)
        np.testing.assert_allclose(example.interpolated, again, atol=1e-5)
        assert not np.allclose(example.interpolated, example.truth, atol=1e-2)


def test_pixels_coarser_than_the_fine_slices_teach_nothing():
    assert len(find_examples(texture((20, 20, 8, 2)), (1.0, 1.5, 2.0))) == 1
    with pytest.raises(InputError, match=r"at most 1.1 mm to learn slices of 1 mm .* 1.2 x 1.5 mm"):
        find_examples(texture((20, 20, 8, 2)), (1.2, 1.5, 2.0))


@pytest.mark.parametrize("shape", [(20, 24, 8, 2), (17, 19, 5, 1)])
def test_a_network_that_learned_nothing_interpolates(shape):
    thick = 1000 * texture(shape)
    fine = PlaneNetwork(shape[3], SMALL).super_resolve(thick)
    np.testing.assert_allclose(fine, interpolate(thick), rtol=1e-4, atol=1)


def test_rows_and_columns_count_alike_and_so_does_brightness():
    network = PlaneNetwork(2, SMALL)
    random = np.random.default_rng(0)
    network.model.set_weights([random.normal(0, 0.1, w.shape) for w in network.model.get_weights()])
    thick = texture((20, 24, 8, 2))
    fine = network.super_resolve(thick)
    assert not np.allclose(fine, interpolate(thick), rtol=1e-2)
    swapped = network.super_resolve(thick.transpose(1, 0, 2, 3)).transpose(1, 0, 2, 3)
    np.testing.assert_allclose(swapped, fine, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(network.super_resolve(500 * thick), 500 * fine, rtol=1e-3, atol=0.5)


def test_what_a_network_learned_brings_its_examples_nearer_to_their_truth():
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(64, 64, 8)), (3, 3, 1))
    tissues = 1 + 3 * (noise > 0)  # two, with sharp edges that interpolation blurs
    examples = find_examples(np.stack([tissues, tissues], 3).astype(np.float32), (1.0, 1.0, 2.0))
    network = PlaneNetwork(2, replace(SMALL, learning_rate=3e-3))
    assert network.learn(examples, 300, clock=ticks()) == 300
    assert float(network.model.optimizer.learning_rate) < 1e-5  # the steps end at rest
    for interpolated, truth in examples:
        restored = network.model.predict(interpolated, verbose=0)
        assert np.mean((restored - truth) ** 2) < 0.8 * np.mean((interpolated - truth) ** 2)


def test_equal_seeds_learn_equal_weights_and_other_seeds_others():
    examples = find_examples(texture((32, 32, 6, 2)), (1.0, 1.0, 2.0))
    learned = []
    for seed in (1, 1, 2):
        network = PlaneNetwork(2, SMALL, seed)
        network.learn(examples, 5, clock=ticks())
        learned.append(np.concatenate([each.ravel() for each in network.model.get_weights()]))
    np.testing.assert_array_equal(learned[0], learned[1])
    assert not np.allclose(learned[0], learned[2])


def test_the_table_has_means_over_scans_the_worst_slice_of_all_and_skips_missing_values():
    nan = float("nan")
    values = [("a", 1, 1.0, -0.5, nan, 0.5), ("b", 1, 2.0, 0.1, 0.8, nan)]
    values += [("a", 2, 3.0, 0.3, nan, 0.5), ("b", 2, 3.5, 0.2, 1.2, nan)]
    rows = [
        Row("knees", scan, Restored.MEAN, 1, echo, gain, worst, air, t2, t2, 10.0, 7)
        for scan, echo, gain, worst, air, t2 in values
    ]
    *_, line = table(rows)
    name = f"{Restored.MEAN}, seed 2"
    assert line == f"| {name} | +1.50 / +3.25 | -0.50 / +0.20 | 0.80 / 1.20 | +0.50 | 0.50 | 10 |"


def test_rows_are_read_as_they_were_written_and_a_cut_file_is_refused(tmp_path):
    row = Row("knees", "a", Restored.MEAN, 1, 2, 0.5, -0.1, float("inf"), 0.1, 0.2, 10.0, 7)
    path = tmp_path / "rows.csv"
    write_rows(path, [row, row])
    assert read_rows(path) == [row, row]
    path.write_text(path.read_text()[:-8])
    with pytest.raises(InputError, match=r"expected the columns .*rows.csv"):
        read_rows(path)


@pytest.mark.slow
def test_the_study_measures_each_method_of_each_scan_and_goes_on_where_it_was(tmp_path):
    make_run(tmp_path / "dual", echoes=2)
    spacings_mm = {"data/fine": 0.7, "data/coarse": 0.2, "start/fine": 0.7}
    for seed, (name, slice_mm) in enumerate(spacings_mm.items()):
        image, affine = 100 * texture((34, 36, 32, 2), seed), np.diag([0.4, 0.4, slice_mm, 1.0])
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_nifti(Volume(image, affine, (7.0, 39.0), 23.0, 20.0), tmp_path / f"{name}.nii.gz")
    command = [sys.executable, "-m", "benchmarks.studies.adaptation", f"--data={tmp_path / 'data'}"]
    command += [f"--output={tmp_path / 'results'}", f"--model={tmp_path / 'dual'}", "--seeds=2"]
    command += ["--filters=8", "--layers=3", f"--start_from={tmp_path / 'start'}"]
    command += ["--slices=16", "--start_minutes=0.01"]
    first = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    assert "fine measured" in first.stdout
    assert "coarse left out: expected pixels of at most 0.22 mm" in first.stdout
    with (tmp_path / "results/rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    # Three methods without a seed, four with two, each with two echoes.
    assert len(rows) == (3 + 4 * 2) * 2
    assert {row["method"] for row in rows} == set(Restored)
    again = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "fine measured" not in again.stdout
    assert again.stdout.splitlines()[-11:] == first.stdout.splitlines()[-11:]
    other = subprocess.run(
        [*command, "--times=2"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert "times 1.0 -> 2.0" in other.stderr
