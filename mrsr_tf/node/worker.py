"""The worker: makes and sends the studies in the queue, one at a time, in a process of its own.

A study that fails, or that takes the process down with it, leaves the others alone.
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from pathlib import Path

from absl import logging

from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Upsampler
from mrsr_tf.node import making, sending
from mrsr_tf.node.settings import Settings
from mrsr_tf.node.spool import OUTCOME, STATE, Spool, read_json
from mrsr_tf.outputs import write_json

MOST_ATTEMPTS = 3
IDLE_S = 0.2


def run(settings: Settings, node: Connection) -> None:
    """The worker process: sends None when it is ready, or in words why it cannot be, and works on.

    Args:
        settings: of the node.
        node: the node's pipe; the worker ends after what it is at when the node closes it.
    """
    for ending in (signal.SIGINT, signal.SIGTERM):  # which the node gets too, and passes on
        signal.signal(ending, signal.SIG_IGN)
    spool = Spool(settings.spool)
    threading.Thread(target=_end_with_the_node, daemon=True).start()
    with spool.lock("worker", wait=True):  # until one whose node was killed is gone too
        try:
            worker = Worker(settings, spool, making.upsampler_of(settings), node.poll)
        except InputError as error:
            node.send(str(error))
            return
        node.send(None)
        while not node.poll(0 if worker.step() else IDLE_S):
            pass


def _end_with_the_node() -> None:
    node = parent_process()
    if node is not None:
        node.join()
        os._exit(1)


class Worker:
    """What is done with the studies of a spool.

    Args:
        settings: of the node.
        spool: its queue, of which no other worker takes.
        upsampler: the method.
        wait: waits so many seconds; whether it is time to stop.
    """

    def __init__(
        self, settings: Settings, spool: Spool, upsampler: Upsampler, wait: Callable[[float], bool]
    ) -> None:
        self._settings, self._spool, self._wait = settings, spool, wait
        self._upsampler = upsampler
        self._retry_s = settings.retry_s[0]
        self._empty_work()
        for made in spool.outbox.iterdir():  # killed between these two steps
            shutil.rmtree(spool.queue / made.name, ignore_errors=True)
        self._tell("waiting for studies")

    def step(self) -> bool:
        """Sends what is made, else makes what is next; whether there was anything to do."""
        for folder, handle in ((self._spool.outbox, self._send), (self._spool.queue, self._make)):
            studies = sorted(folder.iterdir())
            if studies:
                self._guarded(handle, studies[0])
                return True
        return False

    def _guarded(self, handle: Callable[[Path], None], study: Path) -> None:
        """Whatever is wrong with one study stays with it."""
        try:
            handle(study)
            self._tell("waiting for studies")
        except sending.Unavailable as unavailable:
            self._tell(f"waiting: {unavailable}")
            logging.warning("%s; tried again in %g s", unavailable, self._retry_s)
            self._wait(self._retry_s)
            self._retry_s = min(2 * self._retry_s, self._settings.retry_s[1])
        except InputError as error:
            self._spool.fail(study, str(error))
        except Exception as error:  # what others say may quote a header: only its kind is told
            reason = getattr(error, "strerror", None) or type(error).__name__
            self._spool.fail(study, f"could not be handled: {reason}")
        self._empty_work()

    def _make(self, study: Path) -> None:
        attempts = self._spool.facts(study).get("attempts", 0)
        if attempts >= MOST_ATTEMPTS:
            raise InputError(f"the process ended {attempts} times while this study was made")
        self._spool.tell(study, attempts=attempts + 1)
        self._tell(f"making {study.name}")
        begun = time.monotonic()
        limit = self._settings.study_bytes
        chosen, notes = making.choose(study, self._spool.work, largest_bytes=limit)
        identity = making.identity(chosen, self._upsampler) if chosen else study.name
        before = read_json(self._spool.done / f"{identity}.json")
        if before:
            self._spool.conclude(identity, before | {"again": before.get("again", 0) + 1})
        elif not chosen:
            self._conclude(study.name, identity, ["no DESS in it", *notes], 0)
        else:
            made = self._spool.work / "made"
            notes += self._make_scans(chosen, made)
            images = len(list(made.rglob("*.dcm")))
            seconds = round(time.monotonic() - begun, 1)
            outcome = {"study": study.name, "identity": identity, "notes": notes}
            write_json(made / OUTCOME, outcome | {"images": images, "seconds": seconds})
            made.rename(self._spool.outbox / study.name)
            logging.info("study %s: %d images made in %g s", study.name, images, seconds)
        shutil.rmtree(study)

    def _make_scans(self, chosen: list[Path], made: Path) -> list[str]:
        """Makes each scan; one that fails beside others is a note, alone it is the study's end."""
        notes, failures = [], []
        for scan in chosen:
            name = f"{scan.name}: " if len(chosen) > 1 else ""
            try:
                notes += [name + said for said in making.make(scan, made, self._upsampler)]
            except InputError as error:
                failures.append(name + self._spool.plain(str(error)))
        if len(failures) == len(chosen):
            raise InputError("; ".join(failures))
        return notes + failures

    def _send(self, study: Path) -> None:
        outcome = read_json(study / OUTCOME)
        self._tell(f"sending {study.name}")
        images = sorted(study.rglob("*.dcm"))
        if images:
            sending.send(images, self._settings, lambda: self._wait(0))
        self._retry_s = self._settings.retry_s[0]
        if not any(study.rglob("*.dcm")):
            identity, count = outcome["identity"], outcome["images"]
            self._conclude(study.name, identity, outcome["notes"], count, outcome["seconds"])
            shutil.rmtree(study)

    def _conclude(
        self, study: str, identity: str, notes: list[str], images: int, seconds: float = 0.0
    ) -> None:
        facts = {"study": study, "images": images, "notes": notes, "seconds": seconds}
        self._spool.conclude(identity, facts | {"ended": time.time()})
        logging.info("study %s: %d images sent; %s", study, images, "; ".join(notes) or "all well")

    def _empty_work(self) -> None:
        for entry in self._spool.work.iterdir():
            shutil.rmtree(entry)

    def _tell(self, state: str) -> None:
        write_json(self._spool.root / STATE, {"state": state})
