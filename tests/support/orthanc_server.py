"""An Orthanc server on loopback for tests, with its own folder and none of the machine's files."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pydicom
import pytest
import requests

SEARCHED = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin"
PLUGINS = Path("/usr/lib/orthanc")
USER = ("worker", "a secret, none of Orthanc's")
PATIENCE_S = 120.0  # a busy machine may be slow; nothing waits so long where all is well


def tool(name: str, package: str) -> str:
    """The path of a program; skips the test where it is not installed."""
    path = shutil.which(name, path=SEARCHED)
    if not path:
        pytest.skip(f"{name} (Debian package {package}) is not installed")
    return path


def until(condition, seconds=PATIENCE_S):
    """Waits until `condition()` is true, and returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "the condition was never true"
        time.sleep(0.05)
    return value


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class OrthancServer:
    """A running server.

    Args:
        folder: where its configuration, storage and log are written.
        settings: of its configuration, beside those for loopback.
    """

    def __init__(self, folder: Path, **settings):
        self.folder, self.program = folder, tool("Orthanc", "orthanc")
        self.http, self.dicom = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http}"
        self.session = requests.Session()
        configuration = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http,
            "HttpBindAddresses": ["127.0.0.1"],
            "DicomPort": self.dicom,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomAlwaysAllowStore": False,
            "DicomCheckModalityHost": True,
            "DicomModalities": {"test": ["STORESCU", "127.0.0.1", free_port()]},
            "StableAge": 1,
            "Plugins": [str(path) for path in PLUGINS.glob("libOrthancDicomWeb.so*")],
            **settings,
        }
        (folder / "orthanc.json").write_text(json.dumps(configuration))
        self.start()

    def start(self):
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [self.program, self.folder / "orthanc.json"], stdout=log, stderr=log
            )
        until(self._answers)

    def _answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        try:
            return self.session.get(f"{self.url}/system").status_code
        except requests.ConnectionError:
            return None

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        self.process.wait(60)

    def request(self, method, path, **content):
        answer = self.session.request(method, f"{self.url}/{path}", timeout=60, **content)
        answer.raise_for_status()
        return answer

    def get(self, path):
        """The JSON value at a path."""
        return self.request("GET", path).json()

    def post_files(self, files):
        for file in files:
            self.request("POST", "instances", data=file.read_bytes())

    def send(self, *folders):
        """Sends the files of some folders by C-STORE, as a scanner does."""
        storescu = tool("storescu", "dcmtk")
        files = [file for folder in folders for file in files_of(folder)]
        subprocess.run([storescu, "-R", "127.0.0.1", str(self.dicom), *files], check=True)

    def images(self):
        """The files of all images that it holds, by SOPInstanceUID."""
        files = [
            self.request("GET", f"instances/{name}/file").content for name in self.get("instances")
        ]
        return {pydicom.dcmread(io.BytesIO(file)).SOPInstanceUID: file for file in files}

    def empty(self):
        for study in self.get("studies"):
            self.request("DELETE", f"studies/{study}")


def files_of(folder: Path) -> list[Path]:
    return sorted(file for file in Path(folder).rglob("*") if file.is_file())


@pytest.fixture(scope="module")
def orthanc_for_module(tmp_path_factory):
    server = OrthancServer(tmp_path_factory.mktemp("orthanc"))
    yield server
    server.stop()


@pytest.fixture
def orthanc(orthanc_for_module):
    """An empty server, which the tests of a module share."""
    orthanc_for_module.empty()
    return orthanc_for_module
