"""Derived DICOM in other programs: dciodvfy, the viewers of DCMTK and an Orthanc server."""

import subprocess
import sys

import numpy as np
import pydicom
import pytest
from dicom_studies import write_enhanced, write_study
from orthanc_server import tool
from PIL import Image
from random_scans import make_array

from mrsr_tf.io import dicom
from mrsr_tf.mri import slices


def derive(source, output):
    """Writes what the commands write: super-resolved series (here interpolated) and T2."""
    volume = dicom.read_series(source)
    fine = volume.resliced(slices.interpolate(volume.array), 2)
    derivation = {
        "version": "0.1.0",
        "method": "mrsr",
        "slice_factor": 2,
        "weights_sha256": "0" * 64,
    }
    dicom.write_series(fine, output / "series", like=source, derivation=derivation)
    t2_ms = np.where(fine.array[..., 0] > 500, 37.5, np.nan)
    dicom.write_t2_map(t2_ms, fine, output / "t2", like=source, derivation=derivation)
    return output


def phantom_study(folder):
    phantoms = folder.with_name("phantom")
    call = [sys.executable, "-m", "phantom.simulate", f"--output={phantoms}", "--subjects=1"]
    subprocess.run([*call, "--shape=64,64,6"], check=True, capture_output=True)
    return next(phantoms.glob("*/dicom"))


SOURCES = {
    "phantom": phantom_study,
    "one series": lambda folder: write_study(folder, make_array((16, 16, 3))),
    "two series": lambda folder: write_study(folder, make_array((16, 16, 3)), one_series=False),
    "enhanced": lambda folder: write_enhanced(folder, make_array((16, 16, 3))),
    "enhanced, one object per echo": lambda folder: write_enhanced(
        folder, make_array((16, 16, 3)), one_object=False
    ),
}


@pytest.fixture(scope="module", params=SOURCES)
def derived(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("derived")
    return derive(SOURCES[request.param](folder / "source"), folder)


def files(folder):
    return sorted([*(folder / "series").iterdir(), *(folder / "t2").iterdir()])


def test_dciodvfy_finds_no_error_in_any_series(derived):
    dciodvfy = tool("dciodvfy", "dicom3tools")
    for file in files(derived):
        report = subprocess.run([dciodvfy, file], capture_output=True, text=True).stderr
        assert not [line for line in report.splitlines() if line.startswith("Error")], file.name


def test_dcmdump_shows_what_an_image_is(derived):
    dcmdump = tool("dcmdump", "dcmtk")
    for folder, kind in (("series", "OTHER"), ("t2", r"T2 MAP")):
        file = sorted((derived / folder).iterdir())[0]
        shown = subprocess.run([dcmdump, "+L", file], capture_output=True, text=True, check=True)
        assert "W:" not in shown.stderr
        assert "E:" not in shown.stderr
        assert rf"[DERIVED\SECONDARY\{kind}]" in shown.stdout
        assert "[Derived by MRSR-TF: version=0.1.0; method=mrsr" in shown.stdout


def test_dcmj2pnm_draws_the_stored_image(derived, tmp_path):
    dcmj2pnm = tool("dcmj2pnm", "dcmtk")
    for folder in ("series", "t2"):
        file = sorted((derived / folder).iterdir())[0]
        subprocess.run([dcmj2pnm, "+Wm", file, tmp_path / "drawn.pgm"], check=True)
        drawn = np.asarray(Image.open(tmp_path / "drawn.pgm")).astype(float)
        stored = pydicom.dcmread(file).pixel_array.astype(float)
        assert drawn.shape == stored.shape
        if np.ptp(stored):
            assert np.corrcoef(drawn.ravel(), stored.ravel())[0, 1] > 0.99


# Orthanc


@pytest.mark.parametrize("protocol", ["REST", "C-STORE"])
def test_orthanc_gives_every_series_back_unchanged(derived, orthanc, tmp_path, protocol):
    sent = {pydicom.dcmread(file).SOPInstanceUID: file for file in files(derived)}
    if protocol == "REST":
        orthanc.post_files(sent.values())
    else:
        orthanc.send(derived / "series", derived / "t2")
    received = orthanc.images()
    assert received.keys() == sent.keys()
    for uid, raw in received.items():
        before = pydicom.dcmread(sent[uid])
        folder = tmp_path / sent[uid].parent.name
        folder.mkdir(exist_ok=True)
        (folder / sent[uid].name).write_bytes(raw)
        after = pydicom.dcmread(folder / sent[uid].name)
        assert after == before
        if protocol == "REST":
            assert raw == sent[uid].read_bytes()
    for folder in ("series", "t2"):
        again, written = (dicom.read_series(place / folder) for place in (tmp_path, derived))
        np.testing.assert_array_equal(again.array, written.array)
        np.testing.assert_allclose(again.affine, written.affine, atol=0.01)
        assert dicom.read_derivation(tmp_path / folder) == dicom.read_derivation(derived / folder)


def test_orthanc_shows_the_series_in_their_patients_study(derived, orthanc):
    orthanc.post_files(files(derived))
    (study,) = orthanc.get("studies?expand")
    header = pydicom.dcmread(files(derived)[0])
    assert study["MainDicomTags"]["StudyInstanceUID"] == header.StudyInstanceUID
    assert study["PatientMainDicomTags"]["PatientID"] == header.PatientID
    headers = [orthanc.get(f"series/{name}")["MainDicomTags"] for name in study["Series"]]
    endings = sorted(series["SeriesDescription"].split(" ", 2)[-1] for series in headers)
    assert [ending.split()[-2:] for ending in endings] == [
        ["echo", "1"],
        ["echo", "2"],
        ["T2", "map"],
    ]
