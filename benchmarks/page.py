"""docs/benchmarks.md and its pictures, of what was measured."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from benchmarks.table import HEADINGS, Row, cells

TEMPLATE = "page.md.jinja"
LINES = ("the line", "linear")  # peers that are straight lines
LINEAR = 0.25  # how far from these counts as bent

Measured = Mapping[str, Mapping[str, Any]]


def render(measured: Measured) -> str:
    """The page.

    Args:
        measured: of each benchmark, its rows and command, machine, versions, date and load.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE).render(
        measured=measured,
        table=_table,
        bends=list(_bends(measured)),
        same=lambda key: sorted({entry[key] for entry in measured.values()}),
    )


def rows_of(entry: Mapping[str, Any]) -> list[Row]:
    """A benchmark's rows, as they were before they became JSON."""
    return [Row(**row) for row in entry["rows"]]


def draw(measured: Measured, folder: Path) -> None:
    """Writes benchmarks_ratios.png, all ratios, and benchmarks_growth.png, the curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in (("ratios", _ratios), ("growth", _growth)):
        picture(measured, pyplot).savefig(folder / f"benchmarks_{name}.png", dpi=110)
    pyplot.close("all")


def _ratios(measured: Measured, pyplot: Any) -> Any:
    named = {
        f"{row.what} / {row.peer}": row.ratios()
        for entry in measured.values()
        for row in rows_of(entry)
        if row.ratios() and row.at is None
    }
    middle = np.array([statistics.median(ratios) for ratios in named.values()])
    ends = np.array([(min(ratios), max(ratios)) for ratios in named.values()]).reshape(-1, 2)
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.22 * len(named)), layout="constrained")
    axes.errorbar(middle, list(named), xerr=abs(ends.T - middle), fmt="o", capsize=2)
    axes.axvline(1, color="gray")
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="times better than it, median and range of the rounds")
    return figure


def _growth(measured: Measured, pyplot: Any) -> Any:
    curves = list(_curves(measured))
    figure = pyplot.figure(figsize=(3 * max(len(curves), 1), 3), layout="constrained")
    for number, (what, points) in enumerate(curves, 1):
        panel = figure.add_subplot(1, len(curves), number)
        beside = [row for row in points if row.theirs]
        panel.plot([r.at for r in points], [statistics.median(r.values) for r in points], "o-",
                   label="ours")  # fmt: skip
        panel.plot([r.at for r in beside], [statistics.median(r.theirs) for r in beside], "--",
                   label=points[-1].peer)  # fmt: skip
        panel.set(ylabel=points[0].unit, ylim=(0, None), xlim=(0, None))
        panel.set_title(what, fontsize="small")
        panel.legend()
    return figure


def _table(entry: Mapping[str, Any]) -> str:
    lines = [HEADINGS, ["---"] * len(HEADINGS), *map(cells, rows_of(entry))]
    kept = [n for n in range(len(HEADINGS)) if any(line[n] for line in lines[2:])]
    return "\n".join("| " + " | ".join(line[n] for n in kept) + " |" for line in lines)


def _curves(measured: Measured) -> Iterator[tuple[str, Sequence[Row]]]:
    points = [row for entry in measured.values() for row in rows_of(entry) if row.at is not None]
    for what, rows in groupby(points, key=lambda row: row.what):
        yield what, list(rows)


def _bends(measured: Measured) -> Iterator[tuple[str, float | None, float | None]]:
    """Of each curve beside a line: its last point, and the first that is off it by `LINEAR`."""
    for what, points in _curves(measured):
        if points[-1].peer in LINES:
            bent = (row.at for row in points if row.theirs and _off(row) > LINEAR)
            yield what, points[-1].at, next(bent, None)


def _off(row: Row) -> float:
    return abs(statistics.median(row.ratios()) - 1)
