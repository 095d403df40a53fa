"""Whole exams in DICOM: the DESS among localizer, PD and T1, whatever the layout."""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom_studies import SECRETS, write_study
from exams import (
    DESS,
    DESS_OF_TWO_SERIES,
    LAYOUTS,
    LOCALIZER,
    PD,
    REPEAT,
    T1,
    SeriesOfExam,
    digest_tree,
    write_exam,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import scans
from mrsr_tf.io.dicom import encoding, files
from mrsr_tf.mri import slices

LEFT_OUT = "left out, as no acquired DESS: series 1 (3-pl T2* FGRE), 2 (Sag PD FS), 3 (Cor T1)"


def exam_path(folder, layout):
    return folder / ("exam.zip" if "zip" in layout else "exam")


def assert_is(scan, series):
    np.testing.assert_array_equal(scan.read().array, series.array)


@pytest.mark.parametrize("dess", [DESS, DESS_OF_TWO_SERIES], ids=["one series", "two series"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_dess_of_an_exam_is_its_scan(tmp_path, layout, dess, caplog):
    one_frame = dess is DESS
    path = write_exam(
        exam_path(tmp_path, layout), [LOCALIZER, PD, T1, dess], layout, one_frame=one_frame
    )
    found = scans.find_scans(path)
    assert list(found) == ["exam"]
    assert_is(found["exam"], dess)
    assert found["exam"].subject == path
    assert caplog.text.count("left out") == 1
    assert LEFT_OUT in caplog.text
    assert not any(secret in caplog.text for secret in SECRETS)


def test_the_dess_is_known_by_its_name_too(tmp_path):
    single = SeriesOfExam(4, "SAG_3D_DESS_RIGHT", (4.7,), 16.3)
    write_exam(tmp_path, [LOCALIZER, PD, single], "flat")
    assert_is(scans.find_scan(tmp_path), single)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_repeated_dess_is_a_scan_of_its_own_named_by_its_number(tmp_path, layout):
    path = write_exam(exam_path(tmp_path, layout), [LOCALIZER, DESS, REPEAT], layout)
    found = scans.find_scans(path)
    assert list(found) == ["exam_5", "exam_8"]
    assert_is(found["exam_5"], DESS)
    assert_is(found["exam_8"], REPEAT)
    with pytest.raises(InputError, match=r"one scan, got 2 \(exam_5, exam_8\) in .*--series"):
        scans.find_scan(path)
    assert_is(scans.find_scan(path, "8"), REPEAT)


def test_echoes_of_repeats_in_series_of_their_own_are_paired_as_they_were_acquired(tmp_path):
    repeat = replace(DESS_OF_TWO_SERIES, number=7)
    write_exam(tmp_path / "exam", [PD, repeat, DESS_OF_TWO_SERIES], "flat")
    found = scans.find_scans(tmp_path / "exam")
    assert list(found) == ["exam_5", "exam_7"]
    assert_is(found["exam_5"], DESS_OF_TWO_SERIES)
    assert_is(found["exam_7"], repeat)


@pytest.mark.parametrize("layout", ["flat", "folders"])
def test_echoes_in_two_frames_of_reference_are_refused_and_no_scans_of_one_echo(tmp_path, layout):
    echoes = [SeriesOfExam(number, "Sag DESS", (te,), 23) for number, te in ((5, 7), (6, 39))]
    path = write_exam(tmp_path / "exam", echoes, layout, one_frame=False)
    (scan,) = scans.find_scans(path).values()
    with pytest.raises(InputError, match="expected one frame of reference"):
        scan.read()


def test_an_exam_without_a_dess_is_refused_with_what_it_has(tmp_path):
    write_exam(tmp_path, [LOCALIZER, PD, T1])
    expected = r"expected a DESS .* got series 1 \(3-pl T2\* FGRE\), 2 \(Sag PD FS\), 3 \(Cor T1\)"
    with pytest.raises(InputError, match=expected + ".*--series=NUMBER"):
        scans.find_scans(tmp_path)


@pytest.mark.parametrize("series", ["2", "sag pd fs", "Sag PD*", " Sag PD FS"])
def test_a_series_is_chosen_by_number_or_description(tmp_path, series, caplog):
    write_exam(tmp_path, [LOCALIZER, PD, T1, DESS], "flat")
    assert_is(scans.find_scan(tmp_path, series), PD)
    assert scans.read_scan(tmp_path, series=series).echo_times_ms == (30,)
    assert not caplog.text


def test_a_chosen_echo_of_a_dess_is_the_whole_dess(tmp_path):
    write_exam(tmp_path, [PD, DESS_OF_TWO_SERIES], "flat")
    for number in ("5", "6", "Sag*"):
        assert_is(scans.find_scan(tmp_path, number), DESS_OF_TWO_SERIES)


def test_a_series_that_is_not_there_is_refused_with_what_is(tmp_path):
    write_exam(tmp_path, [PD, DESS])
    with pytest.raises(InputError, match=r"a series '9', got 2 \(Sag PD FS\), 5 \(Sag 3D WE\)"):
        scans.find_scan(tmp_path, "9")


def test_a_series_of_a_file_that_has_none_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"DICOM of which to take series '5', got .*a\.nii"):
        scans.find_scan(write_nifti(tmp_path / "a.nii.gz"), "5")


def test_a_report_and_an_empty_folder_among_the_series_change_nothing(tmp_path):
    write_exam(tmp_path / "exam", [LOCALIZER, PD, DESS])
    (tmp_path / "exam" / "report.pdf").write_text("about")
    (tmp_path / "exam" / "004_cancelled").mkdir()
    found = scans.find_scans(tmp_path / "exam")
    assert list(found) == ["exam"]
    assert_is(found["exam"], DESS)


def test_visits_of_a_patient_are_exams_named_by_their_folders(tmp_path):
    write_exam(tmp_path / "knees" / "p" / "v1", [LOCALIZER, DESS])
    write_exam(tmp_path / "knees" / "p" / "v2", [LOCALIZER, REPEAT])
    write_exam(tmp_path / "knees" / "q" / "v1", [DESS])
    assert list(scans.find_scans(tmp_path / "knees")) == ["p_v1", "p_v2", "q"]


# A single series


def test_a_single_series_of_one_echo_is_the_scan(tmp_path, caplog):
    head = SeriesOfExam(4, "", (3.2,), 8.0)
    write_exam(tmp_path, [head])
    assert_is(scans.find_scan(tmp_path), head)
    assert not caplog.text


def test_a_second_echo_without_the_first_is_read_with_a_warning(tmp_path, caplog):
    second = SeriesOfExam(6, "Sag DESS", (39.0,))
    write_exam(tmp_path, [second])
    assert_is(scans.find_scan(tmp_path), second)
    assert "is the second echo of a DESS, by its echo time of 39 ms and TR of 23 ms" in caplog.text


@pytest.mark.parametrize(
    "series",
    [PD, SeriesOfExam(4, "Field map", (5.0, 10.0), 400.0)],
    ids=lambda item: item.description,
)
def test_a_single_series_that_cannot_be_a_dess_is_only_taken_if_asked_for(tmp_path, series):
    write_exam(tmp_path, [series])
    with pytest.raises(InputError, match="expected a DESS"):
        scans.find_scan(tmp_path)
    assert_is(scans.find_scan(tmp_path, "*"), series)


def test_what_is_repeated_after_a_second_is_no_dess_whatever_it_is_called(tmp_path):
    write_exam(tmp_path, [T1, SeriesOfExam(4, "DESS", (7.0,), 1200.0)])
    with pytest.raises(InputError, match=r"got series 3 \(Cor T1\), 4 \(DESS\)"):
        scans.find_scan(tmp_path)


# Derived series


def test_a_series_derived_from_the_dess_is_left_out(tmp_path, caplog):
    write_exam(tmp_path, [DESS, SeriesOfExam(9, "Sag DESS MPR", (7.0,), derived=True)], "flat")
    assert_is(scans.find_scan(tmp_path), DESS)
    assert "left out, as no acquired DESS: series 9 (Sag DESS MPR)" in caplog.text


def test_an_exam_that_came_back_with_our_series_gives_the_acquired_dess(tmp_path):
    write_exam(tmp_path / "exam", [PD, DESS], "flat")
    volume = scans.read_scan(tmp_path / "exam")
    fine = volume.resliced(slices.interpolate(volume.array), 2)
    source = scans.find_scan(tmp_path / "exam")
    scans.write_scan(fine, tmp_path / "exam" / "fine", like=source)
    assert_is(scans.find_scan(tmp_path / "exam"), DESS)
    again = scans.read_scan(tmp_path / "exam" / "fine")
    assert again.derived
    np.testing.assert_allclose(again.array, fine.array, atol=0.51)


# Several subjects


def write_nifti(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(make_array((4, 4, 4))[..., 0], np.eye(4))
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def test_exams_and_scans_beside_one_another_are_subjects(tmp_path):
    write_exam(tmp_path / "a", [LOCALIZER, PD, DESS])
    write_exam(tmp_path / "b", [DESS_OF_TWO_SERIES, T1], "flat")
    write_exam(tmp_path / "c.zip", [LOCALIZER, REPEAT], "zip")
    write_nifti(tmp_path / "d.nii.gz")
    found = scans.find_scans(tmp_path)
    assert list(found) == ["a", "b", "c", "d"]
    for name, series in (("a", DESS), ("b", DESS_OF_TWO_SERIES), ("c", REPEAT)):
        assert_is(found[name], series)


def test_odd_subjects_stop_no_others_and_are_reported(tmp_path):
    for name in ("knee_1", "knee_2"):
        write_study(tmp_path / name, make_array((3, 3, 2)))
    for name in ("before.nii.gz", "after.nii.gz"):
        write_nifti(tmp_path / "two" / name)
    (tmp_path / "empty").mkdir()
    write_exam(tmp_path / "other", [LOCALIZER, PD])
    write_study(tmp_path / "cut", make_array((3, 3, 2)))
    (tmp_path / "cut" / "slice001_echo1.dcm").write_bytes(b"")
    errors = {}
    found = scans.find_scans(
        tmp_path, onerror=lambda path, error: errors.update({path.name: error})
    )
    assert list(found) == ["knee_1", "knee_2"]
    assert sorted(errors) == ["cut", "empty", "other", "two"]
    for name, words in (
        ("cut", "slice001_echo1"),
        ("empty", "found none at"),
        ("other", "expected a DESS"),
        ("two", "got 2 files"),
    ):
        assert words in str(errors[name])
    with pytest.raises(InputError):
        scans.find_scans(tmp_path)


def test_series_of_two_exams_in_one_folder_are_refused(tmp_path):
    write_exam(tmp_path, [LOCALIZER, DESS])
    write_exam(tmp_path, [PD, REPEAT])
    with pytest.raises(InputError, match=r"parts of one exam in .*001 and .*005"):
        scans.find_scans(tmp_path)


# Headers are parsed once


def test_finding_and_reading_parse_each_header_once(tmp_path, monkeypatch):
    write_exam(tmp_path, [PD, DESS])
    for file in tmp_path.rglob("*_*"):
        os.utime(file, (1e9, 1e9))
    parsed = []

    def count(path):
        parsed.append(path)
        return encoding.read_header(path)

    monkeypatch.setattr(files, "read_header", count)
    scan = scans.find_scan(tmp_path)
    scan.read()
    scan.patient()
    assert len(parsed) == len(set(parsed)) == 4 + 8
    (first, *_) = (file for file in scan.path.iterdir())
    os.utime(first, (2e9, 2e9))
    scan.read()
    assert parsed[12:] == [first]


# Random exams

SERIES = st.sampled_from(
    [
        *[(LOCALIZER,), (PD,), (T1,), (DESS,), (DESS_OF_TWO_SERIES,), (DESS, REPEAT)],
        (SeriesOfExam(10, "Sag DESS MPR", (7.0,), derived=True),),
        (SeriesOfExam(11, "Field map", (5.0, 10.0), 400.0),),
        (SeriesOfExam(12, "SAG_3D_DESS_LEFT", (4.7,), 16.3),),
        (SeriesOfExam(13, "", (3.0,), None),),
    ]
)
DESS_LIKE = {5, 8, 12}


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    series=st.lists(SERIES, min_size=1, max_size=5, unique_by=lambda item: item[0].number),
    layout=st.sampled_from(LAYOUTS),
    one_frame=st.booleans(),
    damage=st.sampled_from([None, None, "cut", "empty", "missing", "not DICOM"]),
    choice=st.randoms(use_true_random=False),
)
def test_a_random_exam_gives_its_dess_or_is_refused(series, layout, one_frame, damage, choice):
    items = [item for group in series for item in group]
    with tempfile.TemporaryDirectory() as folder:
        path = write_exam(exam_path(Path(folder), layout), items, layout, one_frame=one_frame)
        harmed = _harm(path, damage, choice)
        before = digest_tree(path)
        arrays, error = _read_all(path)
        assert digest_tree(path) == before
    expected = [item.array for item in _expected(items)]
    if error is not None:
        assert harmed or not expected, error
        assert not any(secret in str(error) for secret in SECRETS)
        return
    assert len(arrays) == len(expected)
    for array in expected:
        assert any(np.array_equal(array, found) for found in arrays)


def _read_all(path):
    """The arrays of all scans, or the error."""
    try:
        return [scan.read().array for scan in scans.find_scans(path).values()], None
    except InputError as error:
        return [], error


def _expected(items):
    """The DESS; else the only series, if that may be one."""
    acquired = [item for item in items if not item.derived] or items
    dess = [item for item in acquired if item.number in DESS_LIKE or item.derived]
    is_alone = len(acquired) == 1 and len(acquired[0].echo_times_ms) == 1
    return dess or [item for item in acquired if is_alone and (item.tr_ms or 0) < 1000]


def _harm(path, damage, choice):
    """Damages one file of an exam in folders; whether it did."""
    if damage is None or path.is_file():
        return False
    # Of a missing slice at the end nothing is left to be seen, so another one is taken.
    name = "*_1_*" if damage == "missing" else "*_*_*"
    file = choice.choice(sorted(file for file in path.rglob(name) if file.is_file()))
    match damage:
        case "cut":
            file.write_bytes(file.read_bytes()[: choice.randrange(140, 900)])
        case "empty":
            file.write_bytes(b"")
        case "missing":
            file.unlink()
        case "not DICOM":
            file.with_name("notes.txt").write_text("about")
            return False
    return True
