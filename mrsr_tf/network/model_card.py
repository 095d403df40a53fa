"""The model card: what a network was trained on, what it is for, and how well it did.

Exports and weights files hold it as card.json; that of a run is put together from its folder.
"""

import csv
import hashlib
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.outputs import read_configuration
from mrsr_tf.records.manifest import TrainingManifest, each_set, slice_factors

CARD = "card.json"
NOT_STATED = "not stated"
# Loading a network needs these. Cards written before version 1.0 use the old names.
REQUIRED = {"weights_sha256": str, "slice_factor": int, "echoes": int, "space_to_depth": list}
OLD_NAMES = {"contrasts": "echoes", "fold": "space_to_depth"}
LABELS = {"subject", "method", "echo", "roi"}  # columns of rows.csv that are not measurements


class ModelCard(TypedDict, total=False):
    """What is known about a trained network, as plain JSON values.

    Attributes:
        configuration: settings of the training.
        records: manifest of the training records.
        versions: of the packages that computed the weights.
        best: quality of the kept epoch on the validation records.
        slice_factor: fine slices per thick slice, unless another one of the records is asked for.
        first_slice: position of thick slice 0, in fine slices.
        echoes: number of echoes in and out.
        space_to_depth: rows, columns and slices of voxels in one cell of the network's grid.
        training_spacing_mm: smallest and largest spacing of the training scans along each axis.
        licence: of the weights.
        weights_sha256: digest of the weights, see `weights_sha256`.
        measured: mean, standard deviation and number of subjects of each evaluation's measures.
    """

    configuration: dict[str, Any]
    records: TrainingManifest
    versions: dict[str, Any]
    best: dict[str, Any] | None
    slice_factor: int
    first_slice: float
    echoes: int
    space_to_depth: list[int]
    training_spacing_mm: dict[str, list[float]] | None
    licence: str
    weights_sha256: str
    measured: list[dict[str, Any]]


def read_card(folder: Path) -> ModelCard:
    """Reads the card of an export or a weights file.

    Raises:
        InputError: the card cannot be read or lacks what loading the network needs.
    """
    path = folder / CARD
    card = {OLD_NAMES.get(key, key): value for key, value in read_object(path).items()}
    return checked_card(card, path)


def read_object(path: Path) -> dict[str, Any]:
    """Reads a file that holds one JSON object; raises `InputError` if it does not."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"expected a readable {path.name}: {path}") from error
    if not isinstance(values, dict):
        raise InputError(f"expected a JSON object, got {type(values).__name__}: {path}")
    return values


def checked_card(card: dict[str, Any], path: Path) -> ModelCard:
    """Returns a card that holds what loading a network needs.

    Raises:
        InputError: an entry of the card, which is from `path`, is missing or of another type.
    """
    wrong = [key for key, kind in REQUIRED.items() if not isinstance(card.get(key), kind)]
    if not wrong and not _is_block_shape(card["space_to_depth"]):
        wrong = ["space_to_depth"]
    try:
        trained_factors(card)
        first_slice(card, 0)
    except (AttributeError, KeyError, TypeError, ValueError):
        wrong.append("records")
    if wrong:
        raise InputError(f"expected a card with a valid {' and '.join(wrong)}: {path}")
    return card  # type: ignore[return-value]  # just checked


def trained_factors(card: Mapping[str, Any]) -> list[int]:
    """Returns the slice factors of the training records, the default first."""
    return slice_factors(card.get("records", card))


def first_slice(card: Mapping[str, Any], factor: int) -> float:
    """Returns the position of thick slice 0 in the records of a factor, in fine slices.

    Where records of several slice profiles differ, it is the smallest.
    """
    starts = [
        (manifest["slice_factor"], float(manifest.get("thickening", {}).get("first_slice", 0)))
        for manifest in each_set(card.get("records", card))
    ]
    return min((start for of_factor, start in starts if of_factor == factor), default=0.0)


def training_spacing_mm(card: ModelCard) -> dict[str, list[float]] | None:
    """Returns the smallest and largest spacing of the training scans along each axis, if known."""
    manifests = each_set(card["records"]) if "records" in card else []
    spacings = [manifest["spacing_mm"] for manifest in manifests if "spacing_mm" in manifest]
    if not spacings:
        return None
    lowest = np.min([spacing["min"] for spacing in spacings], axis=0)
    highest = np.max([spacing["max"] for spacing in spacings], axis=0)
    return {"min": lowest.tolist(), "max": highest.tolist()}


def weights_sha256(weights: Iterable[NDArray[np.float32]]) -> str:
    """Returns a digest of the kernel and bias of each convolution, first to last."""
    digest = hashlib.sha256()
    for values in weights:
        digest.update(values.astype("<f4").tobytes())
    return digest.hexdigest()


def summarize_evaluation(results: Path, expected_sha256: str) -> dict[str, Any]:
    """Returns mean and standard deviation over subjects of all measures of an evaluation.

    Args:
        results: output folder of `eval.evaluate`.
        expected_sha256: `weights_sha256` of the network that it should have evaluated.

    Raises:
        InputError: the evaluation is of another network or cannot be read.
    """
    configuration = read_configuration(results)
    if (configuration.get("model") or {}).get("weights_sha256") != expected_sha256:
        raise InputError(f"expected an evaluation of this network, found another's: {results}")
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (results / "rows.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            group = f"echo {row['echo']}" if "echo" in row else row["roi"]
            for column in row.keys() - LABELS if row["method"] == "mrsr" else ():
                values[group][column] += [float(row[column])] if row[column] else []
    summary = {
        group: {column: _mean_and_sd(columns[column]) for column in sorted(columns)}
        for group, columns in values.items()
    }
    return {"experiment": configuration["experiment"], **summary}


def _mean_and_sd(values: Sequence[float]) -> dict[str, float | int | None]:
    return {
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "subjects": len(values),
    }


def _is_block_shape(sizes: list[Any]) -> bool:
    return len(sizes) == 3 and all(isinstance(size, int) and size > 0 for size in sizes)
