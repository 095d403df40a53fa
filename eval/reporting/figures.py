"""The report's images: reformats with insets and differences, T2 maps, and cartilage laid out flat.

Panels show the scan's own voxels in real proportions. Whatever is compared shares one window, and
all differences share one diverging scale.
"""

from collections.abc import Iterable

import matplotlib as mpl
import numpy as np
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from eval.methods import INPUT, NETWORK
from eval.reporting import drawing
from eval.reporting.style import (
    DIFFERENCE_COLOURS,
    INK,
    STYLE,
    method_name,
)
from eval.results.planes import TRUTH, Picture
from mrsr_tf.viewing.boxes import GAMMA
from mrsr_tf.viewing.overlays import T2_COLOURS, T2_WINDOW_MS

T2_DIFFERENCE_MS, T2_MARGIN_MM = 10.0, 8.0
FLAT_WINDOW_MS = (20.0, 60.0)  # means over depth have a smaller range than voxels


def reformat(picture: Picture) -> Figure:
    """One view of input, methods and truth: a row per echo, then differences from the truth.

    The view is cropped to nearly a square about its centre. The inset shows where the input
    differs most from the truth. The panels are (down, right, echoes) in units of the truth's scale;
    "tci" (the network's input) and "truth" are among them.
    """
    spacing_mm = picture.spacing_mm
    error = np.square(picture.panels[INPUT] - picture.panels[TRUTH]).sum(axis=2)
    crop = drawing.squarish_crop(error.shape, spacing_mm)
    panels = {name: picture.panels[name][crop] for name in display_order(picture.panels)}
    truth = panels[TRUTH]
    echoes, region = truth.shape[2], drawing.inset_region(error[crop], spacing_mm)
    # The echoes differ widely in brightness; a gamma makes both visible in one window.
    brightest = float(np.percentile(truth, 99.8)) or 1.0
    window = {"cmap": "gray", "norm": PowerNorm(GAMMA, 0.0, brightest)}
    limit = float(np.percentile(np.abs(panels[INPUT] - truth), 99.8)) or 1.0
    difference = {"cmap": DIFFERENCE_COLOURS, "vmin": -limit, "vmax": limit}
    with mpl.rc_context(STYLE):
        titles = [heading(name) for name in panels]
        figure, axes = drawing.grid(2 * echoes, titles, truth.shape, spacing_mm)
        for echo in range(echoes):
            for column, panel in enumerate(panels.values()):
                drawing.show(axes[echo, column], panel[..., echo], spacing_mm, **window)
                drawing.inset(axes[echo, column], panel[..., echo], region, spacing_mm, **window)
            for ax, (name, panel) in zip(axes[echoes + echo], panels.items(), strict=True):
                if name == TRUTH:
                    ax.set_axis_off()
                else:
                    drawing.show(ax, (panel - truth)[..., echo], spacing_mm, **difference)
            axes[echo, 0].set_ylabel(f"S{echo + 1}")
            axes[echoes + echo, 0].set_ylabel(f"S{echo + 1}: difference from truth")
        corner = "lower right" if drawing.inset_is_left(region, truth.shape) else "lower left"
        drawing.scale_bar(axes[0, 0], truth.shape, spacing_mm, corner, "white")
        drawing.colour_bar(axes[echoes, -1], axes[echoes, 0], "difference / truth's scale")
    return figure


def t2_maps(picture: Picture) -> Figure:
    """T2 in the region on S1 of the thick scan, and each map's difference from the thick scan's.

    The panels (down, right) are "s1", "roi" (bool), and T2 in ms, NaN where invalid: "thick" first,
    the methods, and "truth" where it is known.
    """
    spacing_mm = picture.spacing_mm
    crop = drawing.crop_around(picture.panels["roi"], T2_MARGIN_MM, spacing_mm)
    panels = {name: panel[crop] for name, panel in picture.panels.items()}
    s1, roi = panels.pop("s1"), panels.pop("roi").astype(bool)
    brightest = float(np.percentile(s1, 99.5)) or 1.0
    gray = {"cmap": "gray", "vmin": 0.0, "vmax": brightest}
    dim = gray | {"vmax": 3 * brightest}  # white means no difference, so the image must not be
    t2_colours = {"cmap": T2_COLOURS, "vmin": T2_WINDOW_MS[0], "vmax": T2_WINDOW_MS[1]}
    limits = {"vmin": -T2_DIFFERENCE_MS, "vmax": T2_DIFFERENCE_MS}
    with mpl.rc_context(STYLE):
        figure, axes = drawing.grid(2, list(map(method_name, panels)), s1.shape, spacing_mm)
        for above, below, (name, t2) in zip(*axes, panels.items(), strict=True):
            drawing.show(above, s1, spacing_mm, **gray)
            drawing.overlay(above, t2, roi, **t2_colours)
            if name == "thick":
                below.set_axis_off()
                continue
            drawing.show(below, s1, spacing_mm, **dim)
            drawing.overlay(below, t2 - panels["thick"], roi, cmap=DIFFERENCE_COLOURS, **limits)
        axes[0][0].set_ylabel("T2")
        axes[1][1].set_ylabel("difference from thick scan")
        drawing.scale_bar(axes[0][0], s1.shape, spacing_mm, "lower left", "white")
        drawing.colour_bar(axes[1][0], axes[0][0], "T2, ms", at=0.12)
        drawing.colour_bar(axes[1][0], axes[1][1], "difference, ms", at=0.56)
    return figure


def unrolled(picture: Picture) -> Figure:
    """T2 of femoral cartilage laid out flat, all maps in one window, the front above.

    The panels are T2 in ms, NaN where there is none: "thick" first, the methods, and "truth" where
    it is known; the spacing is along arc and axis.
    """
    panels, spacing_mm = picture.panels, picture.spacing_mm
    shape = panels["thick"].shape
    window = {"vmin": FLAT_WINDOW_MS[0], "vmax": FLAT_WINDOW_MS[1]}
    with mpl.rc_context(STYLE):
        titles = list(map(method_name, panels))
        figure, axes = drawing.grid(1, titles, shape, spacing_mm, right_in=0.8, below_in=0.3)
        for ax, t2 in zip(axes[0], panels.values(), strict=True):
            drawing.show(ax, t2, spacing_mm, cmap=T2_COLOURS, **window)
        axes[0][0].set_ylabel("back to front, upwards")
        drawing.scale_bar(axes[0][0], shape, spacing_mm, "below", INK)
        drawing.colour_bar(axes[0][-1], axes[0][0], "T2, ms", at=1.06)
    return figure


def display_order(names: Iterable[str]) -> list[str]:
    """The input first, the truth last, and MRSR beside the truth."""
    rank = {INPUT: 0, NETWORK: 2, TRUTH: 3}
    return sorted(names, key=lambda name: rank.get(name, 1))


def heading(method: str) -> str:
    """The heading of a panel of reformats."""
    return f"Input ({method_name(method)})" if method == INPUT else method_name(method)
