"""A run folder: what one training was started with, and what it produced.

RUN_DIR/
  configuration.json   everything that decides the weights: network, settings, records
  manifest.json        how the records were made, copied from them
  flags.txt            replays the training: --flagfile=RUN_DIR/flags.txt
  versions.json        of the packages that compute, and the git commit of the source if known
  checkpoint.keras     network and optimizer at the last checkpoint
  model.keras          the trained network; present only when training is finished
  best/                the epoch with the best validation quality, itself a run folder;
                       best.json says which epoch and how good
  logs/                for TensorBoard
"""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.io.json_object import read_object
from mrsr_tf.network.architecture import (
    architecture_of,
    convolution_layers,
    space_to_depth_of,
)
from mrsr_tf.network.model_card import ModelCard, checked_card, weights_sha256
from mrsr_tf.network.weights_file import SHIPPED
from mrsr_tf.outputs import (
    CONFIGURATION,
    check_configuration,
    check_origin,
    check_unused,
    exclusive_lock,
    followed,
    output_file,
    read_configuration,
    unfinished_folder,
    versions,
    write_json,
)
from mrsr_tf.outputs.places import is_occupied, unfinished_file
from mrsr_tf.outputs.replacement import is_aside, put_back, recover, take_place
from mrsr_tf.records.contrasts import Contrasts

CHECKPOINT, TRAINED = "checkpoint.keras", "model.keras"
BEST, BEST_EPOCH = "best", "best.json"
CONTRASTS = {contrasts.echoes: contrasts.value for contrasts in Contrasts}
MANIFEST, VERSIONS, FLAGS = "manifest.json", "versions.json", "flags.txt"
LOGS, EVENTS = "logs", "events.out.tfevents.*"
COMMAND = "mrsr_tf.train"


def check_run(run_dir: Path, configuration: Mapping[str, Any]) -> bool:
    """Returns whether an unfinished run of this configuration exists.

    Raises:
        AlreadyDone: the run is finished.
        InputError: the folder holds a run of another configuration, or something else.
    """
    if not is_occupied(run_dir):
        return False
    check_configuration(run_dir, read_configuration(run_dir), configuration)
    for name in (LOGS, BEST):
        if (run_dir / name).is_file():
            raise InputError(f"expected a folder, found a file: {run_dir / name}")
    if (run_dir / TRAINED).exists():
        raise AlreadyDone(run_dir)
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
    """Creates a run folder, or opens that of an unfinished run of the same configuration.

    Within the block no other process can open it. With `overwrite` an older run is kept as
    RUN_DIR.replaced until the new one is trained; if that ends before its first checkpoint, the
    older run comes back.

    Raises:
        AlreadyDone: the run is finished.
        InputError: as for `check_run`, or another process is using the folder.
    """
    run_dir = followed(run_dir)
    check_unused(run_dir)
    _settle(run_dir, start_anew=overwrite)
    with ExitStack() as locks:
        if overwrite and is_occupied(run_dir):
            check_origin(run_dir, COMMAND)
            exists = False
        else:
            exists = check_run(run_dir, configuration)
        if exists:
            locks.enter_context(exclusive_lock(run_dir))
        else:
            partial = unfinished_folder(run_dir, configuration, command=COMMAND)
            _create(run_dir, locks.enter_context(partial), manifest, flagfile)
        try:
            yield
        finally:
            _settle(run_dir)


def _create(run_dir: Path, partial: Path, manifest: Mapping[str, Any], flagfile: str) -> None:
    """Completes the run folder, which appears when it is complete."""
    write_json(partial / MANIFEST, manifest)
    packages = versions("tensorflow", "keras", "numpy", "scipy")
    write_json(partial / VERSIONS, {**packages, "git": _git_state()})
    (partial / FLAGS).write_text(flagfile, encoding="utf-8")
    take_place(run_dir, partial, own_files)


def _settle(run_dir: Path, *, start_anew: bool = False) -> None:
    """Removes the older run that was kept aside, or gives it its name again.

    It is removed when the new one is trained, and comes back if that has no checkpoint, or is given
    up to start anew. In between both are kept.
    """
    if not is_aside(run_dir) or (run_dir / TRAINED).exists():
        recover(run_dir, own_files)
    elif start_anew or not (run_dir / CHECKPOINT).exists():
        put_back(run_dir, own_files)


def own_files(run_dir: Path) -> list[Path]:
    """The files that training writes into a run folder, relative to it, as far as they exist."""
    names = (MANIFEST, VERSIONS, FLAGS, CHECKPOINT, BEST_EPOCH, TRAINED)
    folders = (Path(), Path(BEST))
    files = [folder / name for folder in folders for name in names]
    unfinished = [unfinished_file(file) for file in files]
    logs = [file.relative_to(run_dir) for file in (run_dir / LOGS).rglob(EVENTS)]
    return [*logs, *unfinished, *files, Path(BEST, CONFIGURATION), Path(CONFIGURATION)]


