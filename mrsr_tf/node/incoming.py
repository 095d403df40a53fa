"""Studies on their way in: when each is whole, and how much they may all hold."""

import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from absl import logging

from mrsr_tf.node.settings import Settings
from mrsr_tf.node.spool import FACTS, Spool, digest
from mrsr_tf.outputs import write_json

COMPLETE = "complete"
LEAST_BYTES = 2**14  # an image counts as so many at least, which bounds the files of a study


@dataclass
class _Study:
    """What is known of a study while it comes.

    `senders` are the associations that brought some of it and are still open; `refused` says that
    it grew beyond what a study may be.
    """

    folder: Path
    images: int
    size: int
    last: float = field(default_factory=time.monotonic)
    senders: set[threading.Thread] = field(default_factory=set)
    refused: bool = False


class Incoming:
    """Takes images in, and hands studies over to the queue when they are whole.

    A study is whole when each association that brought some of it is over, the last one ended with
    a release, and nothing more came for `quiet_s`. Cut off, it waits `patience_s` to be sent again.
    One that is begun may always grow to `study_bytes`: what is short of room is refused at its
    first image, not in its middle.
    """

    def __init__(self, spool: Spool, settings: Settings) -> None:
        self._spool, self._settings, self._lock = spool, settings, threading.Lock()
        for file in spool.arriving.iterdir():
            file.unlink()
        self._studies = {
            folder.name: _Study(folder, *_held(folder)) for folder in spool.incoming.iterdir()
        }

    def __len__(self) -> int:
        return len(self._studies)

    def take(
        self, image: Path, sender: threading.Thread, peer: str, uids: tuple[str, str, str]
    ) -> bool:
        """Takes one image in; on the disk when this returns.

        Args:
            image: its file, on the file system of the spool.
            sender: the association that brought it.
            peer: who sent it.
            uids: of study, series and image.

        Returns:
            Whether there was room for it; else it is left where it is.
        """
        names = [digest(*parts) for parts in ((peer, uids[0]), uids[1:2], uids[2:])]
        _to_disk(image)
        with self._lock:
            study = self._admitted(names[0], sender)
            if study is None:
                return False
            target = study.folder / names[1] / f"{names[2]}.dcm"
            before = _counted_bytes(target)
            size = study.size + _counted_bytes(image) - before
            if size > self._settings.study_bytes:
                study.refused = True
                return False
            (study.folder / COMPLETE).unlink(missing_ok=True)
            target.parent.mkdir(exist_ok=True)
            image.replace(target)
            study.images, study.size = study.images + (not before), size
            study.last = time.monotonic()
            return True

    def _admitted(self, name: str, sender: threading.Thread) -> _Study | None:
        """The study of this name, begun where there is room for all that it may become."""
        study = self._studies.get(name)
        if study is None:
            needed = (len(self._studies) + 1) * self._settings.study_bytes
            if not self._spool.make_room(needed, self._settings.queue_bytes):
                return None
            study = self._studies[name] = _Study(self._spool.incoming / name, 0, 0)
            study.folder.mkdir()
        study.senders.add(sender)
        return study

    def released(self, sender: threading.Thread) -> None:
        """An association ended as agreed: what it brought is all it had."""
        with self._lock:
            for study in self._studies.values():
                if sender in study.senders:
                    study.senders.discard(sender)
                    study.last = time.monotonic()
                    (study.folder / COMPLETE).touch()

    def sweep(self) -> None:
        """Moves on what is whole and gives up what was cut off long ago; to be called often."""
        with self._lock:
            for name, study in list(self._studies.items()):
                self._drop_the_dead(study)
                waited = time.monotonic() - study.last
                if study.senders or waited < self._settings.quiet_s:
                    continue
                if study.refused:
                    self._give_up(name, "larger than the largest study allowed")
                elif (study.folder / COMPLETE).exists():
                    self._enqueue(name)
                elif waited >= self._settings.patience_s:
                    self._give_up(name, "cut off: no association with it ended in a release")

    def _drop_the_dead(self, study: _Study) -> None:
        for sender in [sender for sender in study.senders if not sender.is_alive()]:
            study.senders.discard(sender)
            study.last = time.monotonic()
            (study.folder / COMPLETE).unlink(missing_ok=True)

    def _enqueue(self, name: str) -> None:
        study = self._studies.pop(name)
        write_json(study.folder / FACTS, {"images": study.images, "bytes": study.size})
        target = self._spool.queue / _numbered(name)
        study.folder.rename(target)
        logging.info("study %s: %d images received", target.name, study.images)

    def _give_up(self, name: str, reason: str) -> None:
        """Fails a study before it was whole; its images are of no use."""
        study = self._studies.pop(name)
        reason = f"{reason} ({study.images} images; none is kept: send it again)"
        self._spool.forget(self._spool.fail(study.folder, reason, name=_numbered(name)))


def _held(folder: Path) -> tuple[int, int]:
    """Images and bytes of a study found at the start."""
    images = list(folder.rglob("*.dcm"))
    return len(images), sum(_counted_bytes(image) for image in images)


def _counted_bytes(image: Path) -> int:
    return max(image.stat().st_size, LEAST_BYTES) if image.exists() else 0


def _numbered(name: str) -> str:
    """Names of later studies sort behind those of earlier ones."""
    return f"{time.time_ns() // 10**6:013d}-{name}"


def _to_disk(file: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
