"""The same training on one device, on four, on two workers; and through a killed process."""

import json
import os
import random
import time

import numpy as np
import pytest
from small_runs import logged_scalars
from training_process import finish, start, workers

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.network.run_folder import read_best_epoch
from mrsr_tf.training import distribution
from mrsr_tf.training.config import Strategy

OPTIONS = {"ema": 0.9, "flips": True, "gain": 0.2, "schedule": "cosine", "warmup_steps": 3}
# The paper's batch, and ten steps: 96 records are batches of 50 and 46 in each of five epochs.
TEN_STEPS = OPTIONS | {"batch_size": 50, "epochs": 5, "foreground": 0.5}
KILLS = int(os.environ.get("MRSR_KILLS", "3"))


def weights(run_dir):
    return run_folder.load_network(run_dir).get_weights()


def assert_same_training(one, other):
    for expected, found in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    expected, found = logged_scalars(one), logged_scalars(other)
    for name in ("training/loss", "validation/loss", "validation/psnr_echo_2"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)


@pytest.fixture(scope="module")
def records(small_records):
    return small_records("dual", stride=6)


@pytest.fixture(scope="module")
def one_device(records, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("one") / "run"
    assert finish(start(records, run_dir, settings=TEN_STEPS)) == [(0, "")]
    assert len(logged_scalars(run_dir)["training/loss"]) == 10
    return run_dir


@pytest.mark.slow
def test_four_replicas_train_as_one_device(records, one_device, tmp_path):
    """Batches filled up from 50 to 52 and from 46 to 48."""
    process = start(records, tmp_path / "run", replicas=4, settings=TEN_STEPS)
    assert finish(process) == [(0, "")]
    assert_same_training(one_device, tmp_path / "run")


@pytest.mark.slow
def test_two_workers_train_as_one_device_after_one_was_lost(records, one_device, tmp_path):
    """One is killed after the first checkpoint; the other stops with one line; both resume."""
    options = {"settings": TEN_STEPS, "checkpoint_steps": 1}
    arguments = (records, tmp_path / "run")
    chief, lost = (start(*arguments, worker=worker, **options) for worker in workers(2))
    while not (tmp_path / "run" / run_folder.CHECKPOINT).exists():
        time.sleep(0.02)
        assert chief.poll() is None
    lost.kill()
    ((code, message),) = finish(chief)
    finish(lost)
    assert code == 1
    assert message.startswith("error: expected all workers to keep running, lost one")
    again = [start(*arguments, worker=worker, **options) for worker in workers(2)]
    assert finish(*again) == [(0, ""), (0, "")]
    assert_same_training(one_device, tmp_path / "run")


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_bits(small_records, tmp_path):
    """Kill -9 MRSR_KILLS times, each a random time after a new checkpoint; then it may end."""
    steps = 24 * KILLS
    options = {
        "settings": OPTIONS | {"batch_size": 7, "epochs": steps // 6},
        "checkpoint_steps": 4,
        "deterministic": True,
    }
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    records, chance = small_records("dual"), random.Random(5)
    undisturbed = start(records, whole, **options)
    for _ in range(KILLS):
        before = saved(killed)
        process = start(records, killed, **options)
        while saved(killed) == before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.5))
        process.kill()
        finish(process)
    assert finish(start(records, killed, **options), undisturbed) == [(0, ""), (0, "")]
    for expected, found in zip(weights(whole), weights(killed), strict=True):
        np.testing.assert_array_equal(found, expected)
    expected, found = logged_scalars(whole), logged_scalars(killed)
    assert [step for step, _ in found["training/loss"]] == list(range(1, steps + 1))
    for name in ("training/loss", "validation/loss", "validation/psnr_echo_1"):
        assert found[name] == expected[name]
    assert read_best_epoch(killed / "best") == read_best_epoch(whole / "best")


def saved(run_dir) -> int:
    path = run_dir / run_folder.CHECKPOINT
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.parametrize("name", [Strategy.AUTO, Strategy.ONE, Strategy.MIRRORED])
def test_one_cpu_is_one_device_by_any_name(name):
    devices = distribution.make_strategy(name)
    assert devices.num_replicas_in_sync == 1
    assert distribution.is_chief(devices)


def test_several_workers_that_the_environment_does_not_name_are_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(InputError, match="expected TF_CONFIG or SLURM"):
        distribution.make_strategy(Strategy.MULTI_WORKER)


def test_slurms_environment_names_the_workers(monkeypatch):
    slurm = {
        "SLURM_PROCID": "3",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NODELIST": "knee[07-08]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    }
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    cluster = distribution.cluster_from_environment()
    assert cluster.cluster_spec().as_dict() == {
        "worker": [
            f"knee{n}:{distribution.SLURM_PORT + task}" for n in ("07", "08") for task in (0, 1)
        ]
    }
    assert (cluster.task_type, cluster.task_id) == ("worker", 3)


def test_tf_config_names_the_workers(monkeypatch):
    worker = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(worker))
    assert distribution.cluster_from_environment().task_id == 1
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert distribution.cluster_from_environment() is None
