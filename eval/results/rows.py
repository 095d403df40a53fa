"""The results folder of an evaluation, and its rows.csv."""

import csv
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from eval.metrics import METRICS
from mrsr_tf.errors import InputError
from mrsr_tf.outputs import output_file, read_configuration

ROWS, PICTURES = "rows.csv", "reformats"
VERSIONS = "versions.json"
SEEN = "seen_in_training"  # a folder with a file for each subject that the network has seen


class Experiment(StrEnum):
    """What an evaluation measures."""

    IMAGE_QUALITY = "image_quality"
    T2 = "t2"
    LESIONS = "lesions"
    RESOLUTION = "resolution"


COLUMNS = {
    Experiment.IMAGE_QUALITY: (
        *("subject", "method", "echo"),
        *(metric + part for part in ("", "_body", "_inner", "_body_inner") for metric in METRICS),
        *("gain_db", "worst_slice_gain_db", "air_rmse_over_tci"),
    ),
    Experiment.T2: (
        *("subject", "roi", "method", "t2_ms", "t2_thick_ms", "t2_truth_ms"),
        *("pixel_cv_percent", "voxels", "excluded"),
        *("outliers", "thick_excluded", "pixel_cv_truth_percent"),
    ),
    Experiment.LESIONS: (
        *("subject", "method", "size_mm", "lesions", "detected", "kept"),
        *("false_foci", "searched_cm3"),
    ),
    Experiment.RESOLUTION: (
        *("subject", "method", "echo", "mtf50_per_mm", "mtf10_per_mm", "false_percent"),
        *("edge_mm", "edges", "worse_percent", "better_percent"),
    ),
}
TEXT = ("subject", "method", "roi")
KEYS = ("subject", "echo", "roi", "size_mm")  # each method has one row for each combination

Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """The results of one finished evaluation.

    Attributes:
        experiment: what was measured.
        rows: one dict per line of rows.csv; numbers are floats, NaN where the cell is empty.
        configuration: the evaluation's configuration as it was saved.
        folder: the results folder, which also holds the pictures.
    """

    experiment: Experiment
    rows: list[Row]
    configuration: dict[str, Any]
    folder: Path

    @property
    def subjects(self) -> list[str]:
        """The subjects, in the order of the rows."""
        return unique(row["subject"] for row in self.rows)

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of the rows."""
        return unique(row["method"] for row in self.rows)

    @property
    def regions(self) -> list[str]:
        """The regions of T2, in the order of the rows; the first is the main one."""
        return unique(row["roi"] for row in self.rows if "roi" in row)

    @property
    def seen_subjects(self) -> dict[str, str]:
        """Subject -> how the network has seen it: it was "trained on" or "chosen by" it."""
        files = sorted((self.folder / SEEN).glob("*"))
        return {file.name: file.read_text(encoding="utf-8") for file in files}

    @property
    def versions(self) -> dict[str, str]:
        """Package -> version with which the results were computed."""
        return json.loads((self.folder / VERSIONS).read_text(encoding="utf-8"))

    def within(self, region: str) -> "Results":
        """The results in one region."""
        return replace(self, rows=[row for row in self.rows if row["roi"] == region])

    def values(self, method: str, column: str, **keys: Any) -> list[float]:
        """One column of the rows of a method, restricted to rows with these values of `KEYS`."""
        required = {"method": method, **keys}.items()
        return [row[column] for row in self.rows if required <= row.items()]

    def pictures_path(self, subject: str) -> Path:
        """The file that holds a subject's pictures."""
        return self.folder / PICTURES / f"{subject}.npz"


def unique(values: Iterable[Any]) -> list[Any]:
    """The distinct values, in order of first appearance."""
    return list(dict.fromkeys(values))


def read_results(folder: Path) -> Results:
    """Reads a finished evaluation.

    Raises:
        InputError: the folder is not an evaluation, its rows cannot be read, or the methods were
            not all measured on the same subjects.
    """
    if not (folder / ROWS).is_file():
        raise InputError(f"expected a finished evaluation, found no {ROWS} in {folder}")
    configuration = read_configuration(folder)
    experiment = configuration.get("experiment")
    if experiment not in COLUMNS:
        raise InputError(
            f"expected experiment {' or '.join(COLUMNS)}, got {experiment!r} in {folder}"
        )
    rows = read_rows(folder / ROWS, experiment)
    order = unique(row["subject"] for row in rows)
    rows.sort(key=lambda row: order.index(row["subject"]))  # so that the methods' values pair up
    results = Results(Experiment(experiment), rows, configuration, folder)
    _check_pairing(results)
    return results


def _check_pairing(results: Results) -> None:
    """Raises unless each method was measured once on each subject, echo and region."""
    keys = [key for key in KEYS if key in results.rows[0]]
    expected = unique(tuple(row[key] for key in keys) for row in results.rows)
    for method in results.methods:
        rows = [row for row in results.rows if row["method"] == method]
        measured = [tuple(row[key] for key in keys) for row in rows]
        missing = [combination for combination in expected if combination not in measured]
        if missing or len(measured) > len(expected):
            problem = f"no {method} of {missing[0][0]}" if missing else f"{method} more than once"
            raise InputError(
                f"expected every method on the same subjects, found {problem} in "
                f"{results.folder / ROWS}"
            )


def write_rows(path: Path, rows: Iterable[Row], experiment: str) -> None:
    """Writes the columns of `experiment`."""
    write_numbers(path, COLUMNS[Experiment(experiment)], rows)


def write_numbers(path: Path, columns: Iterable[str], rows: Iterable[Row]) -> None:
    """Writes a table whose numbers have six significant digits; the cell of NaN is empty."""
    write_csv(path, columns, ({name: _cell(value) for name, value in row.items()} for row in rows))


def write_csv(path: Path, columns: Iterable[str], rows: Iterable[Row]) -> None:
    """Writes a table with a head; the cells of columns that a row lacks are empty."""
    with output_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(columns))
        writer.writeheader()
        writer.writerows(rows)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
    return str(value)


def read_rows(path: Path, experiment: str) -> list[Row]:
    """Reads the rows that `write_rows` wrote; raises `InputError` for any other file."""
    columns = COLUMNS[Experiment(experiment)]
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != columns:
            raise InputError(
                f"expected the columns {','.join(columns)}, got "
                f"{','.join(reader.fieldnames or ())} in {path}"
            )
        rows = [_parse(row, f"{path} line {reader.line_num}") for row in reader]
    if not rows:
        raise InputError(f"expected at least one row, found none in {path}")
    return rows


def _parse(row: dict[str, Any], location: str) -> Row:
    try:
        return {
            name: value if name in TEXT else float(value or "nan") for name, value in row.items()
        }
    except (TypeError, ValueError):
        raise InputError(
            f"expected {len(row)} columns, numbers where due, got {location}"
        ) from None
