"""A run folder: what one training was made from and what it gave; and any trained network's load.

RUN_DIR/
  configuration.json   what decides the weights: network, training settings, records
  manifest.json        how the records were made, copied from them
  flags.txt            replays the training: --flagfile=RUN_DIR/flags.txt
  versions.json        of everything that computes, and the source's state in git where it has one
  checkpoint.keras     network and optimizer, as of the last checkpoint
  model.keras          the trained network; it stands here only when training is finished
  best/                the epoch with the best validation quality, a run folder in itself;
                       best.json says which epoch and how good
  logs/                for TensorBoard
"""

import json
import platform
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import scipy
import tensorflow as tf

import mrsr_tf
from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.network import weights_file
from mrsr_tf.network.architecture import convolution_layers, fold_of
from mrsr_tf.network.saved_model import TrainedModel, check_trained_for, first_slice_of, load_export
from mrsr_tf.network.streaming import SuperResolver
from mrsr_tf.outputs import (
    CONFIGURATION,
    check_configuration,
    held,
    output_file,
    read_configuration,
    remove,
    write_json,
)

CHECKPOINT, TRAINED = "checkpoint.keras", "model.keras"
BEST, BEST_FACTS = "best", "best.json"
MANIFEST, VERSIONS, FLAGS = "manifest.json", "versions.json", "flags.txt"
COMPUTING = (mrsr_tf, tf, keras, np, scipy)


def check_run(run_dir: Path, configuration: Mapping[str, Any]) -> bool:
    """Whether an unfinished run of this configuration is there.

    Raises:
        AlreadyDone: the run is finished.
        InputError: the folder holds a run of another configuration, or something else.
    """
    if not run_dir.exists() or not any(run_dir.iterdir()):
        return False
    check_configuration(run_dir, read_configuration(run_dir), configuration)
    if (run_dir / TRAINED).exists():
        raise AlreadyDone(f"{run_dir} is trained: nothing to do (--overwrite trains anew)")
    return True


@contextmanager
def open_run(
    run_dir: Path,
    configuration: Mapping[str, Any],
    manifest: Mapping[str, Any],
    flagfile: str,
    *,
    overwrite: bool,
) -> Iterator[None]:
    """Makes the run folder, or finds there an unfinished run of the same configuration.

    Within the block no other process can open it.

    Raises:
        AlreadyDone: the run is finished.
        InputError: the folder holds a run of another configuration, or something else, or another
            process is at work on it.
    """
    if overwrite and run_dir.exists():
        with held(run_dir):  # nobody trains what is removed
            remove(run_dir)
    found = check_run(run_dir, configuration)
    folder = run_dir if found else run_dir.with_name(run_dir.name + ".partial")
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder):
        if not found:
            write_json(folder / MANIFEST, manifest)
            write_json(folder / VERSIONS, _versions())
            (folder / FLAGS).write_text(flagfile, encoding="utf-8")
            write_json(folder / CONFIGURATION, configuration)
            # Made aside: whatever interrupts this, a run folder tells what run it is.
            folder.rename(run_dir)
        yield


def save_checkpoint(model: keras.Model, run_dir: Path) -> None:
    """Replaces the last checkpoint by the network and optimizer as they are now."""
    with output_file(run_dir / CHECKPOINT) as partial:
        model.save(partial)


def finish(model: keras.Model, run_dir: Path) -> None:
    """Saves the trained network and drops the checkpoint: the run is finished."""
    with output_file(run_dir / TRAINED) as partial:
        model.save(partial, include_optimizer=False)
    (run_dir / CHECKPOINT).unlink(missing_ok=True)


def read_best(run_dir: Path) -> Mapping[str, Any] | None:
    """What `keep_best` was last told; None before that."""
    path = run_dir / BEST / BEST_FACTS
    return _read_json(path) if path.exists() else None


