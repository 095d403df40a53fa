"""The worker beside an Orthanc server: it adds derived series to every study that has a DESS.

Orthanc receives, stores, shows and forwards. The worker takes one stable study at a time:

    headers of its series -> images of its DESS -> super-resolution, T2 map -> derived series

All state is in Orthanc. A metadata entry on each study says what was added or why nothing was, and
the UIDs of derived images follow from source and derivation. So a worker may be killed at any
moment, run twice or move to another machine: it makes again whatever the entry does not call done,
and uploading an image again changes nothing.
"""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import pydicom
import requests
from absl import logging

from mrsr_tf import __version__
from mrsr_tf.errors import InputError
from mrsr_tf.inference.batch import derive_series
from mrsr_tf.inference.upsampling import Upsampler
from mrsr_tf.io.dess_series import dess_scans
from mrsr_tf.outputs import temporary_folder

ENTRY = 4747  # Orthanc leaves metadata and attachments from 1024 on to its users
OLDEST_API, OLDEST_ORTHANC = 12, "1.9.2 or later"
MAX_ATTEMPTS = 3
POLL_S, SWEEP_S = 2.0, 900.0
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
TIMEOUTS_S = 10, 600  # to connect, and between two parts of an answer
TEMPORARY = "mrsr-serve-"


@dataclass
class Orthanc:
    """The REST API of an Orthanc server. While the server does not answer, a request waits.

    Attributes:
        url: such as http://localhost:8042.
        session: with credentials and certificates.
        outages: how often a request had to wait.
    """

    url: str
    session: requests.Session = field(default_factory=requests.Session)
    outages: int = 0

    def request(self, method: str, path: str, data: str | bytes | None = None) -> bytes:
        """Returns the body of the answer.

        Raises:
            PermissionError: one side does not trust the other.
            InputError: Orthanc refuses the request.
        """
        pause_s = SHORTEST_PAUSE_S
        while (answer := self._answer(method, path, data)) is None:
            logging.warning("Orthanc does not answer at %s: next try in %g s", self.url, pause_s)
            time.sleep(pause_s)
            pause_s, self.outages = min(2 * pause_s, LONGEST_PAUSE_S), self.outages + 1
        status, reason = f"status {answer.status_code}", answer.reason
        if answer.status_code in (401, 403):
            expected = "expected a user and password that Orthanc accepts"
            raise PermissionError(f"{expected}, got {status}: {self.url}")
        if not answer.ok:
            with suppress(ValueError, KeyError):
                reason = answer.json()["OrthancError"]
            raise InputError(f"expected Orthanc to {method} {path}, got {status}: {reason}")
        return answer.content

    def _answer(self, method: str, path: str, data: str | bytes | None) -> requests.Response | None:
        url, verify = f"{self.url}/{path}", self.session.verify  # else the environment's would win
        try:
            answer = self.session.request(method, url, data=data, timeout=TIMEOUTS_S, verify=verify)
        except requests.exceptions.SSLError:
            expected = "expected TLS certificates that both sides trust"
            raise PermissionError(f"{expected}, got others: {self.url}") from None
        except (requests.ConnectionError, requests.Timeout):
            return None
        return None if answer.status_code in (502, 503, 504) else answer  # from a proxy

    def get(self, path: str) -> Any:
        """Returns the JSON value at a path."""
        return json.loads(self.request("GET", path))

    def series(self, study: str) -> dict[str, dict[str, Any]]:
        """Returns what Orthanc knows of the series of a study, by SeriesInstanceUID.

        `Instances` are the files of its images by their names. An image that is overwritten keeps
        its name and UIDs, and gets another file.
        """
        files = {image["ID"]: image["FileUuid"] for image in self.get(f"studies/{study}/instances")}
        for item in (series := self.get(f"studies/{study}/series")):
            item["Instances"] = {name: files.get(name, "") for name in item["Instances"]}
        return {item["MainDicomTags"]["SeriesInstanceUID"]: item for item in series}


