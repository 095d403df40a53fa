"""Studies upsampled by the library, with methods that need no network."""

import json
import shutil
import threading
from dataclasses import replace

import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom_studies import SECRETS, write_study
from random_scans import make_array, make_scan
from upsamplers import FunctionUpsampler

from mrsr_tf.errors import AlreadyDone, Failures, InputError
from mrsr_tf.inference.batch import Study, derive, derive_all, find_studies
from mrsr_tf.inference.data_consistency import measure_residual
from mrsr_tf.inference.upsampling import Interpolation, SelfEnsemble, wrap
from mrsr_tf.io import derived_scans, scans
from mrsr_tf.io.nifti import read_map
from mrsr_tf.io.scans import Scan, find_scan, find_scans
from mrsr_tf.mri.slices import interpolate, thicken

TCI = Interpolation("tci")


def uneven(thick):
    """Has a preferred direction, so that the predictions of an ensemble differ."""
    return interpolate(thick, 2) + np.linspace(0, 50, thick.shape[0])[:, None, None, None]


SPOILER = {"spoiler_area": 3132.0, "spoiler_duration_us": 1560.0}


UNEVEN = FunctionUpsampler(uneven, "uneven")
ENSEMBLE = SelfEnsemble(UNEVEN)


@pytest.fixture
def cohort(tmp_path):
    """Two DICOM studies and a NIfTI file."""
    for number in range(2):
        write_study(tmp_path / "in" / f"knee_{number}", make_array((8, 9, 6), seed=number))
    image = nib.Nifti1Image(make_array((8, 9, 6)).astype(np.float32), np.diag([-0.5, -0.5, 1.5, 1]))
    nib.save(image, tmp_path / "in" / "knee_2.nii.gz")
    return tmp_path / "in"


def test_a_folder_of_scans_is_many_studies_each_of_its_kind(cohort, tmp_path):
    studies = find_studies(cohort, tmp_path / "out")
    outputs = [tmp_path / "out" / name for name in ("knee_0", "knee_1", "knee_2.nii.gz")]
    assert [study.output for study in studies] == outputs


def test_a_folder_that_is_a_scan_is_one_study(cohort, tmp_path):
    one = cohort / "knee_0"
    assert find_studies(one, tmp_path / "out") == [Study(find_scan(one), tmp_path / "out")]
    two_series = write_study(
        tmp_path / "split", make_array(), one_series=False, name="echo{echo}/{slice:03d}.dcm"
    )
    assert find_studies(two_series, tmp_path / "out") == [
        Study(find_scan(two_series), tmp_path / "out")
    ]


def test_studies_that_cannot_be_found_or_written_are_refused(cohort, tmp_path):
    with pytest.raises(InputError, match=r"found nothing at .*nowhere"):
        find_studies(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="a folder for the output of the 3 studies"):
        find_studies(cohort, tmp_path / "out.nii.gz")


def test_an_odd_study_beside_one_leaves_that_its_place_in_the_folder(cohort, tmp_path):
    shutil.rmtree(cohort / "knee_1")
    (cohort / "two").mkdir()
    shutil.copy(cohort / "knee_2.nii.gz", cohort / "two" / "before.nii.gz")
    shutil.move(cohort / "knee_2.nii.gz", cohort / "two" / "after.nii.gz")
    failures = Failures()
    (study,) = find_studies(cohort, tmp_path / "out", onerror=failures.add)
    assert study.output == tmp_path / "out" / "knee_0"
    assert failures.subjects == [str(cohort / "two")]
    with pytest.raises(InputError, match=r"every study to succeed, 1 of 2 failed .*two$"):
        failures.check(2, "study", "the others are complete")
    with pytest.raises(InputError, match="got 2 files"):
        failures.check(1, "study", "the others are complete")
    with pytest.raises(InputError, match="got 2 files"):
        find_studies(cohort, tmp_path / "out")


def test_many_studies_come_out_as_each_alone(cohort, tmp_path, capsys):
    studies = find_studies(cohort, tmp_path / "out")
    assert derive_all(studies, TCI) == []
    assert len(capsys.readouterr().out.splitlines()) == 3
    for study in studies:
        expected = TCI(scans.read_scan(study.source)).volume
        written = scans.read_scan(study.output)
        np.testing.assert_allclose(written.array, expected.array, atol=0.51)
        assert written.derived


