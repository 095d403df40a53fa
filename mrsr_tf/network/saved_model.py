"""A trained network, and the folder that holds it for people without this package.

EXPORT_DIR/
  saved_model.pb, variables/   the whole way from raw thick slices to fine ones
  card.json                    what it is: factor, training records, measured quality, licence, hash
  check.py, example.npz        whether it computes there what it computed here, in TensorFlow alone
"""

import csv
import json
import shutil
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.network.architecture import weights_sha256
from mrsr_tf.network.streaming import SuperResolver, save_graph
from mrsr_tf.outputs import read_configuration, write_json
from mrsr_tf.records.record_sets import each_set, slice_factors

CARD, EXAMPLE, CHECK = "card.json", "example.npz", "check.py"
CHECK_SOURCE = Path(__file__).with_name("check_export.py")
EXAMPLE_SHAPE = (13, 11, 4)
UNSTATED = "not stated"
LABELS = ("subject", "method", "echo", "roi")  # of a row of an evaluation; all else are numbers


@dataclass(frozen=True)
class TrainedModel:
    """A network ready for use.

    Attributes:
        name: of the folder it came from.
        resolver: its weights and the way from a thick scan to a fine one.
        card: what it was trained on and how, as plain JSON values.
        other: a network for scans of the other number of echoes, where there is one.
    """

    name: str
    resolver: SuperResolver
    card: Mapping[str, Any] = field(repr=False)
    other: "TrainedModel | None" = field(default=None, repr=False)

    @property
    def slice_factor(self) -> int:
        """Fine slices per thick one."""
        return self.resolver.slice_factor

    @property
    def first_slice(self) -> float:
        """Where thick slice 0 sits, in fine slices from the result's slice 0."""
        return self.resolver.first_slice

    @property
    def contrasts(self) -> int:
        """Echoes in and out."""
        return self.resolver.contrasts

    def for_echoes(self, echoes: int) -> "TrainedModel":
        """The network for scans of so many echoes: this one or the other.

        Raises:
            InputError: neither is.
        """
        for model in (self, self.other):
            if model and model.contrasts == echoes:
                return model
        raise InputError(
            f"expected a scan of {self.contrasts} echoes, as the network {self.name} was trained "
            f"for, got one of {echoes}"
        )

    @property
    def weights_sha256(self) -> str:
        """A digest of the weights' values, the same before and after export."""
        return weights_sha256(self.resolver.weights)


def check_trained_for(factor: int, records: Mapping[str, Any], folder: Path) -> None:
    """Raises `InputError` if the network in `folder` saw no records of this slice factor."""
    trained = slice_factors(records)
    if factor not in trained:
        raise InputError(
            f"expected --slice_factor={' or '.join(map(str, trained))}, which the model was "
            f"trained for, got {factor}: {folder}"
        )


def first_slice_of(records: Mapping[str, Any], factor: int) -> float:
    """Where the thick slices of a factor's records sit; of several profiles, the first place."""
    sets = [one for one in each_set(records) if one["slice_factor"] == factor]
    return min(float(one.get("thickening", {}).get("first_slice", 0)) for one in sets)


def export(
    model: TrainedModel,
    folder: Path,
    *,
    licence: str = UNSTATED,
    results: Iterable[Path] = (),
) -> None:
    """Writes a SavedModel that needs no code of this package, with card and check beside it.

    Args:
        model: the network.
        folder: to write what the head of this module names.
        licence: of the weights.
        results: folders of `eval.evaluate` about this network.

    Raises:
        InputError: an evaluation is of another network, or cannot be read.
    """
    save_graph(model.resolver, folder)
    random = np.random.default_rng(0)
    volume = random.uniform(0, 1000, (*EXAMPLE_SHAPE, model.contrasts)).astype(np.float32)
    fine = model.resolver.super_resolve(tf.constant(volume)).numpy()
    np.savez(folder / EXAMPLE, volume=volume, super_resolved=fine)
    shutil.copyfile(CHECK_SOURCE, folder / CHECK)
    write_json(folder / CARD, card_of(model, licence=licence, results=results))


def card_of(
    model: TrainedModel, *, licence: str = UNSTATED, results: Iterable[Path] = ()
) -> dict[str, Any]:
    """What a network's card says; arguments and errors are those of `export`."""
    measured = [_measured(one, model) for one in results]
    return {**model.card, **_identity(model, licence), "measured": measured}


def load_export(folder: Path, slice_factor: int | None) -> TrainedModel:
    """The network of an exported folder; as `mrsr_tf.network.run_folder.load`.

    Raises:
        InputError: it cannot be read, is not what its card says, or is for other factors.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"expected a readable {CARD}: {folder / CARD}") from error
    try:
        loaded = tf.saved_model.load(str(folder))
        pairs = zip(loaded.kernels, loaded.biases, strict=True)
        weights = [variable.numpy() for pair in pairs for variable in pair]
    except Exception as error:  # TensorFlow's reader raises many kinds
        raise InputError(f"expected an exported network, could not read it: {folder}") from error
    if weights_sha256(weights) != card["weights_sha256"]:
        raise InputError(f"expected the weights that {CARD} names, found others: {folder}")
    return trained_model(folder, weights, card, slice_factor)


def trained_model(
    folder: Path,
    weights: Sequence[NDArray[np.float32]],
    card: Mapping[str, Any],
    slice_factor: int | None,
) -> TrainedModel:
    """The network of a folder, of its weights and its card.

    Raises:
        InputError: it was not trained for the factor.
    """
    records = card.get("records", card)
    factor = slice_factor or card["slice_factor"]
    check_trained_for(factor, records, folder)
    first = first_slice_of(records, factor)
    resolver = SuperResolver(weights, factor, tuple(card["fold"]), first_slice=first)
    return TrainedModel(folder.name, resolver, card)


def _identity(model: TrainedModel, licence: str) -> dict[str, Any]:
    sets = each_set(model.card["records"]) if "records" in model.card else []
    spacings = [one["spacing_mm"] for one in sets if "spacing_mm" in one]
    return {
        "slice_factor": model.slice_factor,
        "first_slice": model.first_slice,
        "contrasts": model.contrasts,
        "fold": model.resolver.fold,
        "training_spacing_mm": spacings
        and {
            end: pick([spacing[end] for spacing in spacings], axis=0).tolist()
            for end, pick in (("min", np.min), ("max", np.max))
        },
        "licence": licence,
        "weights_sha256": model.weights_sha256,
    }


def _measured(results: Path, model: TrainedModel) -> dict[str, Any]:
    """Mean and standard deviation over the subjects of all that an evaluation measured."""
    found = read_configuration(results)
    if (found.get("model") or {}).get("weights_sha256") != model.weights_sha256:
        raise InputError(f"expected an evaluation of {model.name}, found one of another: {results}")
    values: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with (results / "rows.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            where = f"echo {row['echo']}" if "echo" in row else row["roi"]
            for column in row.keys() - set(LABELS) if row["method"] == "mrsr" else ():
                values[where][column] += [float(row[column])] if row[column] else []
    return {
        "cohort": found["cohort"],
        **{
            where: {column: _spread(measured) for column, measured in sorted(of.items())}
            for where, of in values.items()
        },
    }


def _spread(values: list[float]) -> dict[str, float | int | None]:
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {
        "mean": statistics.fmean(values) if values else None,
        "sd": deviation,
        "subjects": len(values),
    }
