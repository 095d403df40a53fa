"""What the summaries share: means, p-values, and the CSV file of their records."""

import csv
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eval import statistics
from eval.reporting.table_layout import Table
from mrsr_tf.outputs import output_file

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
        with (
            output_file(folder / self.file) as partial,
            partial.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            for row in rows:
                writer.writerow(
                    {name: "" if value != value else value for name, value in row.items()}
                )


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and SD (ddof 1) over subjects; the SD of one subject is NaN."""
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else NAN
    return float(np.mean(values)), sd


def p_values(values: Sequence[float], reference: Sequence[float]) -> tuple[float, float]:
    """Mann-Whitney's and Wilcoxon's p; NaN with fewer than two subjects."""
    if min(len(values), len(reference)) < 2:
        return NAN, NAN
    return statistics.mann_whitney(values, reference), statistics.wilcoxon(values, reference)


def holm(family: Sequence[float]) -> list[float]:
    """The p-values adjusted over the family by Holm's method; NaN stays NaN."""
    adjusted = iter(statistics.holm([p for p in family if not math.isnan(p)]).tolist())
    return [p if math.isnan(p) else next(adjusted) for p in family]
