"""The report's plots: dots per subject, Bland and Altman's of T2, lines per method."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from eval import statistics
from eval.reporting.figures import COLOURS, INK, OTHER_COLOUR, STYLE
from eval.results.rows import method_name

MARKS = {"mrsr": "o", "tci": "s", "fi": "^", "scsr": "D"}  # all else is dashed


def dots(panels: Mapping[str, Mapping[str, Sequence[float]]], *, one_scale: bool = False) -> Figure:
    """Per-subject values: for each panel a line per method, a dot per subject, a bar at the mean.

    Args:
        panels: title -> method -> one value per subject, the same subjects throughout.
        one_scale: whether all panels are of one unit and so share their scale.
    """
    methods = list(next(iter(panels.values())))
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(2.6 * len(panels) + 0.6, 0.42 * len(methods) + 0.85), layout="constrained"
        )
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharex=one_scale, sharey=True))
        for ax, (title, values) in zip(axes, panels.items(), strict=True):
            _dots(ax, title, values)
        axes[0].set_yticks(range(len(methods)), [method_name(method) for method in methods])
        axes[0].set_ylim(len(methods) - 0.5, -0.5)
    return figure


def _dots(ax: Axes, title: str, values: Mapping[str, Sequence[float]]) -> None:
    ax.axvline(0, color=INK, linewidth=0.8)
    for line, (method, numbers) in enumerate(values.items()):
        colour = COLOURS.get(method, OTHER_COLOUR)
        # The same subject lies at the same height within each line.
        heights = line + np.linspace(-0.22, 0.22, len(numbers) + 2)[1:-1]
        ax.plot(numbers, heights, "o", color=colour, markersize=5, alpha=0.85, markeredgewidth=0)
        mean = np.mean(numbers)
        ax.plot([mean, mean], [line - 0.32, line + 0.32], color=colour, linewidth=2.5)
    ax.set_title(title, loc="left", fontsize=9)
    ax.tick_params(axis="y", length=0)
    _plain(ax, "x")


def bland_altman(
    reference: Sequence[float], methods: Mapping[str, Sequence[float]], of: str
) -> Figure:
    """Difference over mean of each subject's two T2, mean difference and limits of agreement.

    Args:
        reference: one value in ms per subject, two subjects or more.
        methods: method -> likewise, of the same subjects in the same order.
        of: what the reference is, as it is to be read.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.2 * len(methods) + 0.6, 2.5), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(methods), sharex=True, sharey=True))
        for ax, (method, values) in zip(axes, methods.items(), strict=True):
            _bland_altman(ax, reference, values, COLOURS.get(method, OTHER_COLOUR))
            ax.set_title(method_name(method), loc="left", fontsize=9)
        axes[0].set_ylabel(f"T2 minus {of}, ms")
        figure.supxlabel(f"mean of T2 and {of}, ms", fontsize=9)
    return figure


def _bland_altman(
    ax: Axes, reference: Sequence[float], values: Sequence[float], colour: str
) -> None:
    difference = np.subtract(values, reference)
    limits = statistics.limits_of_agreement(reference, values)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.axhspan(*limits, color=colour, alpha=0.15, linewidth=0)
    ax.axhline(difference.mean(), color=colour, linewidth=2)
    ax.plot(np.mean([reference, values], axis=0), difference, "o", color=colour, markersize=5)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    _plain(ax, "y")


def lines(panels: Mapping[str, Mapping[str, Sequence[ArrayLike]]], along: str) -> Figure:
    """A line per method in each panel, told apart by colour and by mark.

    Args:
        panels: title -> method, or what else it is of -> (positions, values).
        along: what the positions are.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.6 * len(panels) + 0.4, 3.0), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharex=True))
        drawn = {}
        for ax, (title, values) in zip(axes, panels.items(), strict=True):
            for method, (positions, heights) in values.items():
                colour, mark = COLOURS.get(method, OTHER_COLOUR), MARKS.get(method)
                (drawn[method_name(method)],) = ax.plot(
                    positions, heights, color=colour, marker=mark, markersize=4,
                    linestyle="-" if mark else "--", linewidth=1.4,
                )  # fmt: skip
            ax.set_title(title, loc="left", fontsize=9)
            ax.yaxis.set_major_locator(MaxNLocator(5))
            _plain(ax, "y")
        figure.supxlabel(along, fontsize=9)
        figure.legend(
            drawn.values(), drawn.keys(), loc="outside upper left", ncols=len(drawn), frameon=False
        )
    return figure


def _plain(ax: Axes, across: str) -> None:
    """No box, and a grid across the axis to read values from."""
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.grid(axis=across, color=INK, alpha=0.12, linewidth=0.6)  # type: ignore[arg-type]
    ax.patch.set_alpha(0)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