def test_a_bad_study_stops_no_other_and_the_same_call_goes_on(cohort, tmp_path, caplog, capsys):
    damaged = cohort / "knee_1" / "slice002_echo2.dcm"
    good = damaged.read_bytes()
    damaged.unlink()
    studies = find_studies(cohort, tmp_path / "out")
    assert derive_all(studies, TCI) == [studies[1]]
    assert sorted(p.name for p in (tmp_path / "out").glob("knee_?*")) == [
        "knee_0", "knee_2.json", "knee_2.nii.gz",
    ]  # fmt: skip
    (failure,) = [r.getMessage() for r in caplog.records if "failed" in r.getMessage()]
    assert str(studies[1].source) in failure

    damaged.write_bytes(good)
    before = (tmp_path / "out" / "knee_2.nii.gz").stat().st_mtime_ns
    capsys.readouterr()
    assert derive_all(studies, TCI) == []
    assert capsys.readouterr().out.count("nothing to do") == 2
    assert (tmp_path / "out" / "knee_2.nii.gz").stat().st_mtime_ns == before
    assert (tmp_path / "out" / "knee_1").is_dir()


@pytest.mark.parametrize("name", ["fine.json", "fine_uncertainty.json", "fine.nii.gz.partial/a"])
def test_files_of_somebody_else_beside_an_output_are_kept(cohort, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('{"years": "of work"}')
    study = Study(find_scan(cohort / "knee_2.nii.gz"), tmp_path / "fine.nii.gz")
    with pytest.raises(InputError, match=r"found (other data|another)|without a readable"):
        derive(study, TCI, overwrite=True)
    assert (tmp_path / name).read_text() == '{"years": "of work"}'


def test_a_sidecar_that_would_be_shared_with_the_input_is_refused(cohort, tmp_path):
    fine = tmp_path / "fine.nii.gz"
    derive(Study(find_scan(cohort / "knee_2.nii.gz"), fine), TCI)
    with pytest.raises(InputError, match=r"fine\.json, which is also that of .*fine\.nii\.gz"):
        derive(Study(find_scan(fine), tmp_path / "fine.nii"), TCI)


def test_overwrite_removes_only_derived_dicom_and_names_the_rest(cohort, tmp_path, caplog):
    study = Study(find_scan(cohort / "knee_0"), tmp_path / "fine")
    derive(study, TCI)
    shutil.copyfile(cohort / "knee_0" / "slice000_echo1.dcm", tmp_path / "fine" / "original.dcm")
    (tmp_path / "fine" / "thesis.tex").write_text("years of work")
    derive(study, Interpolation("fi"), overwrite=True)
    assert len(list((tmp_path / "fine").glob("echo*"))) == 2 * 2 * 6
    assert derived_scans.read_derivation(tmp_path / "fine")["method"] == "fi"
    assert (tmp_path / "fine" / "original.dcm").exists()
    assert "fine: original.dcm, thesis.tex" in caplog.text


def test_maps_of_an_older_output_go_with_it(cohort, tmp_path):
    study = Study(find_scan(cohort / "knee_0"), tmp_path / "fine")
    derive(study, ENSEMBLE)
    derive(study, TCI, overwrite=True)
    assert [path.name for path in tmp_path.glob("fine*")] == ["fine"]


def test_what_cannot_be_written_is_a_failed_study(cohort, tmp_path):
    studies = find_studies(cohort, tmp_path / "out")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "knee_0.partial").write_text("in the way of the folder")
    assert derive_all(studies, TCI) == [studies[0]]


def test_a_defect_stops_no_other_study_and_quotes_nothing(cohort, tmp_path, caplog):
    def upsample(thick):
        if thick[0, 0, 0, 0] == first:
            raise KeyError("Doe^Jane")
        return interpolate(thick, 2)

    first = scans.read_scan(cohort / "knee_1").array[0, 0, 0, 0]
    studies = find_studies(cohort, tmp_path / "out")
    assert derive_all(studies, FunctionUpsampler(upsample)) == [studies[1]]
    assert "KeyError (a defect" in caplog.text
    assert "Doe" not in caplog.text