@dataclass(frozen=True)
class Entry:
    """The worker's metadata entry on a study.

    Attributes:
        outcome: what was added or why nothing was; empty while series are being made.
        images: digest of the derivation and of all images that the worker did not make.
        source: digest of the derivation and of the images of the DESS.
        attempts: number of unfinished attempts to make them.
        series: SeriesInstanceUIDs of the derived series, also of those still being uploaded.
        send_to: the modality that has not received them yet.
    """

    outcome: str = ""
    images: str = ""
    source: str = ""
    attempts: int = 0
    series: tuple[str, ...] = ()
    send_to: str | None = None

    def __post_init__(self) -> None:
        texts = (self.outcome, self.images, self.source, self.send_to or "", *self.series)
        if type(self.attempts) is not int or not all(isinstance(text, str) for text in texts):
            raise TypeError("expected values of their types")


@dataclass
class Worker:
    """Adds derived series to the studies of an Orthanc server.

    Attributes:
        orthanc: the server.
        upsampler: the method.
        destination: the modality that derived series are sent to, if any.
    """

    orthanc: Orthanc
    upsampler: Upsampler
    destination: str | None = None

    def run(self) -> NoReturn:
        """Handles studies until stopped. Raises `InputError` if the server cannot be used."""
        system = self.orthanc.get("system")
        if system.get("ApiVersion", 0) < OLDEST_API:
            raise InputError(f"expected Orthanc {OLDEST_ORTHANC}, got {system.get('Version')}")
        if self.destination and self.destination not in self.orthanc.get("modalities"):
            raise InputError(f"expected one of Orthanc's modalities, got {self.destination!r}")
        logging.info("watching the studies of %s", self.orthanc.url)
        while True:
            for study in self._studies():
                self.handle(study)

    def _studies(self) -> Iterator[str]:
        """Yields all stable studies, then until the next sweep those that become stable.

        A sweep finds what could not be sent, and what Orthanc forgot to call stable because it was
        stopped. Studies that may have ended a worker come last, so that no others wait for them.
        """
        outages, last = self.orthanc.outages, self.orthanc.get("changes?last")["Last"]
        stable = [study["ID"] for study in self.orthanc.get("studies?expand") if study["IsStable"]]
        yield from sorted(stable, key=lambda study: self._entry(study).attempts)
        sweep = time.monotonic() + SWEEP_S
        while time.monotonic() < sweep and outages == self.orthanc.outages:
            page = self.orthanc.get(f"changes?since={last}&limit=100")
            changes, last = page["Changes"], page["Last"]
            yield from (change["ID"] for change in changes if change["ChangeType"] == "StableStudy")
            if page["Done"]:
                time.sleep(POLL_S)

    def handle(self, study: str) -> None:
        """Adds and sends what a study lacks. An error concerns this study only."""
        try:
            entry = self._update(study)
            if entry.send_to:
                self._send(study, entry)
        except InputError as error:  # the study may have been deleted
            logging.error("study %s: %s", study, error)

    def _update(self, study: str) -> Entry:
        """Makes the derived series unless they are up to date; returns the entry."""
        entry, series = self._entry(study), self.orthanc.series(study)
        sources = {item["ID"]: item for uid, item in series.items() if uid not in entry.series}
        images = self._digest(sources.values())
        complete = entry.outcome and series.keys() >= set(entry.series)
        if complete and images == entry.images:
            return entry
        headers = {
            name: list(self.orthanc.get(f"series/{name}/instances-tags?simplify").values())
            for name, item in sources.items()
            if item["MainDicomTags"].get("Modality") == "MR"
        }
        scans = [[sources[name] for name in scan] for scan in dess_scans(headers)]
        source = self._digest(item for scan in scans for item in scan)
        if complete and source == entry.source:
            return self._write(study, replace(entry, images=images))
        attempts = entry.attempts + 1 if source == entry.source else 1
        entry = self._write(study, Entry("", images, source, attempts, entry.series))
        if not scans:
            entry = replace(entry, outcome=f"no DESS among {len(sources)} series")
        elif attempts > MAX_ATTEMPTS:
            entry = replace(entry, outcome=f"given up: the worker ended {MAX_ATTEMPTS} times")
        else:
            try:
                entry = self._derive(study, entry, scans)
            except SystemExit:  # SIGTERM says nothing about the study
                self._write(study, replace(self._entry(study), attempts=attempts - 1))
                raise
        logging.info("study %s: %s", study, entry.outcome)
        with suppress(InputError):  # an attachment, which Orthanc's explorer shows; if it has room
            self.orthanc.request("PUT", f"studies/{study}/attachments/{ENTRY}", entry.outcome)
        return self._write(study, replace(entry, attempts=0))

    def _derive(self, study: str, entry: Entry, scans: list[list[dict[str, Any]]]) -> Entry:
        """Makes and uploads the derived series of all scans."""
        notes: list[str] = []
        with temporary_folder(TEMPORARY) as folder:
            for number, scan in enumerate(scans, 1):
                source, output = folder / f"scan{number}", folder / f"derived{number}"
                source.mkdir()
                for name in (name for series in scan for name in series["Instances"]):
                    image = self.orthanc.request("GET", f"instances/{name}/file")
                    (source / f"{name}.dcm").write_bytes(image)
                notes += derive_series(source, output, self.upsampler)
            entry = self._upload(study, entry, sorted(folder.glob("derived*/*/*.dcm")))
            outcome = "; ".join([entry.outcome, *notes]).replace(f"{folder}/", "")
        return replace(entry, outcome=" ".join(outcome.split()))

    def _upload(self, study: str, entry: Entry, files: list[Path]) -> Entry:
        """Uploads derived images and deletes the derived series that they replace."""
        if not files:
            return replace(entry, outcome="no series made")
        headers = (pydicom.dcmread(file, stop_before_pixels=True) for file in files)
        uids, old = {str(header.SeriesInstanceUID) for header in headers}, set(entry.series)
        self._write(study, replace(entry, series=tuple(old | uids)))
        try:
            for file in files:
                self._store(study, file)
        except InputError as error:
            self._delete(study, uids)
            return replace(entry, series=tuple(old - uids), outcome=f"nothing added: {error}")
        self._delete(study, old - uids)
        outcome = f"added {len(uids)} series of {len(files)} images"
        return replace(entry, series=tuple(uids), outcome=outcome, send_to=self.destination)

    def _store(self, study: str, file: Path) -> None:
        answer = json.loads(self.orthanc.request("POST", "instances", file.read_bytes()))
        if answer["Status"] not in ("Success", "AlreadyStored"):
            raise InputError(f"expected Orthanc to store derived images, got {answer['Status']}")
        if answer["ParentStudy"] != study:
            self.orthanc.request("DELETE", f"instances/{answer['ID']}")
            raise InputError("expected derived images in the study of their source, got another")

    def _delete(self, study: str, uids: set[str]) -> None:
        for uid in uids & (series := self.orthanc.series(study)).keys():
            self.orthanc.request("DELETE", f"series/{series[uid]['ID']}")

    def _send(self, study: str, entry: Entry) -> None:
        series = self.orthanc.series(study)
        order = {"Resources": [series[uid]["ID"] for uid in entry.series], "Synchronous": True}
        self.orthanc.request("POST", f"modalities/{entry.send_to}/store", json.dumps(order))
        self._write(study, replace(entry, send_to=None))
        logging.info("study %s: sent to %s", study, entry.send_to)

    def _entry(self, study: str) -> Entry:
        try:
            return Entry(**self.orthanc.get(f"studies/{study}/metadata/{ENTRY}"))
        except (ValueError, TypeError):  # none, or not of this worker
            return Entry()

    def _write(self, study: str, entry: Entry) -> Entry:
        text = json.dumps(asdict(entry), allow_nan=False)
        self.orthanc.request("PUT", f"studies/{study}/metadata/{ENTRY}", text)
        return entry

    def _digest(self, series: Iterable[dict[str, Any]]) -> str:
        """Identifies the files of some series and how they are upsampled."""
        derivation = str([__version__, sorted(self.upsampler.derivation.items())])
        files = sorted(" ".join(image) for item in series for image in item["Instances"].items())
        return hashlib.sha256("\n".join([derivation, *files]).encode()).hexdigest()[:16]
