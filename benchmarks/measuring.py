"""How benchmarks take times: contenders in turns, and commands with the memory they need."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping

from mrsr_tf.errors import InputError


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turns(
    contenders: Mapping[str, Callable[[], float]], rounds: int, *, warm: bool = True
) -> dict[str, list[float]]:
    """What each contender measures in every round, so that what else the machine does hits all.

    Args:
        contenders: each measures one turn of its own.
        rounds: turns of each; every other round goes backwards.
        warm: take one turn of each before, for what is traced, compiled and cached.
    """
    if warm:
        for take_turn in contenders.values():
            take_turn()
    measured: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in list(contenders) if number % 2 else list(contenders)[::-1]:
            measured[name].append(contenders[name]())
    return measured


def of_command(module: str, *arguments: str) -> tuple[float, float]:
    """Runs a command: its seconds from start to end, and the GB of its largest process.

    Raises:
        InputError: the command failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise InputError(f"expected {module} to do its work, it ended with status {status}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024 / 1e9
