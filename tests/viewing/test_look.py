"""The page on which to look at a scan and its super-resolved version."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from absl import logging
from dicom_studies import SAGITTAL, SECRETS, write_study
from random_scans import make_array, make_scan

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.inference import batch
from mrsr_tf.inference.upsampling import Interpolation, wrap
from mrsr_tf.io.nifti import write_nifti
from mrsr_tf.io.scans import find_scan
from mrsr_tf.mri.slices import interpolate
from mrsr_tf.mri.t2 import t2_map
from mrsr_tf.viewing.comparison import compare
from mrsr_tf.viewing.look import write_page, write_pages

SHAPE = (12, 10, 5)


def write_dicom(folder: Path) -> Path:
    return write_study(folder / "knee", make_array(SHAPE))


def write_image(folder: Path, **options) -> Path:
    write_nifti(make_scan(SHAPE, **options), folder / "knee.nii.gz")
    return folder / "knee.nii.gz"


def derive(source: Path, output: Path, **options) -> Path:
    study = batch.Study(find_scan(source), output)
    batch.derive(study, wrap(Interpolation("tci"), **options))
    return output


def look(scan: Path, fine: Path, page: Path, **options) -> str:
    """The HTML of the page."""
    write_page(find_scan(scan), find_scan(fine), page, **options)
    return page.read_text()


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page, re.S)[1])


def facts_of(page: str) -> dict[str, str]:
    terms = re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page.split("</figure>")[1])
    return {heading: html.unescape(fact) for heading, fact in terms}


@pytest.fixture
def nifti(tmp_path) -> tuple[Path, Path]:
    scan = write_image(tmp_path)
    return scan, derive(scan, tmp_path / "fine.nii.gz")


@pytest.fixture
def warnings(monkeypatch) -> list[str]:
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: messages.append(text % values))
    return messages


@pytest.mark.parametrize(
    ("write", "name", "shape"),
    [(write_dicom, "fine", [12, 10, 10]), (write_image, "fine.nii.gz", [10, 12, 10])],
)
def test_the_page_of_a_scan_states_its_facts_and_nobodys_name(tmp_path, write, name, shape):
    scan = write(tmp_path)
    page = look(scan, derive(scan, tmp_path / name), tmp_path / "look.html")
    facts = facts_of(page)
    assert facts["Slices"] == "5 of 1.5 mm → 10 of 0.75 mm"
    assert facts["Echo times"] == "7 and 39 ms"
    assert (facts["Repetition time"], facts["Flip angle"]) == ("23 ms", "20 degrees")
    assert facts["Method"] == "tci"
    assert re.fullmatch(r"differs from the scan by [\d.]+% of .* noise", facts["Thickened again"])
    data = data_of(page)
    assert sorted(data["shape"]) == sorted(shape)
    assert [len(echoes) for echoes in data["images"].values()] == [2, 2]
    assert data["overlays"] == []
    assert not any(secret in page for secret in (*SECRETS, str(tmp_path), "knee"))
    assert not re.search(r'(src|href)="(?!#)|@import|url\((?!#)', page)


def test_the_interpolated_image_and_the_residual_are_those_of_the_stored_scans(nifti):
    comparison = compare(*map(find_scan, nifti))
    expected = interpolate(comparison.thick.array, 2)
    np.testing.assert_allclose(comparison.interpolated, expected)
    np.testing.assert_allclose(comparison.fine.array, expected, atol=1e-3)
    stated = comparison.derivation["residual_of_scale"]
    assert comparison.residual.of_scale == pytest.approx(stated, rel=0.05)
    assert comparison.residual.of_scale > 0.01


def test_slices_between_fine_ones_are_interpolated_where_they_lie(tmp_path):
    scan = write_image(tmp_path)
    thick = find_scan(scan).read()
    shifted = thick.resliced(interpolate(thick.array, 2, first=0.5), 2, first=0.5)
    write_nifti(shifted, tmp_path / "fine.nii.gz")
    comparison = compare(find_scan(scan), find_scan(tmp_path / "fine.nii.gz"))
    assert comparison.profile == "box"
    np.testing.assert_allclose(comparison.interpolated, shifted.array, atol=1e-3)


def test_t2_and_uncertainty_lie_over_the_images(tmp_path):
    scan = write_image(tmp_path)
    fine = derive(scan, tmp_path / "fine.nii.gz", ensemble=True)
    data = data_of(look(scan, fine, tmp_path / "look.html", with_t2=True))
    names = [(overlay["name"], overlay["unit"]) for overlay in data["overlays"]]
    assert names == [("T2", "ms"), ("Uncertainty", "% of the scale"), ("T2 uncertainty", "ms")]
    levels = [overlay["levels"] for overlay in data["overlays"]]
    assert {key: len(echoes) for key, echoes in levels[0].items()} == {
        "interpolated": 1,
        "derived": 1,
    }
    assert [{key: len(e) for key, e in each.items()} for each in levels[1:]] == [
        {"derived": 2},
        {"derived": 1},
    ]


def test_t2_is_that_of_the_fine_scan_where_there_is_tissue(tmp_path):
    signal = np.full((*SHAPE, 2), 1000.0, np.float32)
    signal[..., 1] = 350
    signal[:6] = 0  # air
    signal += np.random.default_rng(0).uniform(0, 2, signal.shape)
    scan = write_image(tmp_path, array=signal)
    fine = derive(scan, tmp_path / "fine.nii.gz")
    comparison = compare(find_scan(scan), find_scan(fine))
    assert not comparison.tissue[:3].any()
    assert comparison.tissue[7:].all()
    assert np.nanmedian(t2_map(comparison.fine)[comparison.tissue]) == pytest.approx(42, abs=2)


def test_t2_of_a_scan_of_one_echo_is_refused(tmp_path):
    scan = write_image(tmp_path, echoes=1)
    fine = derive(scan, tmp_path / "fine.nii.gz")
    with pytest.raises(InputError, match="expected both echoes"):
        look(scan, fine, tmp_path / "look.html", with_t2=True)
    assert len(data_of(look(scan, fine, tmp_path / "look.html"))["images"]["derived"]) == 1


def test_the_same_call_is_finished_and_another_replaces_its_page_on_request_only(nifti, tmp_path):
    page = tmp_path / "look.html"
    look(*nifti, page)
    with pytest.raises(AlreadyDone):
        look(*nifti, page)
    with pytest.raises(InputError, match="t2 False -> True"):
        look(*nifti, page, with_t2=True)
    look(*nifti, page, with_t2=True, overwrite=True)
    assert len(data_of(page.read_text())["overlays"]) == 1


@pytest.mark.parametrize("content", ["<html>my thesis</html>", "", "\x00"])
def test_a_page_never_replaces_another_file(nifti, tmp_path, content):
    foreign = tmp_path / "look.html"
    foreign.write_text(content)
    with pytest.raises(InputError, match="found another"):
        look(*nifti, foreign, overwrite=True)
    assert foreign.read_text() == content
    with pytest.raises(InputError, match=r"ending in \.html"):
        look(*nifti, tmp_path / "look")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fine: replace(fine, affine=fine.affine + np.eye(4, k=3) * 0.7), "0.7 mm away"),
        (lambda fine: replace(fine, affine=fine.affine @ np.diag([1, 1, -1, 1])), "mm away"),
        (lambda fine: replace(fine, array=fine.array[:-1]), "expected 12 x 10 pixels"),
        (lambda fine: replace(fine, array=fine.array[:, :, :9]), "times the 5 slices"),
        (lambda fine: replace(fine, array=fine.array[:, :, ::2]), "times the 5 slices"),
        (lambda fine: replace(fine, array=fine.array[..., :1], echo_times_ms=(7.0,)), "echoes"),
    ],
)
def test_scans_that_do_not_belong_together_are_refused_with_what_differs(
    nifti, tmp_path, change, message
):
    other = tmp_path / "other.nii.gz"
    write_nifti(change(find_scan(nifti[1]).read()), other)
    with pytest.raises(InputError, match=message) as error:
        look(nifti[0], other, tmp_path / "look.html")
    assert str(other) in str(error.value)
    assert not (tmp_path / "look.html").exists()


def test_scans_of_two_frames_of_reference_are_refused(tmp_path):
    fine = derive(write_dicom(tmp_path), tmp_path / "fine")
    other = write_study(tmp_path / "other", make_array(SHAPE))
    with pytest.raises(InputError, match="expected the frame of reference of") as error:
        look(other, fine, tmp_path / "look.html")
    assert str(fine) in str(error.value)


def test_a_warning_says_if_the_fine_scan_is_of_another_scan_or_origin(tmp_path, warnings):
    scan = write_dicom(tmp_path)
    fine = derive(scan, tmp_path / "fine")
    look(scan, fine, tmp_path / "a.html")
    assert warnings == []
    frame = pydicom.dcmread(next(scan.iterdir())).FrameOfReferenceUID
    other = write_study(
        tmp_path / "other", make_array(SHAPE, seed=1), affine=SAGITTAL,
        change=lambda header, index, echo: setattr(header, "FrameOfReferenceUID", frame),
    )  # fmt: skip
    look(other, fine, tmp_path / "b.html")
    assert [message for message in warnings if "derived from another scan" in message]
    warnings.clear()
    write_nifti(find_scan(fine).read(), tmp_path / "foreign.nii.gz")
    page = look(scan, tmp_path / "foreign.nii.gz", tmp_path / "c.html")
    assert [message for message in warnings if "MRSR-TF did not write it" in message]
    assert "Method" not in facts_of(page)


def test_pages_lie_beside_outputs_and_one_that_fails_stops_no_other(tmp_path, warnings, capsys):
    studies = []
    for number in range(2):
        scan = write_study(tmp_path / "in" / f"knee_{number}", make_array(SHAPE, seed=number))
        output = derive(scan, tmp_path / "out" / f"knee_{number}")
        studies.append(batch.Study(find_scan(scan), output))
    foreign = tmp_path / "out" / "knee_0_look.html"
    foreign.write_text("mine")
    assert write_pages(studies) == studies[:1]
    assert "found another" in warnings[-1]
    assert foreign.read_text() == "mine"
    assert (tmp_path / "out" / "knee_1_look.html").stat().st_size > 10_000
    write_pages(studies[1:])
    assert "nothing to do" in capsys.readouterr().out
    assert len(batch.find_studies(tmp_path / "out", tmp_path / "again")) == 2  # pages are no scans


def test_a_scan_that_is_no_dess_is_shown_with_what_was_derived_from_it(tmp_path):
    def change(header, index, echo):
        header.SeriesDescription, header.EchoTime, header.RepetitionTime = "PD", 30, 2500

    folder = write_study(tmp_path / "knee", make_array(SHAPE, echoes=1), change=change)
    study = batch.Study(find_scan(folder, "PD"), tmp_path / "fine")
    batch.derive(study, Interpolation("tci"))
    assert write_pages([study]) == []
    facts = facts_of((tmp_path / "fine_look.html").read_text())
    assert (facts["Echo times"], facts["Repetition time"]) == ("30 ms", "2500 ms")


def test_a_scan_beyond_the_budget_is_shown_in_part(nifti, tmp_path, monkeypatch):
    monkeypatch.setattr("mrsr_tf.viewing.look.SAMPLES", 4 * 300)
    page = look(*nifti, tmp_path / "look.html")
    assert np.prod(data_of(page)["shape"]) <= 300
    assert "Only the middle of the scan is shown" in page
