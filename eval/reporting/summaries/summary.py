"""What the summaries share: means, p-values, and the CSV file of their records."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval import statistics
from eval.reporting.table_layout import Table
from eval.results.rows import write_csv

NAN = float("nan")


@dataclass(frozen=True)
class Summary:
    """An evaluation summarized over its subjects.

    Attributes:
        file: the name of the CSV file.
        records: its rows, dataclasses of one kind.
        tables: the records laid out for reading.
    """

    file: str
    records: Sequence[Any]
    tables: Sequence[Table]

    def write_csv(self, folder: Path) -> None:
        """Writes the records with a column per field; NaN becomes an empty cell."""
        rows = [asdict(record) for record in self.records]
        filled = [{name: cell for name, cell in row.items() if cell == cell} for row in rows]
        write_csv(folder / self.file, rows[0], filled)


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and SD (ddof 1) over subjects; the SD of one subject is NaN."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else NAN
    return float(np.mean(values)), sd


def compare(
    samples: Sequence[Sequence[float]], references: Sequence[Sequence[float]]
) -> list[dict[str, float]]:
    """The p-values of each sample against its reference; NaN with fewer than two subjects.

    Mann-Whitney's test, as in the paper, ignores that the samples share their subjects; the paired
    test is Wilcoxon's. Both are also adjusted over all samples by Holm's method.
    """

    def test(p_value: Callable[[Sequence[float], Sequence[float]], float]) -> list[float]:
        return [
            p_value(values, reference) if min(len(values), len(reference)) > 1 else NAN
            for values, reference in zip(samples, references, strict=True)
        ]

    p_values = {
        "mann_whitney_p": test(statistics.mann_whitney),
        "paired_p": test(statistics.wilcoxon),
    }
    p_values |= {f"{name}_holm": _holm(family) for name, family in p_values.items()}
    return [dict(zip(p_values, row, strict=True)) for row in zip(*p_values.values(), strict=True)]


def _holm(family: Sequence[float]) -> list[float]:
    adjusted = iter(statistics.holm([p for p in family if not math.isnan(p)]).tolist())
    return [p if math.isnan(p) else next(adjusted) for p in family]
