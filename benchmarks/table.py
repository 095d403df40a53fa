"""What a benchmark hands over: rows, each a measured quantity beside a peer or a limit.

A benchmark is a module with its flags, a `measure()` that gives rows, and

    if __name__ == "__main__":
        table.run(measure)
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from absl import flags

from mrsr_tf import cli

RATE = "/s"  # how a unit ends of which more is better


@dataclass(frozen=True)
class Row:
    """A quantity, as often as it was measured.

    Attributes:
        what: its name; a curve's points have the same.
        unit: one that ends in "/s" is a rate, the more the better; of others less is better.
        values: ours, one of each round.
        peer: what it is measured against, or "".
        theirs: the peer's in the same rounds, or the one limit.
        at: of a point of a curve, where it lies.
    """

    what: str
    unit: str
    values: Sequence[float]
    peer: str = ""
    theirs: Sequence[float] = ()
    at: float | None = None

    def ratios(self) -> list[float]:
        """How many times better than the peer, in each round."""
        theirs = self.theirs if len(self.theirs) > 1 else list(self.theirs) * len(self.values)
        pairs = zip(self.values, theirs, strict=True) if theirs else ()
        return [own / other if self.unit.endswith(RATE) else other / own for own, other in pairs]


HEADINGS = ("what", "at", "ours", "unit", "beside", "has", "times better", "rounds")


def cells(row: Row) -> tuple[str, ...]:
    """A row as it is printed, under `HEADINGS`: medians, and how far the rounds' ratios spread."""
    ratios = row.ratios()
    return (
        row.what,
        "" if row.at is None else number(row.at),
        number(statistics.median(row.values)),
        row.unit,
        row.peer,
        number(statistics.median(row.theirs)) if ratios else "",
        f"{statistics.median(ratios):.2f}" if ratios else "",
        f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else "",
    )


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(rows: Iterable[Row]) -> str:
    """The rows as a table of aligned columns; those that are empty throughout are left out."""
    columns = [column for column in zip(HEADINGS, *map(cells, rows)) if any(column[1:])]  # noqa: B905
    widths = [max(map(len, column)) for column in columns]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in zip(*columns, strict=True)
    )


def run(measure: Callable[[], list[Row]]) -> NoReturn:
    """Runs a benchmark as a command: prints its rows; `--json=FILE` writes them, too."""
    path = flags.DEFINE_string(
        "json", None, "File to write the rows to, too.", module_name=sys.argv[0]
    )

    def main() -> None:
        rows = measure()
        print(text(rows))
        if path.value:
            Path(path.value).write_text(json.dumps([asdict(row) for row in rows]), encoding="utf-8")

    cli.run(main)
