"""Trains a small network in a separate process: on devices, among workers, or to be killed."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

# argv: records, run folder, number of logical CPUs, JSON of settings and of `train`'s options
SCRIPT = """
import json, sys
from pathlib import Path
import tensorflow as tf
from mrsr_tf.cli import run
from mrsr_tf.training.config import TrainingConfig
from mrsr_tf.training.trainer import train
records, run_dir, replicas, settings, options = sys.argv[1:]
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * int(replicas),
)
config = TrainingConfig(**json.loads(settings))
options = json.loads(options)
sys.argv[1:] = []
run(lambda: train(config, Path(records), Path(run_dir), **options))
"""
SETTINGS = {
    "convolutions": 3,
    "filters": 4,
    "batch_size": 25,
    "epochs": 3,
    "learning_rate": 1e-3,
    "seed": 3,
}


def start(
    records: Path, run_dir: Path, *, replicas: int = 1, worker: dict | None = None,
    settings: dict | None = None, **options,
) -> subprocess.Popen:  # fmt: skip
    """Starts a training; `worker` is TF_CONFIG, `options` are arguments of `train`."""
    environment = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"}
    if worker:
        environment["TF_CONFIG"] = json.dumps(worker)
    arguments = [records, run_dir, replicas, json.dumps(SETTINGS | (settings or {}))]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments), json.dumps(options)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def workers(count: int) -> list[dict]:
    """Returns TF_CONFIG for each of `count` workers on this machine."""
    sockets = [socket.socket() for _ in range(count)]
    for listener in sockets:
        listener.bind(("localhost", 0))
    addresses = [f"localhost:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    cluster = {"worker": addresses}
    return [
        {"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(count)
    ]


def finish(*processes: subprocess.Popen, timeout: float = 900) -> list[tuple[int, str]]:
    """Returns the exit code of each process and, if it failed, its last line on stderr."""
    results = []
    for process in processes:
        _, stderr = process.communicate(timeout=timeout)
        last = stderr.strip().splitlines()[-1] if process.returncode else ""
        results.append((process.returncode, last))
    return results
