"""The node itself: receives, shows its state, and keeps a worker going until it is told to stop."""

import logging as records
import multiprocessing
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from types import FrameType

from absl import logging

from mrsr_tf.errors import InputError
from mrsr_tf.node.incoming import Incoming
from mrsr_tf.node.receiver import listening
from mrsr_tf.node.settings import Settings
from mrsr_tf.node.spool import Spool
from mrsr_tf.node.status import showing

SWEEP_S = 0.2
STOPPING_S = 10.0
RESTART_S = 5.0


def run(settings: Settings) -> None:
    """Runs a node until SIGTERM.

    Raises:
        InputError: the settings contradict each other, the spool is another node's, or the model
            or a TLS file cannot be used.
        OSError: a port is taken, or the spool cannot be written.
    """
    settings.check()
    _speak_plainly()
    stopped = threading.Event()
    with ExitStack() as stack:
        stack.enter_context(_on_sigterm(stopped.set))
        spool = Spool(settings.spool)
        stack.enter_context(spool.lock("node", wait=False))
        working = stack.enter_context(_Working(settings))
        incoming = Incoming(spool, settings)
        status = stack.enter_context(showing(settings, spool, incoming))
        port = stack.enter_context(listening(settings, spool, incoming))
        logging.info("%s listens on port %d, status on port %d", settings.title, port, status)
        while not stopped.wait(SWEEP_S):
            incoming.sweep()
            working.check(stopped)
        logging.info("stopping: what is in the queue stays there")


def _speak_plainly() -> None:
    """Tells what happens, and nothing of what pydicom and pynetdicom would: they quote headers."""
    logging.set_verbosity(max(logging.get_verbosity(), logging.INFO))
    warnings.simplefilter("ignore")
    for name in ("pydicom", "pynetdicom"):
        logger = records.getLogger(name)
        logger.propagate, logger.handlers = False, [records.NullHandler()]


def _work(settings: Settings, node: Connection) -> None:
    """The worker process; what it takes to compute is loaded there alone."""
    from mrsr_tf.node import worker

    records.basicConfig(format="worker %(levelname)s: %(message)s")
    _speak_plainly()
    worker.run(settings, node)


@contextmanager
def _on_sigterm(act: Callable[[], None]) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        act()

    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Working:
    """Keeps a worker process going."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._context = settings, multiprocessing.get_context("spawn")
        self._start()

    def __enter__(self) -> "_Working":
        return self

    def _start(self) -> None:
        """Starts a worker and waits until it is ready, since loading a network may fail."""
        self._pipe, other_end = self._context.Pipe()
        self._process = self._context.Process(target=_work, args=(self._settings, other_end))
        self._process.start()
        other_end.close()
        try:
            complaint = self._pipe.recv()
        except EOFError:
            raise InputError("expected a worker process, it ended before it was ready") from None
        if complaint:
            raise InputError(complaint)

    def check(self, stopped: threading.Event) -> None:
        """Starts another worker where one has ended, which only a crash makes it do."""
        if not self._process.is_alive():
            logging.error(
                "the worker ended with code %s: another is started", self._process.exitcode
            )
            if not stopped.wait(RESTART_S):
                self._start()

    def __exit__(self, *error: object) -> None:
        self._pipe.close()
        self._process.join(STOPPING_S)
        if self._process.is_alive():
            self._process.kill()  # at any moment, by design: the next one goes on from the spool
            self._process.join()
