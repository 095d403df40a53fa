"""The report's plots: dots per subject, Bland-Altman plots of T2, and lines per method."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from eval import statistics
from eval.reporting.style import INK, STYLE, method_name, method_style


def dots(panels: Mapping[str, Mapping[str, Sequence[float]]], *, shared_x: bool = False) -> Figure:
    """One row per method in each panel, with a dot per subject and a bar at the mean.

    Args:
        panels: title -> method -> one value per subject, the same subjects throughout.
        shared_x: whether all panels share their axis.
    """
    methods = list(next(iter(panels.values())))
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(2.6 * len(panels) + 0.6, 0.42 * len(methods) + 0.85), layout="constrained"
        )
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharex=shared_x, sharey=True))
        for ax, (title, values) in zip(axes, panels.items(), strict=True):
            _dots(ax, title, values)
        axes[0].set_yticks(range(len(methods)), [method_name(method) for method in methods])
        axes[0].set_ylim(len(methods) - 0.5, -0.5)
    return figure


def _dots(ax: Axes, title: str, values: Mapping[str, Sequence[float]]) -> None:
    ax.axvline(0, color=INK, linewidth=0.8)
    for row, (method, numbers) in enumerate(values.items()):
        colour = method_style(method).colour
        # A subject has the same height within every row.
        heights = row + np.linspace(-0.22, 0.22, len(numbers) + 2)[1:-1]
        ax.plot(numbers, heights, "o", color=colour, markersize=5, alpha=0.85, markeredgewidth=0)
        mean = np.mean(numbers)
        ax.plot([mean, mean], [row - 0.32, row + 0.32], color=colour, linewidth=2.5)
    ax.set_title(title, loc="left", fontsize=9)
    ax.tick_params(axis="y", length=0)
    _without_box(ax, "x")


def bland_altman(
    reference: Sequence[float], methods: Mapping[str, Sequence[float]], reference_name: str
) -> Figure:
    """Difference against mean of T2 per subject, with the mean difference and limits of agreement.

    The reference and each method have one value in ms per subject, two subjects or more.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.2 * len(methods) + 0.6, 2.5), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(methods), sharex=True, sharey=True))
        for ax, (method, values) in zip(axes, methods.items(), strict=True):
            _bland_altman(ax, reference, values, method_style(method).colour)
            ax.set_title(method_name(method), loc="left", fontsize=9)
        axes[0].set_ylabel(f"T2 minus {reference_name}, ms")
        figure.supxlabel(f"mean of T2 and {reference_name}, ms", fontsize=9)
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
    _without_box(ax, "y")


def lines(panels: Mapping[str, Mapping[str, Sequence[ArrayLike]]], x_label: str) -> Figure:
    """A line per method in each panel (title -> name -> x and y values), by colour and marker."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.6 * len(panels) + 0.4, 3.0), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(panels), sharex=True))
        legend = {}
        for ax, (title, curves) in zip(axes, panels.items(), strict=True):
            for method, (x, y) in curves.items():
                name, colour, marker = method_style(method)
                (legend[name],) = ax.plot(
                    x, y, color=colour, marker=marker, markersize=4,
                    linestyle="-" if marker else "--", linewidth=1.4,
                )  # fmt: skip
            ax.set_title(title, loc="left", fontsize=9)
            ax.yaxis.set_major_locator(MaxNLocator(5))
            _without_box(ax, "y")
        figure.supxlabel(x_label, fontsize=9)
        figure.legend(
            legend.values(),
            legend.keys(),
            loc="outside upper left",
            ncols=len(legend),
            frameon=False,
        )
    return figure


def _without_box(ax: Axes, grid_axis: str) -> None:
    """Removes the frame and adds a grid for reading values."""
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.grid(axis=grid_axis, color=INK, alpha=0.12, linewidth=0.6)  # type: ignore[arg-type]
    ax.patch.set_alpha(0)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
