"""The same work on many subjects, spread over processes of this machine."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from mrsr_tf import cli
from mrsr_tf.errors import InputError

Item = TypeVar("Item")


def one_by_one(
    work: Callable[[Item], None], subjects: Sequence[Item], what: str, memory_each: int, /
) -> None:
    """Works on one subject after the other, in this process."""
    for subject in _bar(what, subjects):
        work(subject)


def in_processes(
    work: Callable[[Item], None],
    subjects: Sequence[Item],
    what: str,
    memory_each: int,
    /,
    *,
    workers: int | None = None,
) -> None:
    """Works on several subjects at once.

    Args:
        work: what to do; a function of a module.
        subjects: what to do it with.
        what: how the progress bar calls them.
        memory_each: bytes that one worker needs.
        workers: how many; None for one per core as far as memory goes.

    Raises:
        InputError: the work's own, or a worker was killed.
    """
    at_once = min(workers or default_workers(memory_each), len(subjects))
    if at_once <= 1:
        return one_by_one(work, subjects, what, memory_each)
    spawn = multiprocessing.get_context("spawn")  # a fork would copy TensorFlow's threads
    with ProcessPoolExecutor(at_once, spawn, _start) as pool:
        try:
            futures = [pool.submit(work, subject) for subject in subjects]
            for done in _bar(what, as_completed(futures), len(futures)):
                done.result()
        except BrokenProcessPool:
            raise InputError(
                "expected all workers to live, found one killed, as the system does when memory "
                "runs out: fewer --workers need less; the same call goes on with what is left"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def default_workers(memory_each: int) -> int:
    """One per core, as far as three quarters of the machine's memory go."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4
    return max(1, min(cores or 1, memory // max(1, memory_each)))


def _bar(what: str, items: Iterable[Item], total: int | None = None) -> Iterable[Item]:
    return tqdm(items, what, total, unit="subject", disable=None, delay=2)


def _start() -> None:
    """A worker warns as its call does and ends with it, even if that was killed."""
    cli.plain_warnings()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
