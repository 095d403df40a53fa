"""A trained network in two small files that hold no code, and those that come with the package.

FOLDER/
  weights.npz   kernel and bias of each convolution, first to last, float16
  card.json     what it is: factor, training records, measured quality, licence, hash

The folders in `pretrained` beside this module are such; `NETWORKS` tells which belong together.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.network.architecture import weights_sha256
from mrsr_tf.network.saved_model import CARD, TrainedModel, trained_model
from mrsr_tf.network.streaming import SuperResolver
from mrsr_tf.outputs import write_json

FOLDER = Path(__file__).parents[1] / "pretrained"
# What names a pair of networks that ship: the folder of that for two echoes, and of that for one.
NETWORKS = {
    "pretrained": ("dual", "single"),
    "pretrained-paper": ("paper_dual", "paper_single"),
}
WEIGHTS = "weights.npz"
KERNEL_DIMENSIONS = 5


def rounded(model: TrainedModel) -> TrainedModel:
    """The network with its weights as float16 keeps them: what `write` writes and `read` reads."""
    resolver = model.resolver
    weights = [values.astype(np.float16).astype(np.float32) for values in resolver.weights]
    same = {"first_slice": model.first_slice}
    return replace(
        model, resolver=SuperResolver(weights, model.slice_factor, resolver.fold, **same)
    )


def write(model: TrainedModel, folder: Path, card: Mapping[str, Any]) -> None:
    """Writes the weights of a `rounded` network, and a card that names their hash."""
    weights = [values.astype(np.float16) for values in model.resolver.weights]
    np.savez_compressed(folder / WEIGHTS, *weights)
    write_json(folder / CARD, card)


def read(folder: Path, slice_factor: int | None = None) -> TrainedModel:
    """The network of a folder that `write` filled; as `mrsr_tf.network.run_folder.load`.

    Raises:
        InputError: a file is missing, damaged or foreign, the weights are not those that the card
            names, or the network is for other factors.
    """
    card = _read_card(folder / CARD)
    weights = _read_weights(folder / WEIGHTS)
    found = weights_sha256(weights)
    if found != card["weights_sha256"]:
        raise InputError(
            f"expected the weights {card['weights_sha256'][:12]} that {CARD} names, found "
            f"{found[:12]}: {folder / WEIGHTS}"
        )
    return trained_model(folder, weights, card, slice_factor)


def pretrained(name: str, slice_factor: int | None = None) -> TrainedModel:
    """A pair of networks that comes with the package: that for two echoes, which knows the other.

    Args:
        name: of `NETWORKS`.
        slice_factor: what they are wanted for.

    Raises:
        InputError: they are for other factors, or the installation is damaged.
    """
    dual, single = (
        replace(read(FOLDER / one, slice_factor), name=f"{name} {echoes}")
        for one, echoes in zip(NETWORKS[name], ("dual", "single"), strict=True)
    )
    return replace(dual, other=single)


def _read_card(path: Path) -> Any:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        missing = {"weights_sha256", "slice_factor", "fold"} - card.keys()
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"expected a readable card of a network: {path}") from error
    if missing:
        raise InputError(f"expected a card that names {', '.join(sorted(missing))}: {path}")
    return card


def _read_weights(path: Path) -> list[NDArray[np.float32]]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            weights = [stored[f"arr_{n}"].astype(np.float32) for n in range(len(stored.files))]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"expected the weights of a network, could not read {path}") from error
    kernels, biases = weights[::2], weights[1::2]
    pairs = list(zip(kernels, biases, strict=False))
    fit = all(k.ndim == KERNEL_DIMENSIONS and b.shape == k.shape[-1:] for k, b in pairs)
    if len(kernels) != len(biases) or not pairs or not fit:
        raise InputError(f"expected a kernel and a bias for each convolution: {path}")
    return weights