def test_while_one_study_is_computed_the_next_is_read_and_the_last_written(
    cohort, tmp_path, monkeypatch
):
    read, finished, computed = [], tmp_path / "out", []
    second_is_read = threading.Event()
    read_scan = Scan.read

    def reading(scan, slice_axis):
        read.append(scan.path.name)
        if len(read) == 2:
            second_is_read.set()
        return read_scan(scan, slice_axis)

    def upsample(thick):
        assert second_is_read.wait(60)
        computed.append(sorted(p.name for p in finished.glob("knee_?")))
        return interpolate(thick, 2)

    monkeypatch.setattr(Scan, "read", reading)
    assert derive_all(find_studies(cohort, finished), FunctionUpsampler(upsample)) == []
    assert read == ["knee_0", "knee_1", "knee_2.nii.gz"]
    assert (len(computed), computed[0], computed[2][:1]) == (3, [], ["knee_0"])


def test_maps_of_uncertainty_stand_beside_the_output_and_go_with_it(cohort, tmp_path):
    out = tmp_path / "out"
    study = Study(find_scan(cohort / "knee_0"), out / "knee")
    derive(study, ENSEMBLE)
    assert sorted(p.name for p in out.iterdir()) == [
        "knee", "knee_t2_uncertainty_ms.json", "knee_t2_uncertainty_ms.nii.gz",
        "knee_uncertainty.json", "knee_uncertainty.nii.gz",
    ]  # fmt: skip
    expected = ENSEMBLE(scans.read_scan(study.source))
    image = scans.read_scan(out / "knee_uncertainty.nii.gz")
    np.testing.assert_allclose(image.array, expected.uncertainty.array, atol=1e-3)
    np.testing.assert_allclose(image.affine, expected.volume.affine, atol=1e-4)
    t2 = read_map(out / "knee_t2_uncertainty_ms.nii.gz", expected.volume)
    np.testing.assert_allclose(t2, expected.t2_uncertainty_ms, rtol=1e-4)
    beside = json.loads((out / "knee_t2_uncertainty_ms.json").read_text())
    assert (beside["Units"], beside["Derivation"]["ensemble"]) == ("ms", 8)
    # A map is no study.
    assert find_scans(out) == {"knee": find_scan(out / "knee")}
    with pytest.raises(AlreadyDone):
        derive(study, ENSEMBLE)
    derive(study, TCI, overwrite=True)
    assert [p.name for p in out.iterdir()] == ["knee"]


def test_a_file_that_is_no_map_of_ours_is_not_replaced(cohort, tmp_path):
    other = tmp_path / "knee_sr_uncertainty.nii.gz"
    other.write_text("years of work")
    study = Study(find_scan(cohort / "knee_0"), tmp_path / "knee_sr")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=r"found another: .*knee_sr_uncertainty"):
            derive(study, TCI, overwrite=overwrite)
    assert other.read_text() == "years of work"


def test_a_scan_unlike_the_training_causes_a_warning_before_the_computation(
    cohort, tmp_path, caplog
):
    def upsample(thick):
        assert "slices lie 1.5 mm apart, in training 3 mm" in caplog.text
        return interpolate(thick, 2)

    card = {"records": {"slice_factor": 2, "spacing_mm": {"min": [0.5] * 2 + [1.5]}}}
    card["records"]["spacing_mm"]["max"] = card["records"]["spacing_mm"]["min"]
    study = Study(find_scan(cohort / "knee_0"), tmp_path / "out")
    derive(study, FunctionUpsampler(upsample, card=card))
    assert str(cohort / "knee_0") in caplog.text
    assert not any(secret in caplog.text for secret in SECRETS)


@pytest.mark.parametrize("ensemble", [False, True])
def test_thickened_again_a_consistent_result_is_the_input(ensemble):
    thick = make_scan((8, 9, 6), **SPOILER)
    before, after = (
        wrap(UNEVEN, ensemble=ensemble, consistent=consistent)(thick)
        for consistent in (False, True)
    )
    np.testing.assert_allclose(thicken(after.volume.array), thick.array, atol=0.02)
    before, after = (measure_residual(result.volume, thick) for result in (before, after))
    assert after.of_scale < 1e-6 < 0.01 < before.of_scale
    assert after.of_noise < 1e-4 < before.of_noise


