"""The queue on disk: what a study has been through is told by the place where it lies.

SPOOL/
  arriving/            images on their way in
  incoming/STUDY/      studies of which more may come; `complete` in it: as far as the sender knows
  queue/STUDY/         whole studies; study.json: images, bytes, attempts to make it
  work/                what the worker is making, thrown away at its start
  outbox/STUDY/        derived images not yet sent, outcome.json
  failed/STUDY/        what could not be made or sent; study.json: the reason
  worker.json          what the worker is doing
  done/DIGEST.json     one outcome for each study that was made from these very images

STUDY is a time and a digest, neither of which tells whose study it is.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from absl import logging

from mrsr_tf.outputs import exclusive_lock, write_json

FACTS, OUTCOME, STATE = "study.json", "outcome.json", "worker.json"
MOST_DONE = 10_000


class Spool:
    """The folders of a node's queue, made where they are missing.

    Attributes:
        root: the folder of them all; the rest are those named at the head of this file.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.arriving, self.incoming, self.queue, self.work, self.outbox, self.failed, self.done = (
            root / name
            for name in ("arriving", "incoming", "queue", "work", "outbox", "failed", "done")
        )
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.arriving, self.incoming, self.queue, self.work, self.outbox):
            folder.mkdir(exist_ok=True)
        for folder in (self.failed, self.done):
            folder.mkdir(exist_ok=True)

    @contextmanager
    def lock(self, name: str, *, wait: bool) -> Iterator[None]:
        """Locks out other processes; `InputError` if one holds the lock and `wait` is false."""
        file = self.root / f"{name}.lock"
        file.touch()
        message = f"expected a spool of its own, got one that another node uses: {self.root}"
        with exclusive_lock(file, wait=wait, message=message):
            yield

    def facts(self, study: Path) -> dict[str, Any]:
        """What is written in a study's study.json; nothing where it has none."""
        return read_json(study / FACTS)

    def tell(self, study: Path, **facts: Any) -> None:
        """Adds to a study's study.json."""
        write_json(study / FACTS, self.facts(study) | facts)

    def fail(self, study: Path, reason: str, *, name: str = "") -> Path:
        """Puts a study away, under its name or a new one, with the reason why it failed."""
        target = self.failed / (name or study.name)
        reason = self.plain(reason)
        logging.error("study %s failed: %s", target.name, reason)
        self.tell(study, reason=reason, attempts=0, bytes=held_bytes(study))
        shutil.rmtree(target, ignore_errors=True)
        return study.rename(target)

    def plain(self, text: str) -> str:
        """One line, without the way to the spool."""
        return " ".join(text.replace(f"{self.root}/", "").split())

    def used_bytes(self) -> int:
        """What the queue and the failed studies hold."""
        studies = [*self.queue.iterdir(), *self.failed.iterdir()]
        return sum(self.facts(study).get("bytes", 0) for study in studies)

    def make_room(self, needed: int, limit: int) -> bool:
        """Whether so many bytes more can be held; failed studies, the oldest first, make way."""
        failed = sorted(study for study in self.failed.iterdir() if self.facts(study).get("bytes"))
        while (used := self.used_bytes()) + needed > limit and failed:
            self.forget(failed.pop(0))
        return used + needed <= limit

    def forget(self, study: Path) -> None:
        """Removes the images of a failed study and keeps its reason."""
        for entry in study.iterdir():
            if entry.name != FACTS:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.tell(study, bytes=0)

    def conclude(self, digest: str, outcome: Mapping[str, Any]) -> None:
        """Records what became of the study of these images, and forgets the oldest of many."""
        write_json(self.done / f"{digest}.json", outcome)
        for old in newest(self.done)[MOST_DONE:]:
            old.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object; an empty one where there is none, as after a loss of power."""
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return content


def held_bytes(folder: Path) -> int:
    """Of all files in a folder and below."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def newest(folder: Path) -> list[Path]:
    """The whole entries of a folder, the last changed first; one just gone counts as old."""

    def changed(entry: Path) -> float:
        try:
            return entry.stat().st_mtime
        except FileNotFoundError:
            return 0.0

    entries = [entry for entry in folder.iterdir() if not entry.name.startswith("partial.")]
    return sorted(entries, key=changed, reverse=True)


def digest(*parts: str) -> str:
    """16 hex digits that stand for the parts and do not tell them."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
