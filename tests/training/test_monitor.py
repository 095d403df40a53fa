"""What the monitor shows early: the gain on some examples, and a network that died."""

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from small_runs import logged_scalars

from mrsr_tf.network.architecture import build_model, convolution_layers
from mrsr_tf.training.monitor import TrainingMonitor
from mrsr_tf.training.validation import Quality

TCI = Quality({"loss": 1.0, "psnr_echo_1": 30.0, "psnr_echo_2": 30.0})


def start_monitor(folder):
    """A monitor of a network that has taken no step, and the network."""
    targets = np.random.default_rng(0).uniform(0.2, 0.8, (4, 6, 6, 6, 2)).astype(np.float32)
    network = build_model(2, convolutions=3, filters=4)
    network.compile("adam")
    network.optimizer.build(network.trainable_variables)
    settings = {"batch_size": 2, "steps_per_epoch": 1000, "steps": 1000, "configuration": {}}
    monitor = TrainingMonitor(network, folder / "logs", (targets + 0.1, targets), TCI, **settings)
    monitor.start_epoch()
    return monitor, network


@pytest.fixture
def warnings(monkeypatch):
    messages = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: messages.append(text % values))
    return messages


def take_steps(monitor, network, steps):
    for step in steps:
        network.optimizer.iterations.assign(step)
        monitor.log_step(0.5)
    monitor.flush()


def set_bias_only(network, value):
    """The network adds a constant, as one does whose hidden units are all dead."""
    weights = [np.zeros_like(w) for w in network.get_weights()]
    weights[-1] += value
    network.set_weights(weights)


def test_the_gain_is_logged_at_steps_that_double_long_before_the_first_epoch_ends(
    warnings, capsys, tmp_path
):
    monitor, network = start_monitor(tmp_path)
    set_bias_only(network, -0.05)
    take_steps(monitor, network, range(1, 120))
    logged = logged_scalars(tmp_path)["gain_over_tci/psnr_of_examples"]
    assert [step for step, _ in logged] == [25, 50, 100]
    # The input is off by 0.1, the output by half of it: a factor of two is 6.02 dB.
    assert [float(gain) for _, gain in logged] == pytest.approx([6.02] * 3, abs=0.01)
    assert "step 100 of 1000: +6.02 dB over TCI on 4 validation patches" in capsys.readouterr().out


@pytest.mark.parametrize("value", [0.0, 1e-4])
def test_a_dead_network_is_reported_with_what_to_do(warnings, tmp_path, value):
    monitor, network = start_monitor(tmp_path)
    set_bias_only(network, value)
    take_steps(monitor, network, [24, 25])
    assert len(warnings) == 1
    assert "after 25 steps the network returns its input" in warnings[0]
    assert "--learning_rate" in warnings[0]
    assert "--warmup_steps" in warnings[0]


def test_a_network_that_learns_is_not_called_dead(warnings, tmp_path):
    monitor, network = start_monitor(tmp_path)
    convolution_layers(network)[-1].kernel.assign(tf.random.normal([3, 3, 3, 4, 2], stddev=1e-3))
    take_steps(monitor, network, [25])
    assert warnings == []
