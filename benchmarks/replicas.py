"""How much faster does a training get on several machines?

    python -m benchmarks.replicas
    python -m benchmarks.replicas --workers=1,2 --convolutions=4 --filters=8

Each machine is a process with one core; the workers communicate over the loopback. The rate of
several workers is compared with that of one, times their number. With more workers than cores they
share the cores, and the rate stops growing.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks import table
from mrsr_tf.errors import InputError

WORKERS = flags.DEFINE_list("workers", ["1", "2", "4"], "Numbers of workers.")
CONVOLUTIONS = flags.DEFINE_integer("convolutions", 10, "Convolutions of the network.")
FILTERS = flags.DEFINE_integer("filters", 32, "Filters of each convolution.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 2, "Patches per step of each worker.")
STEPS = flags.DEFINE_integer("steps", 5, "Steps per round.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds.", lower_bound=1)
PATCH, ECHOES = 32, 2

# Prints the seconds of each round.
WORKER_SCRIPT = """
import sys, time
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
from mrsr_tf.network.architecture import build_model
from mrsr_tf.training import distribution, losses
from mrsr_tf.training.config import TrainingConfig
from mrsr_tf.training.step import TrainingStep, make_optimizer
convolutions, filters, batch, steps, rounds, patch, echoes = map(int, sys.argv[1:])
strategy = distribution.make_strategy()
def batches(**_):
    patches = tf.random.uniform([batch, patch, patch, patch, echoes])
    weights = tf.ones([batch, 1, 1, 1, 1])
    return tf.data.Dataset.from_tensors((patches, patches, weights)).repeat()
with strategy.scope():
    model = build_model(echoes, convolutions=convolutions, filters=filters)
    optimizer = make_optimizer(TrainingConfig(), 10**6)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer)
step = TrainingStep(strategy, model, losses.l2)
iterator = iter(distribution.distribute(strategy, batches))
step(next(iterator))
for _ in range(rounds):
    start = time.perf_counter()
    for _ in range(steps):
        step(next(iterator))
    print(time.perf_counter() - start, flush=True)
"""


def measure() -> list[table.Row]:
    """Trains with each number of workers, one after the other."""
    rates = {int(count): _rates(int(count)) for count in WORKERS.value}
    single = rates.get(1, [])
    return [
        table.Row(
            "training by workers", "patches/s", rate, "linear scaling",
            [count * r for r in single], size=count,
        )
        for count, rate in rates.items()
    ]  # fmt: skip


def _rates(count: int) -> list[float]:
    """Patches per second of all workers together, in each round."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / str(index) for index in range(count)]
        workers = [
            _start_worker(log, core=cores[index % len(cores)], environment=environment)
            for index, (log, environment) in enumerate(zip(logs, _environments(count), strict=True))
        ]
        statuses = [worker.wait() for worker in workers]
        if any(statuses):
            raise InputError(f"expected {count} workers to train, one of them failed")
        seconds = [np.loadtxt(log, ndmin=1) for log in logs]
    return list(map(float, count * BATCH_SIZE.value * STEPS.value / np.mean(seconds, axis=0)))


def _start_worker(log: Path, *, core: int, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    sizes = [CONVOLUTIONS.value, FILTERS.value, BATCH_SIZE.value, STEPS.value, ROUNDS.value]
    arguments = [str(size) for size in (*sizes, PATCH, ECHOES)]
    with log.open("w") as output:
        return subprocess.Popen(
            ["taskset", "--cpu-list", str(core), sys.executable, "-c", WORKER_SCRIPT, *arguments],
            env=environment, stdout=output, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _environments(count: int) -> list[dict[str, str]]:
    """The environment of each worker, with TF_CONFIG if there are several."""
    if count == 1:
        return [dict(os.environ)]
    sockets = [socket.socket() for _ in range(count)]
    for listener in sockets:
        listener.bind(("localhost", 0))
    cluster = {"worker": [f"localhost:{listener.getsockname()[1]}" for listener in sockets]}
    for listener in sockets:
        listener.close()
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    return [
        os.environ | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})} for task in tasks
    ]


if __name__ == "__main__":
    table.run(measure)
