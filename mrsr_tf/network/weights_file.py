"""A trained network in two small files without code; the networks that come with the package.

FOLDER/
  weights.npz   kernel and bias of each convolution, first to last, float16
  card.json     the model card: factor, training records, measured quality, licence, digest

The folders of `mrsr_tf/pretrained` are such; `SHIPPED` says which belong together.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.network.model_card import CARD, ModelCard, read_card
from mrsr_tf.outputs import write_json
from mrsr_tf.records.contrasts import Contrasts

FOLDER = Path(__file__).parents[1] / "pretrained"
PRETRAINED = "pretrained"  # the default
# The names of the networks that come with the package, and the prefix of their folders.
SHIPPED = {PRETRAINED: "", "pretrained-paper": "paper_"}
WEIGHTS = "weights.npz"


def shipped_folders(name: str) -> dict[Contrasts, Path]:
    """Returns the folders of the dual and the single network of a name in `SHIPPED`."""
    return {
        contrasts: FOLDER / f"{SHIPPED[name]}{contrasts}"
        for contrasts in (Contrasts.DUAL, Contrasts.SINGLE)
    }


def write(weights: Iterable[NDArray[np.float32]], card: ModelCard, folder: Path) -> None:
    """Writes weights that float16 holds exactly, and the card that names their digest."""
    np.savez_compressed(folder / WEIGHTS, *(values.astype(np.float16) for values in weights))
    write_json(folder / CARD, card)


def read(folder: Path) -> tuple[list[NDArray[np.float32]], ModelCard]:
    """Reads kernel and bias of each convolution, first to last, and the card.

    Raises:
        InputError: a file is missing, damaged or of another kind.
    """
    card, path = read_card(folder), folder / WEIGHTS
    try:
        with np.load(path, allow_pickle=False) as arrays:
            weights = [arrays[f"arr_{n}"].astype(np.float32) for n in range(len(arrays.files))]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"expected the weights of a network, could not read {path}") from error
    return weights, card
