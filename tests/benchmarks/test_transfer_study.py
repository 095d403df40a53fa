"""The transfer study: the networks that it trains, its scores, and that it resumes."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import make_run

from benchmarks.studies.transfer import Start
from mrsr_tf.io.nifti import write_nifti
from mrsr_tf.volume import Volume

ROOT = Path(__file__).parents[2]


def write_scans(folder, numbers):
    folder.mkdir()
    for number in numbers:
        image = 1000 + np.random.default_rng(number).normal(0, 200, (34, 34, 32, 2)).cumsum(0)
        scan = Volume(np.abs(image), np.diag([0.4, 0.4, 0.7, 1.0]), (7.0, 39.0), 23.0, 20.0)
        write_nifti(scan, folder / f"knee_{number}.nii.gz")
    return folder


def study(folder, *more):
    command = [
        sys.executable,
        "-m",
        "benchmarks.studies.transfer",
        f"--init_from={folder / 'single'}",
    ]
    command += [f"--data={folder / 'data'}", f"--test={folder / 'test'}"]
    command += [f"--output={folder / 'results'}", "--repeats=1", "--steps=2", "--batch_size=2"]
    return subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfer")
    make_run(folder / "single", echoes=1)
    write_scans(folder / "data", range(3))
    write_scans(folder / "test", range(3, 5))
    return folder


@pytest.mark.slow
def test_each_network_is_scored_on_each_echo_and_the_same_call_trains_nothing_again(folder):
    first = study(folder, "--subjects=1,2")
    assert first.returncode == 0, first.stderr
    with (folder / "results/rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    networks = {(row["start"], row["subjects"]) for row in rows}
    trained = {(start, n) for start in (Start.TRAINED, Start.SCRATCH) for n in "12"}
    assert networks == trained | {(Start.UNCHANGED, "0")}
    assert len(rows) == len(networks) * 2 * 2
    # What transfer starts from is the single network, whose weights no step of two moves far.
    single, after, scratch = (
        np.mean([float(row["gain_db"]) for row in rows if row["start"] == start])
        for start in (Start.UNCHANGED, Start.TRAINED, Start.SCRATCH)
    )
    assert abs(after - single) < abs(scratch - single)
    curve = json.loads((folder / "results/curve.json").read_text())
    difference = curve["from the trained network minus from scratch"]
    assert sorted(difference) == ["1", "2"]
    assert all(low <= mean <= high for mean, low, high in difference.values())
    assert (folder / "results/curve.png").stat().st_size > 1000
    weights = sorted((folder / "results/runs").rglob("model.keras"))
    times = [path.stat().st_mtime_ns for path in weights]
    assert weights
    assert study(folder, "--subjects=1,2").returncode == 0
    assert [path.stat().st_mtime_ns for path in weights] == times


def test_fewer_subjects_than_the_largest_count_and_one_for_validation_are_an_error(folder):
    refused = study(folder, "--subjects=1,3")
    assert refused.returncode == 1
    assert "expected 4 subjects" in refused.stderr
    assert "found 3" in refused.stderr
