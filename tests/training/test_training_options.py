"""Each option of training does what it says; the paper's training has none of them."""

import json
import resource
import subprocess
import sys

import numpy as np
import pytest
from small_runs import logged_scalars
from small_scans import knee, write_subject
from training_process import SETTINGS

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.network.trained_model import load_model
from mrsr_tf.training.config import TrainingConfig
from mrsr_tf.training.step import make_optimizer
from mrsr_tf.training.trainer import train


def configured(**changes):
    return TrainingConfig(**SETTINGS | {"batch_size": 12, "epochs": 1} | changes)


def trained(records, run_dir, options=None, **changes):
    train(configured(**changes), records, run_dir, **options or {})
    return run_folder.load_network(run_dir)


@pytest.fixture(scope="module")
def plain(small_records, tmp_path_factory):
    return trained(small_records("dual"), tmp_path_factory.mktemp("plain") / "run")


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "l1"},
        {"loss": "ssim_l1"},
        {"t2_weight": 0.1},
        {"gain": 0.2},
        {"flips": True},
        {"foreground": 0.5},
        {"schedule": "cosine"},
        {"ema": 0.9},
    ],
)
def test_an_option_changes_the_weights_and_is_kept_in_the_run(
    small_records, plain, tmp_path, changes
):
    network = trained(small_records("dual"), tmp_path / "run", **changes)
    pairs = zip(network.get_weights(), plain.get_weights(), strict=True)
    assert max(np.abs(one - other).max() for one, other in pairs) > 1e-5
    kept = json.loads((tmp_path / "run" / "configuration.json").read_text())
    assert kept | changes == kept


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_keeps_weights_sum_and_loss_in_float32(
    small_records, plain, tmp_path, precision
):
    network = trained(small_records("dual"), tmp_path / "run", precision=precision)
    assert network.layers[1].compute_dtype == precision
    assert network.output.dtype == "float32"
    assert {w.dtype for w in network.weights} == {"float32"}
    for one, other in zip(network.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=5e-3)


def test_learning_rates_are_those_of_the_schedule():
    def rates(**options):
        rate = make_optimizer(configured(**options), 10)._learning_rate
        return [float(rate(step)) for step in range(11)]

    np.testing.assert_allclose(
        rates(schedule="cosine"),
        [5e-4 * (1 + np.cos(np.pi * n / 10)) for n in range(11)],
        atol=1e-9,
    )
    warm = rates(warmup_steps=4)
    np.testing.assert_allclose(warm[:4], np.linspace(1e-5, 1e-3, 5)[:4], rtol=1e-5)
    np.testing.assert_allclose(warm[4:], 1e-3, rtol=1e-6)
    assert float(make_optimizer(configured(), 10).learning_rate) == pytest.approx(1e-3)


def test_the_best_epoch_is_a_run_of_its_own(small_records, tmp_path):
    trained(small_records("dual"), tmp_path / "run", epochs=3, best_by="ssim")
    logged = logged_scalars(tmp_path / "run")
    by_epoch = np.mean(
        [[value for _, value in logged[f"validation/ssim_echo_{echo}"]] for echo in (1, 2)], axis=0
    )
    best = run_folder.read_best_epoch(tmp_path / "run" / "best")
    assert best["epoch"] == by_epoch.argmax() + 1
    assert best["value"] == pytest.approx(by_epoch.max(), abs=1e-6)
    assert load_model(tmp_path / "run" / "best").slice_factor == 2


def test_t2_of_the_probe_is_logged_and_shown(small_records, tmp_path):
    subject = write_subject(tmp_path / "knee", *knee())
    options = {"t2_probe": subject}
    trained(small_records("dual"), tmp_path / "run", options, best_by="t2")
    logged = logged_scalars(tmp_path / "run")
    (_, error), (_, tci) = (
        logged[f"{kind}/t2_error_ms"][0] for kind in ("validation", "validation_tci")
    )
    assert 0 < error < 50
    assert 0 < tci < 10
    assert "validation/t2" in logged
    assert run_folder.read_best_epoch(tmp_path / "run" / "best")["value"] == pytest.approx(
        error, rel=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "contrasts", "needed"),
    [
        ({"t2_weight": 0.1}, "single", "records of two contrasts"),
        ({"best_by": "t2"}, "dual", "t2_probe"),
    ],
)
def test_what_cannot_go_together_is_refused_and_nothing_made(
    small_records, tmp_path, changes, contrasts, needed
):
    with pytest.raises(InputError, match=f"expected with --.*{needed}"):
        trained(small_records(contrasts), tmp_path / "run", **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--best_by=t2"], "expected with --best_by=t2 also t2_probe"),
        (
            ["--init_from={0}/gone"],
            "expected for --init_from pretrained or pretrained-paper, or a folder, found none: "
            "{0}/gone",
        ),
        (["--records={0}/gone"], "expected finished records, found no manifest.json in {0}/gone"),
        (["--space_to_depth=2,2"], "expected --space_to_depth=ROWS,COLUMNS,SLICES, got 2,2"),
    ],
)
def test_what_cannot_work_is_refused_before_tensorflow_loads(
    small_records, tmp_path, flags, message
):
    arguments = [f"--records={small_records('dual')}", f"--run_dir={tmp_path}/run"]
    arguments += [flag.format(tmp_path) for flag in flags]
    code = (
        f"import runpy, sys; sys.argv = ['train', *{arguments}]\n"
        "try: runpy.run_module('mrsr_tf.train', run_name='__main__', alter_sys=True)\n"
        "except SystemExit as end: print(end.code, 'tensorflow' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "1 False\n"
    assert result.stderr.startswith("error: " + message.format(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_records_of_two_factors_train_one_network_for_both(small_records, tmp_path):
    both = [small_records("dual", slice_factor=3), small_records("dual")]
    trained(both, tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "configuration.json").read_text())
    assert kept["slice_factors"] == [2, 3]
    assert len(logged_scalars(tmp_path / "run")["training/loss"]) == 72 / 12
    assert load_model(tmp_path / "run").slice_factor == 2
    assert load_model(tmp_path / "run", slice_factor=3).slice_factor == 3


def test_a_full_disk_is_an_error_and_leaves_the_last_checkpoint(
    small_records, tmp_path, monkeypatch
):
    """A limit on the size of files stands in for the disk."""
    save, limits = run_folder.save_checkpoint, resource.getrlimit(resource.RLIMIT_FSIZE)

    def save_and_fill_the_disk(*arguments):
        save(*arguments)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))

    monkeypatch.setattr(run_folder, "save_checkpoint", save_and_fill_the_disk)
    run_dir = tmp_path / "run"
    try:
        with pytest.raises(OSError, match=r"File too large|errno = 27"):
            trained(small_records("dual"), run_dir, {"checkpoint_steps": 1})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    kept = run_folder.load_network(run_dir, checkpoint=True)
    assert int(kept.optimizer.iterations.numpy()) == 1
    assert not list(run_dir.glob("partial*"))
