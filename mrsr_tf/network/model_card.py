"""The model card: what a network was trained on, what it is for, and how well it did.

Exports and weights files hold it as card.json; that of a run is put together from its folder.
"""

import csv
import hashlib
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io.json_object import read_object
from mrsr_tf.outputs import read_configuration
from mrsr_tf.records.manifest import (
    JointManifest,
    Manifest,
    SpacingRange,
    SplitCounts,
    SubjectEntry,
    TrainingManifest,
    each_set,
    slice_factors,
)
from mrsr_tf.records.typed_json import misfits

CARD = "card.json"
NOT_STATED = "not stated"
SMALLEST_FACTOR = 2
# Cards written before version 1.0 use the old names, and manifests of their time lack keys.
OLD_NAMES = {"contrasts": "echoes", "fold": "space_to_depth"}
OPTIONAL = (Manifest, JointManifest, SubjectEntry, SplitCounts)
LABELS = {"subject", "method", "echo", "roi"}  # columns of rows.csv that are not measurements


class Loadable(TypedDict):
    """What loading a network needs."""

    slice_factor: int
    echoes: int
    space_to_depth: Annotated[list[int], 3]
    weights_sha256: str


class ModelCard(Loadable, total=False):
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
    first_slice: float
    training_spacing_mm: SpacingRange | None
    licence: str
    measured: list[dict[str, Any]]


class EvaluatedModel(TypedDict):
    """The network of an evaluation."""

    weights_sha256: str


class Evaluation(TypedDict):
    """What the configuration of an evaluation says of its network; None for interpolations."""

    experiment: str
    model: EvaluatedModel | None


def read_card(folder: Path) -> ModelCard:
    """Reads the card of an export or a weights file.

    Raises:
        InputError: the card cannot be read or lacks what loading the network needs.
    """
    path = folder / CARD
    card = {OLD_NAMES.get(key, key): value for key, value in read_object(path).items()}
    return checked_card(card, path)


def checked_card(card: dict[str, Any], path: Path) -> ModelCard:
    """Returns a card that holds what loading a network needs.

    Raises:
        InputError: an entry of the card, which is from `path`, is missing or of another type.
    """
    wrong = misfits(card, ModelCard, optional=OPTIONAL)
    if not wrong and min(card["space_to_depth"]) < 1:
        wrong = ["space_to_depth"]
    if not wrong and not all(_is_factor(each.get("slice_factor")) for each in _manifests(card)):
        wrong = ["slice_factor"]
    if wrong:
        raise InputError(f"expected a card with a valid {' and '.join(sorted(wrong)[:5])}: {path}")
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


def training_spacing_mm(card: ModelCard) -> SpacingRange | None:
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
    model = None if misfits(configuration, Evaluation) else configuration["model"]
    if model is None or model["weights_sha256"] != expected_sha256:
        raise InputError(f"expected an evaluation of this network, found another's: {results}")
    rows = results / "rows.csv"
    try:
        values = _read_measures(rows)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, csv.Error):
        raise InputError(f"expected the rows of an evaluation, found others: {rows}") from None
    summary = {
        group: {column: _mean_and_sd(columns[column]) for column in sorted(columns)}
        for group, columns in values.items()
    }
    return {"experiment": configuration["experiment"], **summary}


def _read_measures(rows: Path) -> dict[str, dict[str, list[float]]]:
    """The network's measures in a table of rows, by echo or region and by column."""
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with rows.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            group = f"echo {row['echo']}" if "echo" in row else row["roi"]
            for column in row.keys() - LABELS if row["method"] == "mrsr" else ():
                values[group][column] += [float(row[column])] if row[column] else []
    return values


def _mean_and_sd(values: Sequence[float]) -> dict[str, float | int | None]:
    return {
        "mean": statistics.fmean(values) if values else None,
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "subjects": len(values),
    }


def _manifests(card: Mapping[str, Any]) -> list[Manifest]:
    """Those of the records, or for a card without any the card itself, which has a slice factor."""
    return each_set(card.get("records", card))


def _is_factor(number: int | None) -> bool:
    return number is not None and number >= SMALLEST_FACTOR
