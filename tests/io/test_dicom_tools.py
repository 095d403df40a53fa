"""What others make of the DICOM we write: dciodvfy, dcmtk's viewers and an Orthanc server."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_peers import Node
from dicom_studies import write_enhanced, write_study
from PIL import Image
from random_scans import make_array

from mrsr_tf.io import dicom
from mrsr_tf.mri import slices

SEARCHED = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"


def tool(name, package):
    found = shutil.which(name, path=SEARCHED)
    if not found:
        pytest.skip(f"{name} (Debian package {package}) is not installed")
    return found


def derive(source, output):
    """What the commands write of a scan: super-resolved series (interpolated here) and T2."""
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
    made = folder.with_name("phantom")
    call = [sys.executable, "-m", "phantom.simulate", f"--output={made}", "--subjects=1"]
    subprocess.run([*call, "--shape=64,64,6"], check=True, capture_output=True)
    return next(made.glob("*/dicom"))


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
        said = subprocess.run([dciodvfy, file], capture_output=True, text=True).stderr
        assert not [line for line in said.splitlines() if line.startswith("Error")], file.name


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


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Orthanc:
    """A server on loopback, with its own folder and nothing of the machine's configuration."""

    def __init__(self, folder: Path):
        self.http, self.port = free_port(), free_port()
        configuration = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http,
            "DicomPort": self.port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": False,
            "DicomCheckModalityHost": True,
            "DicomModalities": {"test": ["STORESCU", "127.0.0.1", free_port()]},
            "Plugins": [],
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        self.process = subprocess.Popen(
            [tool("Orthanc", "orthanc"), folder / "orthanc.json"],
            stdout=subprocess.DEVNULL,
            stderr=(folder / "log").open("w"),
        )
        deadline = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < deadline, (folder / "log").read_text()
            assert self.process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)

    def _answers(self):
        try:
            return bool(self.get("system"))
        except OSError:
            return False

    def get(self, path, data=None, method=None):
        address = f"http://127.0.0.1:{self.http}/{path}"
        request = urllib.request.Request(address, data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def images(self):
        """All it holds, by SOPInstanceUID: what it gives back."""
        held = [self.get(f"instances/{name}/file") for name in json.loads(self.get("instances"))]
        return {pydicom.dcmread(io.BytesIO(raw)).SOPInstanceUID: raw for raw in held}

    def empty(self):
        for study in json.loads(self.get("studies")):
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.http}/studies/{study}", method="DELETE"
            )
            urllib.request.urlopen(request, timeout=30).close()


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory):
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    yield server
    server.process.terminate()
    server.process.wait(30)


@pytest.mark.parametrize("way", ["REST", "C-STORE"])
def test_orthanc_gives_every_series_back_unchanged(derived, orthanc, tmp_path, way):
    orthanc.empty()
    sent = {pydicom.dcmread(file).SOPInstanceUID: file for file in files(derived)}
    if way == "REST":
        for file in sent.values():
            orthanc.get("instances", file.read_bytes())
    else:
        storescu = tool("storescu", "dcmtk")
        call = [storescu, "-R", "127.0.0.1", str(orthanc.port), *sent.values()]
        subprocess.run(call, check=True)
    came = orthanc.images()
    assert came.keys() == sent.keys()
    for uid, raw in came.items():
        before = pydicom.dcmread(sent[uid])
        folder = tmp_path / sent[uid].parent.name
        folder.mkdir(exist_ok=True)
        (folder / sent[uid].name).write_bytes(raw)
        after = pydicom.dcmread(folder / sent[uid].name)
        assert after == before
        if way == "REST":
            assert raw == sent[uid].read_bytes()
    for folder in ("series", "t2"):
        again, written = (dicom.read_series(place / folder) for place in (tmp_path, derived))
        np.testing.assert_array_equal(again.array, written.array)
        np.testing.assert_allclose(again.affine, written.affine, atol=0.01)
        assert dicom.read_derivation(tmp_path / folder) == dicom.read_derivation(derived / folder)


def test_orthanc_shows_the_series_in_their_patients_study(derived, orthanc):
    orthanc.empty()
    for file in files(derived):
        orthanc.get("instances", file.read_bytes())
    (study,) = json.loads(orthanc.get("studies?expand"))
    header = pydicom.dcmread(files(derived)[0])
    assert study["MainDicomTags"]["StudyInstanceUID"] == header.StudyInstanceUID
    assert study["PatientMainDicomTags"]["PatientID"] == header.PatientID
    tags = [json.loads(orthanc.get(f"series/{name}"))["MainDicomTags"] for name in study["Series"]]
    endings = sorted(series["SeriesDescription"].split(" ", 2)[-1] for series in tags)
    assert [ending.split()[-2:] for ending in endings] == [
        ["echo", "1"],
        ["echo", "2"],
        ["T2", "map"],
    ]


def test_a_study_sent_to_the_node_comes_back_to_orthanc_as_three_series(orthanc, tmp_path):
    orthanc.empty()
    node = Node(tmp_path / "node", orthanc.port, "--known=ORTHANC", destination="ORTHANC").start()
    try:
        modality = {"AET": "MRSR", "Host": "127.0.0.1", "Port": node.port}
        orthanc.get("modalities/node", json.dumps(modality).encode(), method="PUT")
        for file in write_study(tmp_path / "study", make_array((16, 16, 3))).iterdir():
            orthanc.get("instances", file.read_bytes())
        (study,) = json.loads(orthanc.get("studies"))
        orthanc.get("modalities/node/echo", b"{}")
        orthanc.get("modalities/node/store", study.encode())
        node.finished(1)
        (held,) = json.loads(orthanc.get("studies?expand"))
        series = [json.loads(orthanc.get(f"series/{name}")) for name in held["Series"]]
        assert sorted(
            (one["MainDicomTags"]["SeriesDescription"], len(one["Instances"])) for one in series
        ) == [
            ("Sag DESS", 6),
            ("Sag DESS MRSR echo 1", 6),
            ("Sag DESS MRSR echo 2", 6),
            ("Sag DESS T2 map", 6),
        ]
    finally:
        assert node.stop() == 0
