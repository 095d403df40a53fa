"""Patches per second of one training on one, two and more machines, each a process with one core.

    python -m benchmarks.replicas
    python -m benchmarks.replicas --workers=1,2 --convolutions=4 --filters=8

The workers talk over the loopback. Beside each count stands what one worker does, times the count:
linear growth. Where there are more workers than cores, they share these, and it ends.
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

WORKERS = flags.DEFINE_list("workers", ["1", "2", "4"], "How many, of each point of the curve.")
CONVOLUTIONS = flags.DEFINE_integer("convolutions", 10, "Of the network.")
FILTERS = flags.DEFINE_integer("filters", 32, "Of the network.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 2, "Patches of each worker's step.")
STEPS = flags.DEFINE_integer("steps", 5, "Per round.", lower_bound=1)
ROUNDS = flags.DEFINE_integer("rounds", 3, "That are timed.", lower_bound=1)
PATCH, ECHOES = 32, 2

# Prints the seconds of each round.
WORKER = """
import sys, time
import tensorflow as tf
tf.config.threading.set_intra_op_parallelism_threads(1)
from mrsr_tf import losses, strategies
from mrsr_tf.network.architecture import build_model
from mrsr_tf.training.step import Step, make_optimizer
convolutions, filters, batch, steps, rounds, patch, echoes = map(int, sys.argv[1:])
devices = strategies.make_strategy()
def batches(replicas, workers, index):
    one = tf.random.uniform([batch, patch, patch, patch, echoes])
    weights = tf.ones([batch, 1, 1, 1, 1])
    return tf.data.Dataset.from_tensors((one, one, weights)).repeat()
with devices.scope():
    model = build_model(echoes, convolutions=convolutions, filters=filters)
    optimizer = make_optimizer(1e-4, 10**6)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer)
step = Step(devices, model, losses.l2)
given = iter(strategies.distribute(devices, batches))
step(next(given))
for _ in range(rounds):
    start = time.perf_counter()
    for _ in range(steps):
        step(next(given))
    print(time.perf_counter() - start, flush=True)
"""


def measure() -> list[table.Row]:
    """Trains with each count of workers, one count after the other."""
    rates = {int(count): _rates(int(count)) for count in WORKERS.value}
    one = rates.get(1, [])
    return [
        table.Row(
            "training by workers", "patches/s", rate, "linear", [count * r for r in one], at=count
        )
        for count, rate in rates.items()
    ]


def _rates(count: int) -> list[float]:
    """Patches per second of all workers together, in each round."""
    sizes = [CONVOLUTIONS.value, FILTERS.value, BATCH_SIZE.value, STEPS.value, ROUNDS.value]
    arguments = [str(size) for size in (*sizes, PATCH, ECHOES)]
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder) / str(index) for index in range(count)]
        workers = []
        for index, environment in enumerate(_environments(count)):
            core = cores[index % len(cores)]
            with logs[index].open("w") as log:
                workers.append(
                    subprocess.Popen(
                        ["taskset", "--cpu-list", str(core), sys.executable, "-c", WORKER,
                         *arguments],
                        env=environment, stdout=log, stderr=subprocess.DEVNULL,
                    )
                )  # fmt: skip
        ended = [worker.wait() for worker in workers]
        if any(ended):
            raise InputError(f"expected {count} workers to train, one of them failed")
        seconds = [np.loadtxt(log, ndmin=1) for log in logs]
    return list(map(float, count * BATCH_SIZE.value * STEPS.value / np.mean(seconds, axis=0)))


def _environments(count: int) -> list[dict[str, str]]:
    """Of each worker, with TF_CONFIG where there are several."""
    if count == 1:
        return [dict(os.environ)]
    sockets = [socket.socket() for _ in range(count)]
    for listener in sockets:
        listener.bind(("localhost", 0))
    cluster = {"worker": [f"localhost:{listener.getsockname()[1]}" for listener in sockets]}
    for listener in sockets:
        listener.close()
    return [
        os.environ
        | {
            "TF_CONFIG": json.dumps(
                {"cluster": cluster, "task": {"type": "worker", "index": index}}
            )
        }
        for index in range(count)
    ]


if __name__ == "__main__":
    table.run(measure)