def keep_best(model: keras.Model, run_dir: Path, facts: Mapping[str, Any]) -> None:
    """Keeps the network as it is now as the best one, beside the last."""
    best = run_dir / BEST
    best.mkdir(exist_ok=True)
    for name in (MANIFEST, VERSIONS, FLAGS, CONFIGURATION):
        shutil.copyfile(run_dir / name, best / name)
    with output_file(best / TRAINED) as partial:
        model.save(partial, include_optimizer=False)
    write_json(best / BEST_FACTS, facts)


def load_network(run_dir: str | Path, *, checkpoint: bool = False) -> keras.Model:
    """The Keras network of a finished run, or of an unfinished one's last checkpoint.

    Raises:
        InputError: no such file, or it is not a network that this package trained.
    """
    path = Path(run_dir) / (CHECKPOINT if checkpoint else TRAINED)
    if not path.exists():
        unfinished = (Path(run_dir) / CONFIGURATION).exists()
        found = "one whose training is unfinished" if unfinished else "none there"
        raise InputError(
            "expected the folder of a finished training run (or "
            f"{' or '.join(weights_file.NETWORKS)}, which ship), found {found}: {run_dir}"
        )
    try:
        model = keras.models.load_model(path, compile=checkpoint)
    except Exception as error:  # Keras lets through whatever its readers raise
        raise InputError(
            f"expected a trained network, could not read it ({error}): {path}"
        ) from error
    if not convolution_layers(model):
        raise InputError(f"expected a network of 3-D convolutions, found none in it: {path}")
    return model


def load(path: str | Path, *, slice_factor: int | None = None) -> TrainedModel:
    """Loads the network of a finished training run or of an exported folder.

    Args:
        path: RUN_DIR, EXPORT_DIR, or a name of `shipped.NETWORKS`, which come with the package.
        slice_factor: what the model is wanted for, one of those that it was trained for; None takes
            its only one, or 2 if that is among them, or the first of its records.

    Raises:
        InputError: there is no trained network, it cannot be read, or it was trained for another
            factor.
    """
    if str(path) in weights_file.NETWORKS:
        return weights_file.pretrained(str(path), slice_factor)
    folder, read = Path(path), _load_run
    if (folder / weights_file.WEIGHTS).exists():
        read = weights_file.read
    elif (folder / "saved_model.pb").exists():
        read = load_export
    try:
        return read(folder, slice_factor)
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        # Weights and digests were compared; what remains is a fact that is missing or no such fact.
        raise InputError(
            f"expected what a trained network is made of, found it damaged ({error!r}): {folder}"
        ) from error


def _load_run(folder: Path, slice_factor: int | None) -> TrainedModel:
    network = load_network(folder)
    manifest = _read_json(folder / MANIFEST)
    factor = slice_factor or manifest["slice_factor"]
    check_trained_for(factor, manifest, folder)
    first = first_slice_of(manifest, factor)
    resolver = SuperResolver(network.get_weights(), factor, fold_of(network), first_slice=first)
    card = {
        "configuration": read_configuration(folder),
        "records": manifest,
        "versions": _read_json(folder / VERSIONS),
        "best": _read_json(folder / BEST_FACTS) if (folder / BEST_FACTS).exists() else None,
    }
    return TrainedModel(folder.name, resolver, card)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"expected a readable {path.name}: {path}") from error


def _versions() -> dict[str, Any]:
    packages = {package.__name__: package.__version__ for package in COMPUTING}
    return {"python": platform.python_version(), **packages, "git": _git_state()}


def _git_state() -> dict[str, Any] | None:
    """The commit that this package's source is at; None where it is not under git."""
    source = Path(mrsr_tf.__file__)
    # Asked for by name: a virtual environment may lie in some other project's repository.
    if _git(source, "ls-files", "--error-unmatch", source.name) is None:
        return None
    commit, changes = _git(source, "rev-parse", "HEAD"), _git(source, "status", "--porcelain")
    return {"commit": commit, "changed": bool(changes)}


def _git(source: Path, *arguments: str) -> str | None:
    try:
        told = subprocess.run(
            ["git", *arguments], cwd=source.parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()
