"""A DICOM node for tests, and those it talks to: who sends it studies, who gets what it makes."""

import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pynetdicom import AE, AllStoragePresentationContexts, evt

VERIFICATION = "1.2.840.10008.1.1"
PATIENCE_S = 300.0  # a busy machine may be slow; nothing waits so long where all is well
NATIVE = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]


def until(true, seconds=PATIENCE_S):
    """Waits until `true()`, and returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)
    return found


class Archive:
    """Takes images as a PACS does, and counts what came how often.

    Attributes:
        came: how often each SOPInstanceUID came.
        headers: by SOPInstanceUID.
        answers: what it answers, by status, before it takes images; each answer once.
    """

    def __init__(self):
        self.came, self.headers, self.answers = Counter(), {}, []
        self._server = None
        self.port = 0

    def start(self, ssl_context=None):
        ae = AE("ARCHIVE")
        ae.add_supported_context("1.2.840.10008.5.1.4.1.1.4", NATIVE)
        self._server = ae.start_server(
            ("127.0.0.1", self.port),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, self._take)],
            ssl_context=ssl_context,
        )
        self.port = self._server.server_address[1]

    def stop(self):
        if self._server:
            self._server.shutdown()
        self._server = None

    def _take(self, event):
        if self.answers:
            return self.answers.pop(0)
        image = event.dataset
        self.came[image.SOPInstanceUID] += 1
        self.headers[image.SOPInstanceUID] = image
        return 0

    def series(self):
        """The descriptions of the series of each study that came."""
        found = {}
        for header in self.headers.values():
            series = found.setdefault(header.StudyInstanceUID, {})
            series[header.SeriesInstanceUID] = header.SeriesDescription
        return {study: sorted(series.values()) for study, series in found.items()}


def send(
    files, port, *, title="SCANNER", called="MRSR", before=lambda index: None, tls=None, timeout=20
):
    """Sends files in one association; the statuses, None for those it could not."""
    ae = AE(title)
    ae.requested_contexts = [
        c for c in AllStoragePresentationContexts if "MR Image" in c.abstract_syntax.name
    ]
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.7", NATIVE)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = timeout
    association = ae.associate("127.0.0.1", port, ae_title=called, tls_args=tls)
    if not association.is_established:
        return [None] * len(files)
    statuses = []
    for index, file in enumerate(files):
        before(index)
        try:
            statuses.append(association.send_c_store(pydicom.dcmread(file)).get("Status"))
        except (RuntimeError, ValueError):
            statuses.append(None)
    association.release()
    return statuses


def send_until_taken(files, port, before=lambda index: None):
    """Sends as a PACS does: all of it again until every image was taken in one association."""
    deadline = time.monotonic() + PATIENCE_S
    while set(send(files, port(), before=before)) != {0}:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def files_of(folder):
    return sorted(file for file in Path(folder).rglob("*") if file.is_file())


class Node:
    """`python -m mrsr_tf.serve` with a spool in `folder`."""

    def __init__(self, folder: Path, port: int, *flags: str, destination: str = "ARCHIVE"):
        self.folder, self.log = folder, folder / "log"
        folder.mkdir(exist_ok=True)
        self.call = [
            sys.executable, "-m", "mrsr_tf.serve", f"--spool={folder / 'spool'}", "--port=0",
            "--host=127.0.0.1", "--status=127.0.0.1:0", "--known=SCANNER@127.0.0.1",
            f"--destination={destination}@127.0.0.1:{port}", "--method=tci", "--quiet_s=0.5",
            *flags,
        ]  # fmt: skip
        self.process, self.port, self.status_port = None, 0, 0

    def start(self):
        with self.log.open("a") as log:
            begun = log.tell()
            self.process = subprocess.Popen(self.call, stdout=log, stderr=log)
        said = until(lambda: self._said(begun))
        self.port, self.status_port = (int(number) for number in said.groups())
        return self

    def _said(self, begun):
        text = self.log.read_text()[begun:]
        assert self.process.poll() is None, text
        return re.search(r"listens on port (\d+), status on port (\d+)", text)

    def get(self, path=""):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}/{path}") as answer:
            return answer.read().decode()

    def status(self):
        return json.loads(self.get("status.json"))

    def finished(self, studies):
        """Waits until so many studies are done or failed, and nothing else is there."""
        return until(lambda: self._idle(studies))

    def _idle(self, studies):
        status = self.status()
        counts = status["counts"]
        ended = counts["done"] + counts["failed"] == studies
        busy = counts["receiving"] + counts["waiting"] + counts["sending"]
        return status if ended and not busy else None

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(120)


@contextmanager
def in_threads(functions):
    """Runs the functions while the block runs; what one raised is raised at the end."""
    raised = []

    def guarded(function):
        try:
            function()
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=guarded, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]
