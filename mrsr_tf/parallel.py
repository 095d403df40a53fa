"""Runs the same work on many subjects, in this process or in several."""

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


def map_in_sequence(
    work: Callable[[Item], None], subjects: Sequence[Item], title: str, memory_each: int, /
) -> None:
    """Works on one subject after the other in this process.

    The arguments are those of `map_in_processes`, so that a caller can take either.
    """
    for subject in _progress(title, subjects):
        work(subject)


def map_in_processes(
    work: Callable[[Item], None],
    subjects: Sequence[Item],
    title: str,
    memory_each: int,
    /,
    *,
    workers: int | None = None,
) -> None:
    """Works on several subjects at once, each in a process of this machine.

    Args:
        work: called with each subject; a function of a module, so that it can be pickled.
        subjects: what to work on.
        title: of the progress bar.
        memory_each: bytes of memory that one worker needs.
        workers: number of processes; None for one per core as far as the memory allows.

    Raises:
        InputError: raised by `work`, or a worker was killed.
    """
    at_once = min(workers or default_workers(memory_each), len(subjects))
    if at_once <= 1:
        return map_in_sequence(work, subjects, title, memory_each)
    spawn = multiprocessing.get_context("spawn")  # a fork would copy TensorFlow's threads
    with ProcessPoolExecutor(at_once, spawn, _start_worker) as pool:
        try:
            futures = [pool.submit(work, subject) for subject in subjects]
            for done in _progress(title, as_completed(futures), len(futures)):
                done.result()
        except BrokenProcessPool:
            raise InputError(
                "expected all workers to finish, found one killed, as the system does when memory "
                "runs out: use fewer --workers; the same call continues with what is left"
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def default_workers(memory_each: int) -> int:
    """One worker per core, as far as three quarters of the machine's memory allow."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4
    return max(1, min(cores or 1, memory // max(1, memory_each)))


def _progress(title: str, items: Iterable[Item], total: int | None = None) -> Iterable[Item]:
    return tqdm(items, title, total, unit="subject", disable=None, delay=2)


def _start_worker() -> None:
    """Lets a worker warn as its command does and end with it, even if that was killed."""
    cli.format_warnings()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
