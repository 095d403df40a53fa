"""What a training tells early: a look at examples, and a network that died."""

import numpy as np
import pytest
import tensorflow as tf
from absl import logging
from small_runs import logged_scalars

from mrsr_tf.network.architecture import build_model, convolution_layers
from mrsr_tf.training.monitor import Watch

TCI = {"loss": 1.0, "psnr_echo_1": 30.0, "psnr_echo_2": 30.0}


class FixedQuality:
    """Stands in for the validation records."""

    def of(self, estimate):
        return lambda: dict(TCI)


def watched(folder, **options):
    """A watch of a network that has taken no step, and the network."""
    truth = np.random.default_rng(0).uniform(0.2, 0.8, (4, 6, 6, 6, 2)).astype(np.float32)
    network = build_model(2, convolutions=3, filters=4)
    network.compile("adam")
    network.optimizer.build(network.trainable_variables)
    sizes = {"batch_size": 2, "steps_per_epoch": 1000, "steps": 1000}
    watch = Watch(folder / "logs", FixedQuality(), (truth + 0.1, truth), **sizes, **options)
    watch.set_model(network)
    watch.on_train_begin()
    watch.on_epoch_begin(0)
    return watch, network


@pytest.fixture
def warnings(monkeypatch):
    said = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: said.append(text % values))
    return said


def take_steps(watch, network, steps):
    for step in steps:
        network.optimizer.iterations.assign(step)
        watch.on_train_batch_end(step, {"loss": 0.5})
    watch.flush()


def bias_alone(network, value):
    """The network adds a constant, as one does whose hidden units are all dead."""
    weights = [np.zeros_like(w) for w in network.get_weights()]
    weights[-1] += value
    network.set_weights(weights)


def test_the_gain_is_told_at_steps_that_double_long_before_the_first_epoch_ends(
    warnings, capsys, tmp_path
):
    watch, network = watched(tmp_path)
    bias_alone(network, -0.05)
    take_steps(watch, network, range(1, 120))
    logged = logged_scalars(tmp_path)["gain_over_tci/psnr_of_examples"]
    assert [step for step, _ in logged] == [25, 50, 100]
    # The input is off by 0.1, the output by half of it: a factor of two is 6.02 dB.
    assert [float(gain) for _, gain in logged] == pytest.approx([6.02] * 3, abs=0.01)
    assert "step 100 of 1000: +6.02 dB over TCI on 4 validation patches" in capsys.readouterr().out


@pytest.mark.parametrize("value", [0.0, 1e-4])
def test_a_dead_network_is_told_with_what_to_do(warnings, tmp_path, value):
    watch, network = watched(tmp_path)
    bias_alone(network, value)
    take_steps(watch, network, [24, 25])
    assert len(warnings) == 1
    assert "after 25 steps the network gives back its input" in warnings[0]
    assert "--learning_rate" in warnings[0]
    assert "--warmup_steps" in warnings[0]


def test_a_network_that_learns_is_not_called_dead(warnings, tmp_path):
    watch, network = watched(tmp_path)
    convolution_layers(network)[-1].kernel.assign(tf.random.normal([3, 3, 3, 4, 2], stddev=1e-3))
    take_steps(watch, network, [25])
    assert warnings == []


@pytest.mark.parametrize("last", [3, 9])
def test_profiled_steps_leave_a_trace_for_tensorboard_also_when_the_run_ends_before(tmp_path, last):
    watch, network = watched(tmp_path, profile_steps=(2, last))
    take_steps(watch, network, [1, 2, 3, 4])
    watch.on_train_end()
    (trace,) = (tmp_path / "logs" / "plugins" / "profile").rglob("*.xplane.pb")
    assert trace.stat().st_size > 0


def test_a_run_resumed_within_the_profiled_steps_goes_on_without_a_trace(tmp_path):
    watch, network = watched(tmp_path, profile_steps=(2, 4))
    take_steps(watch, network, [3, 4, 5])
    watch.on_train_end()
    assert not (tmp_path / "logs" / "plugins").exists()
