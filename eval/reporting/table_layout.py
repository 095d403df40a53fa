"""The layout of tables for reading, on the terminal and in the report."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval.reporting.style import method_name
from eval.results.rows import Results
from mrsr_tf.cli import counted


@dataclass(frozen=True)
class Cell:
    """Our value, the paper's and the interval of ours ("" without); whether ours is the best."""

    ours: str
    paper: str = ""
    best: bool = False
    interval: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a table: a label for each label column and a cell for each method."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


Group = tuple[str, tuple[Line, ...]]  # a heading ("" for none) and its lines


@dataclass(frozen=True)
class Table:
    """A table for reading."""

    title: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def format_mean(mean: float, sd: float, decimals: int) -> str:
    """`mean ± sd`, without the SD where there is none, and empty without a mean."""
    if math.isnan(mean):
        return ""
    return f"{mean:.{decimals}f}" + ("" if math.isnan(sd) else f" ± {sd:.{decimals}f}")


def format_interval(low: float, high: float, decimals: int) -> str:
    """`[low, high]`, empty where there is none."""
    return "" if math.isnan(low) else f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def why_untested(subjects: int) -> str:
    """The note of a table without p-values."""
    if subjects < 2:
        return "One subject only: no SD and no test possible."
    return "No test: MRSR was not evaluated."


def metric_table(
    title: str,
    results: Results,
    records: Sequence[tuple[str, Any]],
    metrics: Mapping[str, tuple[str, int]],
    note: str,
) -> Table:
    """A table with a group for each metric and a column for each method.

    Args:
        title: of the table, without the number of subjects.
        results: for the methods and subjects.
        records: (label of the line, record with metric, method, value, sd, low and high).
        metrics: metric -> (heading, decimals).
        note: below the table.
    """
    groups = []
    for metric, (heading, decimals) in metrics.items():
        lines: dict[str, dict[str, Cell]] = {}
        for label, record in records:
            if record.metric == metric:
                lines.setdefault(label, {})[record.method] = Cell(
                    format_mean(record.value, record.sd, decimals),
                    interval=format_interval(record.low, record.high, decimals),
                )
        ordered = [
            Line((label,), tuple(cells.get(method, Cell("")) for method in results.methods))
            for label, cells in lines.items()
        ]
        groups.append((heading, tuple(ordered)))
    columns = ("", *map(method_name, results.methods))
    subjects = counted(len(results.subjects), "subject")
    return Table(f"{title}, {subjects}", columns, tuple(groups), (note,))


def to_text(table: Table) -> str:
    """The table for a terminal, with the intervals and the paper's values below ours."""
    rows: list[tuple[str, ...]] = [table.columns]
    labels = len(table.columns) - len(table.groups[0][1][0].cells)
    for heading, lines in table.groups:
        rows += [("",), (heading,)]
        for line in lines:
            blank = ("",) * labels
            rows.append((*line.labels, *(cell.ours for cell in line.cells)))
            if any(cell.interval for cell in line.cells):
                rows.append((*blank, *(cell.interval for cell in line.cells)))
            if any(cell.paper for cell in line.cells):
                rows.append((*blank, *(_in_brackets(cell.paper) for cell in line.cells)))
    widths = [
        max(len(row[column]) for row in rows if len(row) > 1)
        for column in range(len(table.columns))
    ]
    aligned = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    )
    return "\n".join([table.title, "", *aligned, "", *table.notes])


def _in_brackets(value: str) -> str:
    return f"({value})" if value else ""