def save_checkpoint(model: keras.Model, run_dir: Path) -> None:
    """Replaces the last checkpoint with the current network and optimizer."""
    with output_file(run_dir / CHECKPOINT) as partial:
        model.save(partial)


def finish(model: keras.Model, run_dir: Path) -> None:
    """Saves the trained network and removes the checkpoint: the run is finished."""
    with output_file(run_dir / TRAINED) as partial:
        model.save(partial, include_optimizer=False)
    (run_dir / CHECKPOINT).unlink(missing_ok=True)


def save_best(model: keras.Model, run_dir: Path, best_epoch: Mapping[str, Any]) -> None:
    """Saves the current network as the best so far, in a run folder inside the run folder."""
    best = run_dir / BEST
    best.mkdir(exist_ok=True)
    for name in (MANIFEST, VERSIONS, FLAGS, CONFIGURATION):
        shutil.copyfile(run_dir / name, best / name)
    with output_file(best / TRAINED) as partial:
        model.save(partial, include_optimizer=False)
    write_json(best / BEST_EPOCH, best_epoch)


def read_best_epoch(folder: Path) -> dict[str, Any] | None:
    """Returns the epoch and quality that a best/ folder holds, or None where it holds none."""
    path = folder / BEST_EPOCH
    return read_object(path) if path.exists() else None


def load_network(run_dir: str | Path, *, checkpoint: bool = False) -> keras.Model:
    """Loads the Keras network of a finished run, or that of the last checkpoint with its optimizer.

    Raises:
        InputError: there is no such file, it is not a network of this package, its architecture is
            not that of the run's configuration, or a checkpoint lacks the optimizer.
    """
    path = Path(run_dir) / (CHECKPOINT if checkpoint else TRAINED)
    if not path.exists():
        unfinished = (Path(run_dir) / CONFIGURATION).exists()
        found = "one whose training is unfinished" if unfinished else "none there"
        raise InputError(
            "expected the folder of a finished training run (or "
            f"{' or '.join(SHIPPED)}, which ship), found {found}: {run_dir}"
        )
    try:
        model = keras.models.load_model(path, compile=checkpoint)
    except Exception as error:  # Keras lets through whatever its readers raise
        raise InputError(
            f"expected a trained network, could not read it ({error}): {path}"
        ) from error
    if not convolution_layers(model):
        raise InputError(f"expected a network of 3-D convolutions, found none in it: {path}")
    if checkpoint and getattr(model, "optimizer", None) is None:
        raise InputError(f"expected a checkpoint with its optimizer, found none in it: {path}")
    _check_architecture(model, path)
    return model


def _check_architecture(network: keras.Model, path: Path) -> None:
    """Compares the network with what the configuration of its run states."""
    configuration_path = path.with_name(CONFIGURATION)
    configuration = read_object(configuration_path) if configuration_path.exists() else {}
    architecture = architecture_of(network)
    architecture["space_to_depth"] = "x".join(map(str, architecture["space_to_depth"]))
    architecture["contrasts"] = CONTRASTS[architecture.pop("echoes")]
    for name, value in architecture.items():
        expected = configuration.get(name, value)
        if value != expected:
            raise InputError(
                f"expected the network of its run, of {name} {expected}, found one of {value}: "
                f"{path}"
            )


def read(run_dir: Path) -> tuple[list[NDArray[np.float32]], ModelCard]:
    """Reads kernel and bias of each convolution, first to last, and the card of a finished run.

    Raises:
        InputError: the run is not finished, or a file is damaged.
    """
    network = load_network(run_dir)
    weights, manifest = network.get_weights(), read_object(run_dir / MANIFEST)
    card = {
        "configuration": read_configuration(run_dir),
        "records": manifest,
        "versions": read_object(run_dir / VERSIONS),
        "best": read_best_epoch(run_dir),
        "slice_factor": manifest.get("slice_factor"),
        "echoes": network.input_shape[-1],
        "space_to_depth": list(space_to_depth_of(network)),
        "weights_sha256": weights_sha256(weights),
    }
    return weights, checked_card(card, run_dir / MANIFEST)


def _git_state() -> dict[str, Any] | None:
    """The commit that this package's source is at; None where it is not under git."""
    source = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(source.parent), *arguments]
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()

    try:
        # By name, because a virtual environment may lie in another project's repository.
        git("ls-files", "--error-unmatch", source.name)
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None
