import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from small_runs import logged_scalars

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.network import run_folder
from mrsr_tf.records.manifest import with_checksum
from mrsr_tf.training import initialization
from mrsr_tf.training.config import TrainingConfig
from mrsr_tf.training.trainer import train

CONFIG = TrainingConfig(
    convolutions=3,
    filters=4,
    batch_size=7,
    epochs=2,
    learning_rate=1e-3,
    seed=3,
)


def configured(**changes) -> TrainingConfig:
    return TrainingConfig(**{**vars(CONFIG), **changes})


def weights(run_dir: Path) -> list[np.ndarray]:
    return run_folder.load_network(run_dir).get_weights()


@pytest.fixture(scope="module")
def single_run(small_records, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "single"
    train(CONFIG, small_records("single"), run_dir)
    return run_dir


def test_training_reduces_the_loss_and_finishes_the_run(single_run):
    losses = [float(loss) for _, loss in logged_scalars(single_run)["validation/loss"]]
    assert losses[-1] < losses[0]
    assert (single_run / run_folder.TRAINED).exists()
    assert not (single_run / run_folder.CHECKPOINT).exists()


def test_tensorboard_has_the_curves_and_the_pictures(single_run):
    logged = logged_scalars(single_run)
    assert [step for step, _ in logged["training/loss"]] == list(range(1, 13))
    for name in ("loss", "psnr_echo_1", "ssim_echo_1"):
        network, tci, gain = (
            logged[f"{kind}/{name}"] for kind in ("validation", "validation_tci", "gain_over_tci")
        )
        assert [step for step, _ in network] == [6, 12]
        np.testing.assert_allclose(
            [value for _, value in gain],
            [
                (-1 if name == "loss" else 1) * (value - reference)
                for (_, value), (_, reference) in zip(network, tci, strict=True)
            ],
            atol=1e-4,
        )
    assert len(logged["validation/echo_1"]) == 2


def test_validation_quality_is_that_of_independent_formulas(small_records, single_run):
    from skimage.metrics import structural_similarity

    from mrsr_tf.records import reader

    batches = reader.validation_batches(small_records("single"), 64)
    ((inputs, targets, _),) = list(batches.as_numpy_iterator())
    inputs, targets = np.clip(inputs, 0, 1), np.clip(targets, 0, 1)
    logged = logged_scalars(single_run)
    psnr = 10 * np.log10(1 / np.mean((inputs - targets) ** 2))
    assert logged["validation_tci/psnr_echo_1"][0][1] == pytest.approx(psnr, abs=1e-3)
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    ssim = np.mean(
        [
            structural_similarity(t[..., s, 0], g[..., s, 0], data_range=1, **options)
            for t, g in zip(targets, inputs, strict=True)
            for s in range(12)
        ]
    )
    assert logged["validation_tci/ssim_echo_1"][0][1] == pytest.approx(ssim, abs=1e-4)


def test_a_finished_run_is_left_alone(single_run, small_records):
    before = (single_run / run_folder.TRAINED).stat().st_mtime_ns
    with pytest.raises(AlreadyDone):
        train(CONFIG, small_records("single"), single_run)
    assert (single_run / run_folder.TRAINED).stat().st_mtime_ns == before


def test_another_configuration_names_the_keys(single_run, small_records):
    with pytest.raises(InputError, match=r"learning_rate 0\.001 -> 0\.1"):
        train(configured(learning_rate=0.1), small_records("single"), single_run)
    with pytest.raises(InputError, match=r"contrasts single -> dual"):
        train(CONFIG, small_records("dual"), single_run)


def test_a_loss_that_is_not_finite_stops_with_the_step_and_keeps_the_checkpoint(
    small_records, tmp_path
):
    with pytest.raises(InputError, match=r"loss, got (nan|inf) at step \d+"):
        train(
            configured(learning_rate=1e18, epochs=3),
            small_records("single"),
            tmp_path / "run",
            checkpoint_steps=1,
        )
    kept = run_folder.load_network(tmp_path / "run", checkpoint=True).get_weights()
    assert all(np.isfinite(w).all() for w in kept)


def test_the_run_says_how_it_was_made(single_run, small_records):
    manifest = json.loads((small_records("single") / "manifest.json").read_text())
    assert json.loads((single_run / "manifest.json").read_text()) == manifest
    assert {"python", "tensorflow", "keras"} <= json.loads(
        (single_run / "versions.json").read_text()
    ).keys()
    assert str(small_records("single")) not in "".join(
        path.read_text() for path in single_run.glob("*.json")
    )


def test_flagfile_of_a_run_replays_it(small_records, tmp_path):
    flagfile = Path("flags/demo/single").read_text() + "--epochs=1\n--filters=2\n--seed=9\n"
    (tmp_path / "flagfile").write_text(flagfile)
    command = [sys.executable, "-m", "mrsr_tf.train", f"--records={small_records('single')}"]
    first, again = tmp_path / "first", tmp_path / "again"
    for flags, run_dir in ((tmp_path / "flagfile", first), (first / "flags.txt", again)):
        subprocess.run([*command, f"--flagfile={flags}", f"--run_dir={run_dir}"], check=True)
    assert (first / "flags.txt").read_text() == (again / "flags.txt").read_text()
    for one, other in zip(weights(first), weights(again), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", ["single", "dual"])
def test_paper_flagfiles_have_the_papers_values(name):
    lines = Path(f"flags/paper/{name}").read_text().splitlines()
    values = dict(line[2:].split("=") for line in lines if line.startswith("--"))
    expected = {"convolutions": 20, "filters": 64, "batch_size": 50, "epochs": 10}
    assert {key: int(values[key]) for key in expected} == expected
    assert float(values["learning_rate"]) == 1e-4


def test_loss_is_the_mean_squared_error_and_the_optimizer_adam(small_records, tmp_path):
    """One step of the trainer is one step by hand of Adam on the L2 loss."""
    import tensorflow as tf

    from mrsr_tf.records import reader

    config = configured(batch_size=1000, epochs=1)
    records = small_records("single")
    train(config, records, tmp_path / "run")
    network = initialization.initial_network(config, 1, None)
    ((inputs, targets, _),) = list(reader.training_batches(records, 1000, seed=3, epoch=0))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((network(inputs, training=True) - targets) ** 2)
    gradients = tape.gradient(loss, network.trainable_variables)
    keras.optimizers.Adam(1e-3).apply(gradients, network.trainable_variables)
    for ours, expected in zip(weights(tmp_path / "run"), network.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_training_without_validation_subjects_is_refused(small_records, tmp_path):
    manifest = json.loads((small_records("dual") / "manifest.json").read_text())
    subjects = [s for s in manifest["subjects"] if s["split"] == "train"]
    records = tmp_path / "records"
    records.mkdir()
    for subject in subjects:
        os.link(small_records("dual") / subject["shard"], records / subject["shard"])
    (records / "manifest.json").write_text(
        json.dumps(with_checksum({**manifest, "subjects": subjects}))
    )
    with pytest.raises(InputError, match="expected validation records"):
        train(CONFIG, records, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_records_that_break_while_training_end_it_with_the_readers_words(small_records, tmp_path):
    import shutil

    records = tmp_path / "records"
    shutil.copytree(small_records("single"), records)
    shard = records / "train-00000-of-00002.tfrecord"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    shard.write_bytes(content)
    with pytest.raises(InputError, match=r"expected a whole record, .* record \d+ of .*tfrecord"):
        train(CONFIG, records, tmp_path / "run")
