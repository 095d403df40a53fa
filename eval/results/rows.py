"""What an evaluation leaves in its folder: rows.csv, pictures, how it was made."""

import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.outputs import output_file, read_configuration

ROWS, PICTURES = "rows.csv", "reformats"
MADE_WITH = "made_with.json"
KNOWN = "known"  # a file for each subject that is not new to the network

QUALITIES = ("ssim", "psnr_db", "mse", "rmse")
COLUMNS = {
    "image_quality": (
        *("subject", "method", "echo", *QUALITIES),
        *(
            f"{quality}{region}"
            for region in ("_body", "_inner", "_body_inner")
            for quality in QUALITIES
        ),
    ),
    "t2": (
        *("subject", "roi", "method", "t2_ms", "t2_thick_ms", "t2_truth_ms"),
        *("pixel_cv_percent", "voxels", "excluded"),
        *("outliers", "thick_excluded", "pixel_cv_truth_percent"),
    ),
    "lesions": (
        *("subject", "method", "size_mm", "lesions", "detected", "kept"),
        *("false_foci", "searched_cm3"),
    ),
    "resolution": (
        *("subject", "method", "echo", "mtf50_per_mm", "mtf10_per_mm", "false_percent"),
        *("edge_mm", "edges", "worse_percent", "better_percent"),
    ),
}
TEXT = ("subject", "method", "roi")

# What methods and references are called in tables and figures.
NAMES = {
    "mrsr": "MRSR",
    "tci": "TCI",
    "fi": "FI",
    "scsr": "ScSR",
    "thick": "Thick scan",
    "truth": "Truth",
}

Row = dict[str, Any]


@dataclass(frozen=True)
class Results:
    """One finished evaluation.

    Attributes:
        cohort: one of `COLUMNS`.
        rows: one dict per line of rows.csv; numbers as float, NaN where empty.
        configuration: what made them, as the evaluation wrote it.
        folder: where its pictures lie.
    """

    cohort: str
    rows: list[Row]
    configuration: dict[str, Any]
    folder: Path

    @property
    def subjects(self) -> list[str]:
        """The subjects, in the order of the rows."""
        return unique(row["subject"] for row in self.rows)

    @property
    def known(self) -> dict[str, str]:
        """The subjects that the network was "trained on" or "chosen by"."""
        files = sorted((self.folder / KNOWN).glob("*"))
        return {file.name: file.read_text(encoding="utf-8") for file in files}

    @property
    def methods(self) -> list[str]:
        """The methods, in the order of the rows."""
        return unique(row["method"] for row in self.rows)

    @property
    def regions(self) -> list[str]:
        """The regions of T2, in the order of the rows; the first is the main one."""
        return unique(row["roi"] for row in self.rows if "roi" in row)

    def within(self, region: str) -> "Results":
        """The results in one region alone."""
        return replace(self, rows=[row for row in self.rows if row["roi"] == region])


def unique(values: Iterable[Any]) -> list[Any]:
    """The different values, in order of first appearance."""
    return list(dict.fromkeys(values))


def method_name(method: str) -> str:
    """What a method is called in tables and figures."""
    return NAMES.get(method, method)


def read(folder: Path) -> Results:
    """Reads a finished evaluation.

    Raises:
        InputError: the folder is not one, its rows are not readable, or the methods were not all
            measured on the same subjects.
    """
    if not (folder / ROWS).is_file():
        raise InputError(f"expected a finished evaluation, found no {ROWS} in {folder}")
    configuration = read_configuration(folder)
    cohort = configuration.get("cohort")
    if cohort not in COLUMNS:
        raise InputError(f"expected cohort {' or '.join(COLUMNS)}, got {cohort!r} in {folder}")
    rows = read_rows(folder / ROWS, cohort)
    order = unique(row["subject"] for row in rows)
    rows.sort(key=lambda row: order.index(row["subject"]))  # so that methods pair up
    results = Results(cohort, rows, configuration, folder)
    _check_subjects(results)
    return results


def _check_subjects(results: Results) -> None:
    """Raises unless each method was measured once on each subject, echo and region."""
    keys = [key for key in ("subject", "echo", "roi", "size_mm") if key in results.rows[0]]
    everywhere = unique(tuple(row[key] for key in keys) for row in results.rows)
    for method in results.methods:
        found = [tuple(row[key] for key in keys) for row in results.rows if row["method"] == method]
        missing = [place for place in everywhere if place not in found]
        if missing or len(found) > len(everywhere):
            what = f"no {method} of {missing[0][0]}" if missing else f"{method} more than once"
            raise InputError(
                f"expected every method on the same subjects, found {what} in "
                f"{results.folder / ROWS}"
            )


def write_rows(path: Path, rows: Iterable[Row], cohort: str) -> None:
    """Writes the columns of `cohort`, whole or not at all; numbers to six digits."""
    with output_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS[cohort])
        writer.writeheader()
        writer.writerows({name: _written(value) for name, value in row.items()} for row in rows)


def _written(value: Any) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.0f}" if value.is_integer() else f"{value:.6g}"
    return str(value)


def read_rows(path: Path, cohort: str) -> list[Row]:
    """Reads what `write_rows` wrote; `InputError` where it is something else."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS[cohort]:
            raise InputError(
                f"expected the columns {','.join(COLUMNS[cohort])}, got "
                f"{','.join(reader.fieldnames or ())} in {path}"
            )
        rows = [_parsed(row, f"{path} line {reader.line_num}") for row in reader]
    if not rows:
        raise InputError(f"expected at least one row, found none in {path}")
    return rows


def _parsed(row: dict[str, Any], where: str) -> Row:
    try:
        return {
            name: value if name in TEXT else float(value or "nan") for name, value in row.items()
        }
    except (TypeError, ValueError):
        raise InputError(f"expected {len(row)} columns, numbers where due, got {where}") from None
