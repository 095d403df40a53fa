"""BIDS datasets: which scans they have, and the derivative datasets that the commands write."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from dicom_studies import SAGITTAL
from random_scans import make_array

import mrsr_tf
from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.io import bids_dataset, nifti, scans
from mrsr_tf.io.sidecar import sidecar_path
from mrsr_tf.mri.slices import interpolate
from mrsr_tf.outputs import check_output
from mrsr_tf.volume import Volume

TIMES_MS = (7.0, 39.0)
# A name of the specification: entities in their order, then the suffix.
ENTITIES = "sub ses acq run echo part desc".split()


def write_echoes(folder, name, seed=0, parts=("",)):
    """Both echoes of a scan, whose name has {} for echo and part; the array of the magnitude."""
    folder.mkdir(parents=True, exist_ok=True)
    array = make_array((12, 10, 5), seed=seed)
    for part in parts:
        for echo in range(2):
            shown = array if part != "phase" else -array
            volume = Volume(
                shown[..., echo : echo + 1], SAGITTAL, TIMES_MS[echo : echo + 1], 23.0, 20.0
            )
            nifti.write_nifti(volume, folder / name.format(echo + 1, part))
    return array


@pytest.fixture
def dataset(tmp_path):
    """Two subjects, one with two sessions, of which one has two runs; and what lies beside."""
    root = tmp_path / "bids"
    write_echoes(root / "sub-01/ses-1/anat", "sub-01_ses-1_run-1_echo-{}_qdess.nii.gz", 1)
    write_echoes(root / "sub-01/ses-1/anat", "sub-01_ses-1_run-2_echo-{}_qdess.nii.gz", 2)
    name = "sub-01_ses-2_echo-{}_part-{}_MEGRE.nii.gz"
    write_echoes(root / "sub-01/ses-2/anat", name, 3, parts=("mag", "phase"))
    write_echoes(root / "sub-02/anat", "sub-02_echo-{}_qdess.nii.gz", 4)
    t1_weighted = Volume(make_array((12, 10, 5), 1), SAGITTAL, (12.0,), 600.0, 90.0)
    nifti.write_nifti(t1_weighted, root / "sub-02/anat/sub-02_T1w.nii.gz")
    write_echoes(root / "sub-02/func", "sub-02_echo-{}_bold.nii.gz", 6)
    write_echoes(root / "derivatives/other/sub-02/anat", "sub-02_echo-{}_qdess.nii.gz", 7)
    description = {"Name": "Knees", "BIDSVersion": "1.9.0", "DatasetDOI": "doi:10.1/x"}
    (root / "dataset_description.json").write_text(json.dumps(description))
    return root


def test_a_dataset_has_a_scan_for_each_subject_session_and_run(dataset, caplog):
    found = scans.find_scans(dataset)
    expected = {"sub-01_ses-1_run-1": 1, "sub-01_ses-1_run-2": 2, "sub-01_ses-2": 3, "sub-02": 4}
    assert list(found) == list(expected)
    for name, seed in expected.items():
        volume = scans.read_scan(found[name])
        np.testing.assert_array_equal(volume.array, make_array((12, 10, 5), seed=seed))
        assert volume.echo_times_ms == TIMES_MS
    assert "sub-02_T1w.nii.gz" in caplog.text
    assert "sub-01_ses-2_echo-2_part-phase_MEGRE.nii.gz" in caplog.text


@pytest.mark.parametrize("place", ["sub-02", "sub-02/anat", "sub-01/ses-2"])
def test_a_subject_or_session_of_a_dataset_is_one_scan(dataset, place):
    (scan,) = scans.find_scans(dataset / place).values()
    seed = 4 if "02/" in f"{place}/" else 3
    np.testing.assert_array_equal(scan.read().array, make_array((12, 10, 5), seed=seed))


def test_participants_are_chosen_by_label(dataset):
    assert list(scans.find_scans(dataset, participants=["02"])) == ["sub-02"]
    assert len(scans.find_scans(dataset, participants=["sub-01"])) == 3
    with pytest.raises(InputError, match=r"participants among 01, 02, got 03, 7: .*bids"):
        scans.find_scans(dataset, participants=["7", "01", "03"])
    with pytest.raises(InputError, match="expected a BIDS dataset"):
        scans.find_scans(dataset / "sub-02" / "anat", participants=["02"])


def test_a_subject_without_a_dess_does_not_stop_the_others(dataset):
    for path in (dataset / "sub-02/anat").glob("*qdess*"):
        path.unlink()
    failed = []
    found = scans.find_scans(dataset, onerror=lambda subject, error: failed.append(str(error)))
    assert len(found) == 3
    (message,) = failed
    assert re.search(r"expected a DESS, got sub-02_T1w \(T1w\) in .*sub-02/anat", message)


def test_an_image_that_is_a_broken_link_is_named(dataset, tmp_path):
    anat = dataset / "sub-02" / "anat"
    (anat / "sub-02_echo-2_qdess.nii.gz").unlink()
    (anat / "sub-02_echo-2_qdess.nii.gz").symlink_to(tmp_path / "not_fetched")
    failed = []
    found = scans.find_scans(dataset, onerror=lambda subject, error: failed.append(str(error)))
    assert len(found) == 3
    (message,) = failed
    assert re.search(r"1 broken links .*sub-02_echo-2_qdess\.nii\.gz", message)
    with pytest.raises(InputError, match=r"found nothing at .*sub-02_echo-2_qdess\.nii\.gz"):
        scans.read_scan(anat / "sub-02_echo-1_qdess.nii.gz")


def test_an_image_inherits_the_sidecars_above_it_and_its_own_counts_most(dataset):
    anat = dataset / "sub-02" / "anat"
    for path in anat.glob("*qdess.json"):
        path.unlink()
    (dataset / "qdess.json").write_text('{"RepetitionTime": 0.023, "FlipAngle": 15}')
    (dataset / "echo-1_qdess.json").write_text('{"EchoTime": 0.007}')
    (dataset / "sub-02" / "sub-02_qdess.json").write_text('{"FlipAngle": 20}')
    (dataset / "sub-02" / "sub-02_T1w.json").write_text('{"FlipAngle": 90}')
    (anat / "sub-02_echo-2_qdess.json").write_text('{"EchoTime": 0.039}')
    volume = scans.read_scan(anat / "sub-02_echo-1_qdess.nii.gz")
    assert volume.echo_times_ms == TIMES_MS
    assert (volume.repetition_time_ms, volume.flip_angle_deg) == (23, 20)
    (dataset / "qdess.json").write_text('{"RepetitionTime": "23 ms"}')
    with pytest.raises(InputError, match=r"got '23 ms' in .*bids/qdess\.json"):
        scans.read_scan(anat / "sub-02_echo-1_qdess.nii.gz")


def test_the_place_of_a_derivative_follows_the_specification(tmp_path):
    image = tmp_path / "bids/sub-01/ses-1/anat/sub-01_ses-1_run-2_echo-1_part-mag_MEGRE.nii.gz"
    assert bids_dataset.derivative_path(tmp_path / "out", image, desc="superresolved") == (
        tmp_path / "out/sub-01/ses-1/anat/sub-01_ses-1_run-2_desc-superresolved_MEGRE.nii.gz"
    )
    derived = bids_dataset.derivative_path(tmp_path / "out", image, desc="superresolved")
    assert bids_dataset.derivative_path(tmp_path / "t2", derived, suffix="T2map") == (
        tmp_path / "t2/sub-01/ses-1/anat/sub-01_ses-1_run-2_desc-superresolved_T2map.nii.gz"
    )


def infer(*arguments):
    command = [sys.executable, "-m", "mrsr_tf.infer", *map(str, arguments), "--method=tci"]
    return subprocess.run(command, capture_output=True, text=True)


def check_names(dataset):
    """All files of a dataset are named as the specification says, and every image has a sidecar."""
    for path in dataset.rglob("*.nii.gz"):
        *entities, suffix = path.name.removesuffix(".nii.gz").split("_")
        keys = [entity.partition("-")[0] for entity in entities]
        assert keys == [key for key in ENTITIES if key in keys]
        assert suffix.isalnum()
        assert all(entity.partition("-")[2].isalnum() for entity in entities)
        folders = [entity for entity in entities if entity.startswith(("sub-", "ses-"))]
        assert list(path.relative_to(dataset).parts[:-1]) == [*folders, "anat"]
        assert sidecar_path(path).is_file()


def test_infer_is_a_bids_app(dataset, tmp_path):
    out = tmp_path / "out"
    call = (dataset, out, "participant", "--participant_label", "01", "sub-02")
    result = infer(*call)
    assert result.returncode == 0, result.stderr
    check_names(out)
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*.nii.gz"))
    assert names == [
        "sub-01/ses-1/anat/sub-01_ses-1_run-1_desc-superresolved_qdess.nii.gz",
        "sub-01/ses-1/anat/sub-01_ses-1_run-2_desc-superresolved_qdess.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_desc-superresolved_MEGRE.nii.gz",
        "sub-02/anat/sub-02_desc-superresolved_qdess.nii.gz",
    ]
    fine = interpolate(make_array((12, 10, 5), seed=4), 2)
    np.testing.assert_allclose(scans.read_scan(out / names[3]).array, fine, atol=1e-2)
    sidecar = json.loads(sidecar_path(out / names[2]).read_text())
    for source, echo in zip(sidecar["Sources"], (1, 2), strict=True):
        path = source.removeprefix("bids:raw:")
        assert path == f"sub-01/ses-2/anat/sub-01_ses-2_echo-{echo}_part-mag_MEGRE.nii.gz"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = infer(f"--input={dataset}", f"--output={out}")
    assert (again.returncode, again.stdout.count("nothing to do")) == (0, 4)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_description_of_a_derivative_names_generator_and_source(dataset, tmp_path):
    out = tmp_path / "out"
    bids_dataset.write_description(out, dataset)
    description = json.loads((out / "dataset_description.json").read_text())
    (generator,) = description["GeneratedBy"]
    assert (description["DatasetType"], generator["Name"]) == ("derivative", "MRSR-TF")
    assert generator["Version"] == mrsr_tf.__version__
    assert description["SourceDatasets"] == [{"URL": "bids:raw:", "DOI": "doi:10.1/x"}]
    assert (out / description["DatasetLinks"]["raw"]).resolve() == dataset
    ignored = (out / ".bidsignore").read_text().splitlines()
    assert ignored[:2] == ["*_desc-superresolved_*", "!*_T2map.*"]
    bids_dataset.write_description(out, dataset)  # of another participant
    assert json.loads((out / "dataset_description.json").read_text()) == description


def test_another_dataset_is_no_place_for_the_output(dataset):
    before = (dataset / "dataset_description.json").read_bytes()
    with pytest.raises(InputError, match="found another dataset in"):
        bids_dataset.write_description(dataset, dataset)
    assert (dataset / "dataset_description.json").read_bytes() == before


def test_the_output_may_lie_in_derivatives_but_nowhere_else_in_the_dataset(dataset):
    allowed = dataset / "derivatives" / "mrsr"
    check_output(allowed, bids_dataset.apart_from(dataset, allowed))
    for output in (dataset, dataset / "fine", dataset / "sub-02", dataset / "derivatives"):
        with pytest.raises(InputError, match="expected an output apart from the input"):
            check_output(output, bids_dataset.apart_from(dataset, output))


@pytest.mark.parametrize("spelling", ["--participant_label", "--participant-label"])
def test_arguments_of_a_bids_app_are_flags(spelling, monkeypatch):
    known = flags.FlagValues()
    flags.DEFINE_string("method", None, "Takes a value.", flag_values=known)
    flags.DEFINE_bool("look", False, "Takes none.", flag_values=known)
    monkeypatch.setattr(flags, "FLAGS", known)
    argv = ["infer", "bids", "out", "participant", spelling, "01", "02", "--method=tci"]
    labelled = ["--input=bids", "--output=out", "--participant_label=01,02", "--method=tci"]
    assert cli.bids_app_flags(argv) == ["infer", *labelled]
    flags_first = ["infer", "--method", "tci", "--look", "bids", "out", "participant"]
    expected = ["infer", "--input=bids", "--output=out", "--method", "tci", "--look"]
    assert cli.bids_app_flags(flags_first) == expected
    assert cli.bids_app_flags(["infer", *labelled]) == ["infer", *labelled]
    assert cli.bids_app_flags(["infer", "stray"]) == ["infer", "stray"]


def test_another_level_of_analysis_is_refused(dataset, tmp_path):
    result = infer(dataset, tmp_path / "out", "group")
    assert result.returncode == 2
    assert result.stderr.startswith("error: expected participant as the level of analysis, got")
    assert result.stderr.count("\n") == 1


def test_a_bidsignore_of_somebody_else_is_kept(dataset, tmp_path):
    output = tmp_path / "out"
    output.mkdir()
    (output / ".bidsignore").write_text("mine")
    with pytest.raises(InputError, match=r"expected no .bidsignore, .* found another"):
        bids_dataset.write_description(output, dataset)
    assert [path.name for path in output.iterdir()] == [".bidsignore"]
    (output / ".bidsignore").write_text(bids_dataset.IGNORED)  # of an interrupted call
    bids_dataset.write_description(output, dataset)
    assert (output / "dataset_description.json").exists()
