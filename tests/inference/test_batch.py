"""Studies made fine by the library, with ways that need no network."""

import json
import threading
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import SECRETS, write_study
from random_scans import make_array, make_scan

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.inference.batch import Study, derive, derive_all, find_studies
from mrsr_tf.inference.upsampling import Way, interpolation, resolved
from mrsr_tf.io import derived_scans, scans
from mrsr_tf.io.nifti import read_map
from mrsr_tf.mri.slices import interpolate, thicken

TCI = interpolation("tci")


def uneven(thick):
    """A way with a preferred direction, so that its ensemble parts."""
    return interpolate(thick, 2) + np.linspace(0, 50, thick.shape[0])[:, None, None, None]


SPOILER = {"spoiler_area": 3132.0, "spoiler_duration_us": 1560.0}


def ensemble_way(**changes) -> Way:
    return Way(uneven, 2, {"method": "uneven", "slice_factor": 2}, ensemble=True, **changes)


@pytest.fixture
def cohort(tmp_path):
    """Two DICOM studies and a NIfTI file."""
    for number in range(2):
        write_study(tmp_path / "in" / f"knee_{number}", make_array((8, 9, 6), seed=number))
    image = nib.Nifti1Image(make_array((8, 9, 6)).astype(np.float32), np.diag([-0.5, -0.5, 1.5, 1]))
    nib.save(image, tmp_path / "in" / "knee_2.nii.gz")
    return tmp_path / "in"


def test_a_folder_of_scans_is_many_studies_each_of_its_kind(cohort, tmp_path):
    found = find_studies(cohort, tmp_path / "out")
    outputs = [tmp_path / "out" / name for name in ("knee_0", "knee_1", "knee_2.nii.gz")]
    assert [study.output for study in found] == outputs


def test_a_folder_that_is_a_scan_is_one_study(cohort, tmp_path):
    one = cohort / "knee_0"
    assert find_studies(one, tmp_path / "out") == [Study(one, tmp_path / "out")]
    two_series = write_study(
        tmp_path / "split", make_array(), one_series=False, name="echo{echo}/{slice:03d}.dcm"
    )
    assert find_studies(two_series, tmp_path / "out") == [Study(two_series, tmp_path / "out")]


def test_where_studies_cannot_be_found_or_put_it_is_said(cohort, tmp_path):
    with pytest.raises(InputError, match=r"found nothing at .*nowhere"):
        find_studies(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="a folder for the output of the 3 studies"):
        find_studies(cohort, tmp_path / "out.nii.gz")
    with pytest.raises(InputError, match="outside"):
        find_studies(cohort, cohort / "fine")


def test_many_studies_come_out_as_each_alone(cohort, tmp_path):
    told, advanced = [], []
    found = find_studies(cohort, tmp_path / "out")
    assert derive_all(found, TCI, tell=told.append, advance=lambda: advanced.append(1)) == []
    assert (len(told), len(advanced)) == (3, 3)
    for study in found:
        expected = resolved(scans.read_scan(study.source), TCI).fine
        written = scans.read_scan(study.output)
        lowest = -np.inf if study.output.suffix == ".gz" else 0  # DICOM stores no negative ones
        np.testing.assert_allclose(written.array, expected.array.clip(lowest), atol=0.51)
        assert written.derived


def test_a_bad_study_stops_no_other_and_the_same_call_goes_on(cohort, tmp_path, caplog):
    damaged = cohort / "knee_1" / "slice002_echo2.dcm"
    good = damaged.read_bytes()
    damaged.unlink()
    found, told = find_studies(cohort, tmp_path / "out"), []
    assert derive_all(found, TCI, tell=told.append) == [found[1]]
    assert sorted(p.name for p in (tmp_path / "out").glob("knee_?*")) == [
        "knee_0", "knee_2.json", "knee_2.nii.gz",
    ]  # fmt: skip
    (failure,) = [r.getMessage() for r in caplog.records if "failed" in r.getMessage()]
    assert str(found[1].source) in failure

    damaged.write_bytes(good)
    before = (tmp_path / "out" / "knee_2.nii.gz").stat().st_mtime_ns
    told.clear()
    assert derive_all(found, TCI, tell=told.append) == []
    assert sum("nothing to do" in line for line in told) == 2
    assert (tmp_path / "out" / "knee_2.nii.gz").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "knee_1").is_dir()


def test_what_cannot_be_written_is_a_failed_study(cohort, tmp_path):
    found = find_studies(cohort, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "knee_0.partial").write_text("in the way of the folder")
    assert derive_all(found, TCI, tell=lambda line: None) == [found[0]]


def test_a_defect_stops_no_other_study_and_quotes_nothing(cohort, tmp_path, caplog):
    def resolve(thick):
        if thick[0, 0, 0, 0] == first:
            raise KeyError("Doe^Jane")
        return interpolate(thick, 2)

    first = scans.read_scan(cohort / "knee_1").array[0, 0, 0, 0]
    found = find_studies(cohort, tmp_path / "out")
    failed = derive_all(found, Way(resolve, 2, {"method": "m"}), tell=lambda line: None)
    assert failed == [found[1]]
    assert "KeyError (a defect" in caplog.text
    assert "Doe" not in caplog.text


