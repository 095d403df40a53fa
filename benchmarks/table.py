"""The result of a benchmark: rows, each a measured quantity, compared with a peer or a limit.

A benchmark is a module with its flags and a `measure()` that returns rows. The first line of its
docstring is the question that it answers. It ends with

    if __name__ == "__main__":
        table.run(measure)
"""

import json
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from absl import flags

from mrsr_tf import cli

OURS = "ours"
HEADINGS = (
    "quantity",
    "size",
    "ours",
    "unit",
    "compared with",
    "its value",
    "times better",
    "range over rounds",
)


@dataclass(frozen=True)
class Row:
    """A quantity and its values in all rounds.

    Attributes:
        quantity: its name; all points of a curve have the same name.
        unit: of a unit that ends in "/s" higher values are better, of others lower ones.
        values: ours, one per round.
        peer: the name of what it is compared with, or "".
        peer_values: the peer's values in the same rounds, or a single limit.
        size: for a point of a curve, the size of the problem.
    """

    quantity: str
    unit: str
    values: Sequence[float]
    peer: str = ""
    peer_values: Sequence[float] = ()
    size: float | None = None

    def ratios(self) -> list[float]:
        """How many times better ours is than the peer, in each round."""
        if not self.peer_values:
            return []
        single = len(self.peer_values) == 1
        peer_values = list(self.peer_values) * (len(self.values) if single else 1)
        pairs = zip(self.values, peer_values, strict=True)
        if self.unit.endswith("/s"):
            return [ours / peer for ours, peer in pairs]
        return [peer / ours for ours, peer in pairs]


def rows_by_peer(quantity: str, unit: str, measured: Mapping[str, Sequence[float]]) -> list[Row]:
    """A row for each of our peers, from the values of all contenders, ours among them."""
    peers = {name: values for name, values in measured.items() if name != OURS}
    return [Row(quantity, unit, measured[OURS], *peer) for peer in peers.items()]


def cells(row: Row) -> tuple[str, ...]:
    """The cells of a row under `HEADINGS`: medians over the rounds, and the range of the ratios."""
    ratios = row.ratios()
    return (
        row.quantity,
        "" if row.size is None else number(row.size),
        number(statistics.median(row.values)),
        row.unit,
        row.peer,
        number(statistics.median(row.peer_values)) if ratios else "",
        f"{statistics.median(ratios):.2f}" if ratios else "",
        f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else "",
    )


def number(value: float) -> str:
    """A number with three significant digits, or with all digits before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def lines(rows: Iterable[Row]) -> list[tuple[str, ...]]:
    """The heading and the cells of the rows, without columns that are empty in all rows."""
    table = [HEADINGS, *map(cells, rows)]
    columns = [column for column in zip(*table, strict=True) if any(column[1:])]
    return list(zip(*columns, strict=True))


def text(rows: Iterable[Row]) -> str:
    """The rows as a table of aligned columns."""
    table = lines(rows)
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    )


def run(measure: Callable[[], list[Row]]) -> NoReturn:
    """Runs a benchmark as a command that prints its rows."""
    path = flags.DEFINE_string(
        "json", None, "A file to write the rows to as JSON.", module_name=sys.argv[0]
    )

    def main() -> None:
        rows = measure()
        print(text(rows))
        if path.value:
            content = json.dumps([asdict(row) for row in rows], allow_nan=False)
            Path(path.value).write_text(content, encoding="utf-8")

    cli.run(main)
