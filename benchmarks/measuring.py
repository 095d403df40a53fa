"""Measurements that several benchmarks share: times, memory, and the scans to measure on."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mrsr_tf.errors import InputError


def seconds(work: Callable[[], object]) -> float:
    """The duration of a call, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(
    contenders: Mapping[str, Callable[[], float]], rounds: int, *, warm_up: bool = True
) -> dict[str, list[float]]:
    """Measures all contenders in every round, so that other load on the machine affects them all.

    Args:
        contenders: each measures itself once.
        rounds: number of measurements of each; the order reverses from round to round.
        warm_up: measure each once before, so that everything is traced, compiled and cached.
    """
    if warm_up:
        for measure in contenders.values():
            measure()
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders) if number % 2 else list(contenders)[::-1]:
            measured[name].append(contenders[name]())
    return measured


def run_command(module: str, *arguments: str) -> tuple[float, float]:
    """Runs a command and returns its duration in seconds and its peak memory in GB.

    Raises:
        InputError: the command failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise InputError(
            f"expected {module} to succeed, it exited with {os.waitstatus_to_exitcode(status)}"
        )
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9


def network_flop(voxels: float, channels: list[int]) -> float:
    """Floating-point operations of 3x3x3 convolutions with these channels, in and out."""
    return 2 * 27 * voxels * sum(a * b for a, b in itertools.pairwise(channels))


def write_random_scan(path: Path, shape: tuple[int, ...]) -> Path:
    """Writes a two-echo NIfTI of noise, seeded by its name, unless it exists; returns `path`."""
    from mrsr_tf.io.nifti import write_nifti
    from mrsr_tf.volume import Volume

    if not path.exists():
        random = np.random.default_rng(list(path.name.encode()))
        array = random.integers(100, 1000, (*shape, 2)).astype(np.float32)
        write_nifti(Volume(array, np.diag([0.4, 0.4, 1.4, 1]), (7.0, 39.0), 23.0, 20.0), path)
    return path