def test_the_uncertainty_is_the_deviation_of_the_predictions():
    result = ENSEMBLE(make_scan((8, 9, 6), **SPOILER))
    assert result.t2_uncertainty_ms.shape == (8, 9, 12)
    assert np.nanmax(result.t2_uncertainty_ms) > 0
    # The method adds up to 50 along rows: 0 to 50 in four predictions, 50 to 0 in the others.
    ends = result.uncertainty.array[[0, -1]]
    np.testing.assert_allclose(ends, 50 * np.sqrt(2 / 7), rtol=1e-3)


def test_without_t2_there_is_no_uncertainty_of_t2(caplog):
    assert ENSEMBLE(make_scan((8, 9, 6), echoes=1)).t2_uncertainty_ms is None
    assert caplog.text == ""
    bare = make_scan((8, 9, 6), echo_times_ms=None)
    assert ENSEMBLE(bare, "knee_7").t2_uncertainty_ms is None
    assert "no uncertainty of T2" in caplog.text
    assert "knee_7" in caplog.text


def test_too_few_rows_have_no_estimate_of_the_noise():
    thick = make_scan((8, 9, 6), **SPOILER)
    two_rows = replace(thick, array=thick.array[:2])
    assert measure_residual(TCI(two_rows).volume, two_rows).of_noise is None
    assert measure_residual(TCI(thick).volume, thick).of_noise > 0


@pytest.mark.parametrize("lowest", [0, -300])
@pytest.mark.parametrize("consistent", [False, True])
def test_the_residual_is_that_of_the_files(tmp_path, lowest, consistent):
    array = make_array((8, 9, 6)).astype(np.int16) + np.int16(lowest)
    study = Study(find_scan(write_study(tmp_path / "knee", array)), tmp_path / "out")
    line = derive(study, wrap(TCI, consistent=consistent))
    written, thick = scans.read_scan(study.output), scans.read_scan(study.source)
    assert written.array.min() < 0
    measured = measure_residual(written, thick)
    derivation = derived_scans.read_derivation(study.output)
    assert derivation["residual_of_scale"] == pytest.approx(measured.of_scale, rel=0.051)
    assert derivation["residual_of_noise"] == pytest.approx(measured.of_noise, rel=0.051)
    assert f"by {measured.of_scale:.2%} of the intensity scale" in line
    assert (measured.of_scale < 5e-4) == consistent  # half a stored value


@pytest.mark.parametrize("change", [{"RepetitionTime": "24"}, {"ImagePositionPatient": [0, 0, 0]}])
def test_the_same_call_on_a_changed_scan_is_not_finished(tmp_path, change):
    folder = write_study(tmp_path / "knee", make_array((8, 9, 1)))
    study = Study(find_scan(folder), tmp_path / "out")
    derive(study, TCI)
    with pytest.raises(AlreadyDone):
        derive(study, TCI)
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        header.update(change)
        header.save_as(file)
    with pytest.raises(InputError, match=r"source \w{16} -> \w{16} \(--overwrite"):
        derive(study, TCI)


def test_other_pixels_under_the_same_uids_are_another_scan(tmp_path):
    folder = write_study(tmp_path / "knee", make_array((8, 9, 3)))
    study = Study(find_scan(folder), tmp_path / "out")
    derive(study, TCI)
    file = next(folder.iterdir())
    header = pydicom.dcmread(file)
    header.PixelData = (header.pixel_array // 2).tobytes()
    header.save_as(file)
    with pytest.raises(InputError, match="got another: source"):
        derive(study, TCI)


def test_the_derivation_states_what_was_done(cohort, tmp_path):
    study = Study(find_scan(cohort / "knee_0"), tmp_path / "out")
    derive(study, wrap(TCI, consistent=True))
    derivation = derived_scans.read_derivation(tmp_path / "out")
    assert (derivation["method"], derivation["ensemble"], derivation["consistent"]) == (
        "tci",
        1,
        True,
    )
    assert derivation["source"] == scans.read_scan(study.source).identity
    with pytest.raises(InputError, match="consistent True -> False"):
        derive(study, TCI)