def test_while_one_study_is_computed_the_next_is_read_and_the_last_written(
    cohort, tmp_path, monkeypatch
):
    read, finished, computed = [], tmp_path / "out", []
    second_is_read = threading.Event()
    read_scan = scans.read_scan

    def reading(path, **options):
        read.append(path.name)
        if len(read) == 2:
            second_is_read.set()
        return read_scan(path, **options)

    def resolve(thick):
        assert second_is_read.wait(60)
        computed.append(sorted(p.name for p in finished.glob("knee_?")))
        return interpolate(thick, 2)

    monkeypatch.setattr(scans, "read_scan", reading)
    assert derive_all(find_studies(cohort, finished), Way(resolve, 2, {"method": "m"})) == []
    assert read == ["knee_0", "knee_1", "knee_2.nii.gz"]
    assert (len(computed), computed[0], computed[2][:1]) == (3, [], ["knee_0"])


def test_maps_of_uncertainty_stand_beside_the_output_and_go_with_it(cohort, tmp_path):
    out = tmp_path / "out"
    study = Study(cohort / "knee_0", out / "knee")
    derive(study, ensemble_way())
    assert sorted(p.name for p in out.iterdir()) == [
        "knee", "knee_t2_uncertainty_ms.json", "knee_t2_uncertainty_ms.nii.gz",
        "knee_uncertainty.json", "knee_uncertainty.nii.gz",
    ]  # fmt: skip
    expected = resolved(scans.read_scan(study.source), ensemble_way())
    image = scans.read_scan(out / "knee_uncertainty.nii.gz")
    np.testing.assert_allclose(image.array, expected.uncertainty.array, atol=1e-3)
    np.testing.assert_allclose(image.affine, expected.fine.affine, atol=1e-4)
    t2 = read_map(out / "knee_t2_uncertainty_ms.nii.gz", expected.fine)
    np.testing.assert_allclose(t2, expected.t2_uncertainty_ms, rtol=1e-4)
    beside = json.loads((out / "knee_t2_uncertainty_ms.json").read_text())
    assert (beside["Units"], beside["Derivation"]["ensemble"]) == ("ms", 8)
    # A map is no study.
    assert scans.find_subjects(out) == {"knee": out / "knee"}
    with pytest.raises(AlreadyDone):
        derive(study, ensemble_way())
    derive(study, TCI, overwrite=True)
    assert [p.name for p in out.iterdir()] == ["knee"]


def test_a_file_of_others_is_not_taken_for_a_map(cohort, tmp_path):
    other = tmp_path / "knee_sr_uncertainty.nii.gz"
    other.write_text("years of work")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"found another: .*knee_sr_uncertainty"):
            derive(Study(cohort / "knee_0", tmp_path / "knee_sr"), TCI, overwrite=overwrite)
    assert other.read_text() == "years of work"


def test_what_is_unlike_the_training_is_said_before_the_computing(cohort, tmp_path, caplog):
    def resolve(thick):
        assert "slices lie 1.5 mm apart, in training 3 mm" in caplog.text
        return interpolate(thick, 2)

    card = {"records": {"slice_factor": 2, "spacing_mm": {"min": [0.5] * 2 + [1.5]}}}
    card["records"]["spacing_mm"]["max"] = card["records"]["spacing_mm"]["min"]
    derive(Study(cohort / "knee_0", tmp_path / "out"), Way(resolve, 2, {"method": "m"}, card=card))
    assert str(cohort / "knee_0") in caplog.text
    assert not any(secret in caplog.text for secret in SECRETS)


@pytest.mark.parametrize("ensemble", [False, True])
def test_consistent_means_that_thick_again_it_is_the_input(ensemble):
    thick = make_scan((8, 9, 6), **SPOILER)
    way = replace(ensemble_way(), ensemble=ensemble)
    before, after = resolved(thick, way), resolved(thick, replace(way, consistent=True))
    assert before.residual_of_scale > 0.01
    assert after.residual_of_scale < 1e-6
    np.testing.assert_allclose(thicken(after.fine.array), thick.array, atol=0.02)
    assert after.residual_of_noise < 1e-4 < before.residual_of_noise


def test_the_ensemble_of_t2_is_that_of_its_members():
    made = resolved(make_scan((8, 9, 6), **SPOILER), ensemble_way())
    assert made.t2_uncertainty_ms.shape == (8, 9, 12)
    assert np.nanmax(made.t2_uncertainty_ms) > 0
    # The way adds up to 50 along rows, 0 to 50 in four members and 50 to 0 in the others.
    middle = made.uncertainty.array[[0, -1]]
    np.testing.assert_allclose(middle, 50 * np.sqrt(2 / 7), rtol=1e-3)


def test_no_t2_no_uncertainty_of_it(caplog):
    assert resolved(make_scan((8, 9, 6), echoes=1), ensemble_way()).t2_uncertainty_ms is None
    assert caplog.text == ""
    bare = make_scan((8, 9, 6), echo_times_ms=None)
    assert resolved(bare, ensemble_way(), "knee_7").t2_uncertainty_ms is None
    assert "no uncertainty of T2" in caplog.text
    assert "knee_7" in caplog.text


def test_too_few_rows_tell_no_noise():
    thick = make_scan((8, 9, 6), **SPOILER)
    two_rows = replace(thick, array=thick.array[:2])
    assert resolved(two_rows, TCI).residual_of_noise is None
    assert resolved(thick, TCI).residual_of_noise > 0


def test_the_derivation_tells_what_was_done(cohort, tmp_path):
    study = Study(cohort / "knee_0", tmp_path / "out")
    derive(study, interpolation("tci", consistent=True))
    told = derived_scans.read_derivation(tmp_path / "out")
    assert (told["method"], told["ensemble"], told["consistent"]) == ("tci", 1, True)
    assert told["residual_of_scale"] < 1e-5
    with pytest.raises(InputError, match="consistent True -> False"):
        derive(study, TCI)
