"""The rows of the study of adaptation, and the table that it prints."""

import csv
import math
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mrsr_tf.errors import InputError
from mrsr_tf.outputs import output_file

# Of scans without air, and of scans without cartilage.
MAY_BE_MISSING = ("air_rmse_over_tci", "t2_difference_ms", "t2_rmse_ms")

Statistic = Callable[[Sequence[float]], Any]


class Restored(StrEnum):
    """The methods that are compared."""

    NETWORK = "network"
    CONSISTENT = "network, consistent"
    ENSEMBLE = "network, ensemble and consistent"
    SELF_TRAINED = "self-trained"
    SELF_TRAINED_CONSISTENT = "self-trained, consistent"
    MEAN = "mean of network and self-trained"
    MEAN_CONSISTENT = "mean, consistent"


class Row(NamedTuple):
    """A method's result on one echo of a scan; T2 is of both echoes and NaN without labels."""

    data: str
    scan: str
    method: str
    seed: int
    echo: int
    gain_db: float
    worst_slice_gain_db: float
    air_rmse_over_tci: float
    t2_difference_ms: float
    t2_rmse_ms: float
    seconds: float
    steps: int


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A Markdown table: means over scans by method and seed, and the worst slice of all scans."""
    yield "| method | gain, dB | worst slice, dB | air, of TCI's | T2, ms | T2, RMSE | time, s |"
    yield "|---|---|---|---|---|---|---|"
    for method in Restored:
        of_method = [row for row in rows if row.method == method]
        for seed in sorted({row.seed for row in of_method}):
            chosen = [row for row in of_method if row.seed == seed]
            cells = [
                f"{method}, seed {seed + 1}" if chosen[0].steps else str(method),
                _both_echoes(chosen, "gain_db", np.mean, "+.2f"),
                _both_echoes(chosen, "worst_slice_gain_db", min, "+.2f"),
                _both_echoes(chosen, "air_rmse_over_tci", np.mean, ".2f"),
                _summary(chosen, "t2_difference_ms", np.mean, "+.2f"),
                _summary(chosen, "t2_rmse_ms", np.mean, ".2f"),
                _summary(chosen, "seconds", np.mean, ".0f"),
            ]
            yield f"| {' | '.join(cells)} |"


def _both_echoes(rows: Sequence[Row], column: str, statistic: Statistic, style: str) -> str:
    echoes = ([row for row in rows if row.echo == echo] for echo in (1, 2))
    return " / ".join(_summary(echo, column, statistic, style) for echo in echoes)


def _summary(rows: Sequence[Row], column: str, statistic: Statistic, style: str) -> str:
    """The statistic of the scans that have such a value; a dash if none has."""
    values = [getattr(row, column) for row in rows]
    if column in MAY_BE_MISSING:
        values = [value for value in values if not math.isnan(value)]
    return format(float(statistic(values)), style) if values else "-"


def read_rows(path: Path) -> list[Row]:
    """The rows that `write_rows` wrote; none if there is no such file.

    Raises:
        InputError: the file is not one of this study, or not whole.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        header, *lines = list(csv.reader(file)) or [[]]
    if tuple(header) != Row._fields or any(len(line) != len(header) for line in lines):
        raise InputError(f"expected the columns {', '.join(Row._fields)}: {path}")
    kinds = Row.__annotations__.values()
    return [Row(*(kind(text) for kind, text in zip(kinds, line, strict=True))) for line in lines]


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Writes all rows, or none."""
    with output_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([Row._fields, *rows])
