"""The page docs/benchmarks.md and its figures."""

import ast
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

import jinja2
import numpy as np

from benchmarks.table import Row, lines

FOLDER, TEMPLATE = Path(__file__).parent, "page.md.jinja"


class Entry(TypedDict):
    """The results of one benchmark, as benchmarks.json holds them."""

    command: str
    date: str
    load: float
    seconds: int
    machine: str
    versions: str
    rows: list[dict[str, Any]]


Results = Mapping[str, Entry]


def render(results: Results) -> str:
    """The text of the page from the results of each benchmark."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE).render(
        results=results,
        question=question,
        table=_markdown_table,
        machines=sorted({entry["machine"] for entry in results.values()}),
        versions=sorted({entry["versions"] for entry in results.values()}),
    )


def question(name: str) -> str:
    """The question that a benchmark answers: the first line of its docstring."""
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


def _rows(results: Results) -> list[Row]:
    return [Row(**row) for entry in results.values() for row in entry["rows"]]


def draw(results: Results, folder: Path) -> None:
    """Writes benchmarks_ratios.png with all ratios and benchmarks_growth.png with all curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in (("ratios", _draw_ratios), ("growth", _draw_growth)):
        figure(results, pyplot).savefig(folder / f"benchmarks_{name}.png", dpi=110)
    pyplot.close("all")


def _draw_ratios(results: Results, pyplot: Any) -> Any:
    rows = [row for row in _rows(results) if row.ratios() and row.size is None]
    ratios = {f"{row.quantity} / {row.peer}": row.ratios() for row in rows}
    medians = np.array([statistics.median(values) for values in ratios.values()])
    ends = np.array([(min(values), max(values)) for values in ratios.values()]).reshape(-1, 2)
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.22 * len(ratios)), layout="constrained")
    axes.errorbar(medians, list(ratios), xerr=abs(ends.T - medians), fmt="o", capsize=2)
    axes.axvline(1, color="gray")
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="times better, median and range over the rounds")
    return figure


def _draw_growth(results: Results, pyplot: Any) -> Any:
    curves: dict[str, list[Row]] = {}
    for row in _rows(results):
        if row.size is not None:
            curves.setdefault(row.quantity, []).append(row)
    figure = pyplot.figure(figsize=(3 * max(len(curves), 1), 3), layout="constrained")
    for number, (quantity, points) in enumerate(curves.items(), 1):
        panel = figure.add_subplot(1, len(curves), number)
        compared = [row for row in points if row.peer_values]
        ours = [statistics.median(row.values) for row in points]
        peers = [statistics.median(row.peer_values) for row in compared]
        panel.plot([row.size for row in points], ours, "o-", label="ours")
        panel.plot([row.size for row in compared], peers, "--", label=points[-1].peer)
        panel.set(ylabel=points[0].unit, ylim=(0, None), xlim=(0, None))
        panel.set_title(quantity, fontsize="small")
        panel.legend()
    return figure


def _markdown_table(entry: Entry) -> str:
    heading, *body = lines(Row(**row) for row in entry["rows"])
    rule = ["---"] * len(heading)
    return "\n".join("| " + " | ".join(line) + " |" for line in (heading, rule, *body))
