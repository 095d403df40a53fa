"""What a training starts from: random weights, or any network that can be loaded."""

import json
from pathlib import Path

import numpy as np
import pytest
from small_runs import logged_scalars, make_run

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder, weights_file
from mrsr_tf.network.architecture import architecture_of
from mrsr_tf.network.trained_model import load_model
from mrsr_tf.network.transfer import to_dual_contrast
from mrsr_tf.records import reader
from mrsr_tf.training import trainer
from mrsr_tf.training.checkpoints import CheckpointSaver
from mrsr_tf.training.config import BestBy, TrainingConfig
from mrsr_tf.training.initialization import initial_network
from mrsr_tf.training.step import make_optimizer
from mrsr_tf.training.trainer import train
from mrsr_tf.training.validation import Quality

NAME = weights_file.PRETRAINED
SHIPS = pytest.mark.skipif(
    not weights_file.FOLDER.exists(), reason="a source tree without the shipped weights"
)
CONFIG = TrainingConfig(batch_size=12, epochs=1)


def finetuning(**changes) -> TrainingConfig:
    """The settings of the flagfile for fine-tuning."""
    lines = Path("flags/finetune").read_text().splitlines()
    values = dict(line[2:].partition("=")[::2] for line in lines if line.startswith("--"))
    defaults = {name: default for name, default in vars(CONFIG).items() if name in values}
    settings = {name: type(default)(values[name] or True) for name, default in defaults.items()}
    return TrainingConfig(**settings | changes)


def assert_same_weights(network, other):
    for one, expected in zip(network.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.fixture(scope="module")
def single_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("single") / "run", echoes=1)


@pytest.fixture(scope="module")
def dual_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("dual") / "run")


def test_without_another_network_the_seed_decides_the_weights_and_the_paper_the_architecture():
    small = {"convolutions": 3, "filters": 4}
    one, same, other = (
        initial_network(TrainingConfig(seed=seed, **small), 2, None) for seed in (1, 1, 2)
    )
    assert_same_weights(one, same)
    assert np.abs(one.get_weights()[0] - other.get_weights()[0]).max() > 0
    paper = {"echoes": 2, "convolutions": 20, "filters": 64, "space_to_depth": (1, 1, 1)}
    assert architecture_of(initial_network(CONFIG, 2, None)) == paper


@pytest.mark.parametrize("plain_repeat", [False, True])
def test_two_echoes_start_from_the_transferred_network_of_one(single_run, plain_repeat):
    start = initial_network(TrainingConfig(plain_repeat=plain_repeat), 2, single_run)
    single = run_folder.load_network(single_run)
    assert_same_weights(start, to_dual_contrast(single, plain_repeat=plain_repeat))


@pytest.mark.parametrize("form", ["run", "export", "weights"])
def test_a_run_and_both_forms_of_its_export_give_weights_and_architecture(dual_run, tmp_path, form):
    model = load_model(dual_run)
    if form == "export":
        model.export(tmp_path)
    if form == "weights":
        model = model.to_float16()
        model.export_weights(tmp_path)
    start = initial_network(CONFIG, 2, dual_run if form == "run" else tmp_path)
    assert_same_weights(start, model.keras_model())


@SHIPS
@pytest.mark.parametrize("name", weights_file.SHIPPED)
@pytest.mark.parametrize("echoes", [1, 2])
def test_shipped_networks_are_that_of_the_records_number_of_echoes(name, echoes):
    start = initial_network(CONFIG, echoes, name)
    assert_same_weights(start, load_model(name).for_echoes(echoes).keras_model())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"filters": 5}, "--filters=4 or none, .*, got 5"),
        ({"convolutions": 4}, "--convolutions=3 or none, .*, got 4"),
        ({"space_to_depth": (2, 2, 2)}, "--space_to_depth=1,1,1 or none, .*, got 2,2,2"),
    ],
)
def test_a_contradicting_architecture_names_its_flag_and_nothing_is_made(
    small_records, single_run, tmp_path, changes, expected
):
    with pytest.raises(InputError, match=f"expected {expected}: {single_run}"):
        train(
            TrainingConfig(**changes), small_records("dual"), tmp_path / "run", init_from=single_run
        )
    assert list(tmp_path.iterdir()) == []


def test_records_of_one_contrast_cannot_fine_tune_a_network_of_two(dual_run):
    with pytest.raises(InputError, match=f"expected records of two contrasts.*one: {dual_run}"):
        initial_network(CONFIG, 1, dual_run)


@pytest.fixture(scope="module")
def finetuned_run(small_records, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("finetuned") / "run"
    train(finetuning(epochs=1, batch_size=36), small_records("dual"), run_dir, init_from=NAME)
    return run_dir


@SHIPS
def test_the_first_validation_is_that_of_the_shipped_network(small_records, finetuned_run):
    network = load_model(NAME).keras_model()
    batches = reader.validation_batches(small_records("dual"), 1000)
    ((inputs, targets, _),) = list(batches.as_numpy_iterator())
    error = (np.clip(network(inputs), 0, 1) - np.clip(targets, 0, 1)) ** 2
    logged = logged_scalars(finetuned_run)
    for echo in (1, 2):
        psnr = 10 * np.log10(1 / error[..., echo - 1].mean())
        (step, first), _ = logged[f"validation/psnr_echo_{echo}"]
        assert (step, float(first)) == (0, pytest.approx(psnr, abs=1e-3))


def test_an_interruption_before_the_first_checkpoint_logs_the_start_only_once(
    small_records, dual_run, tmp_path, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    arguments = (CONFIG, small_records("dual"), tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(trainer, "fit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(*arguments, init_from=dual_run)
    train(*arguments, init_from=dual_run)
    losses = logged_scalars(tmp_path / "run")["validation/loss"]
    assert [step for step, _ in losses] == [0, 3]


@pytest.mark.parametrize(("psnr_after_epoch", "best"), [(29.9, 0), (30.1, 1)])
def test_the_start_is_kept_as_the_best_unless_an_epoch_is_better(tmp_path, psnr_after_epoch, best):
    run_dir = make_run(tmp_path / "run")
    network = run_folder.load_network(run_dir)
    saver = CheckpointSaver(network, run_dir, 1, BestBy.PSNR)
    saver.save_if_best(0, Quality({"psnr_echo_1": 30.0}))
    network.set_weights([weights + 1 for weights in network.get_weights()])
    saver.save_if_best(1, Quality({"psnr_echo_1": psnr_after_epoch}))
    assert run_folder.read_best_epoch(run_dir / "best")["epoch"] == best
    kept = network if best else run_folder.load_network(run_dir)
    assert_same_weights(run_folder.load_network(run_dir / "best"), kept)


@SHIPS
def test_a_run_names_the_architecture_and_weights_that_it_started_from(finetuned_run):
    configuration = json.loads((finetuned_run / "configuration.json").read_text())
    expected = {
        "convolutions": 9,
        "filters": 96,
        "space_to_depth": "2x2x2",
        "first_weights_sha256": load_model(NAME).weights_sha256,
    }
    assert configuration | expected == configuration


def test_fine_tuning_takes_small_steps_that_begin_and_end_near_zero():
    rate = make_optimizer(finetuning(), 400)._learning_rate
    assert float(rate(0)) == pytest.approx(2e-6)
    assert float(rate(50)) == pytest.approx(2e-4)
    assert float(rate(400)) == pytest.approx(0, abs=1e-10)
