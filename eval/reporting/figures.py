"""The report's pictures: reformats with insets and differences, T2 maps, T2 laid out flat.

Panels are the scan's own voxels at their real aspect ratio. Everything that is compared shares one
window, and one diverging scale for differences. Colour maps are safe for colour-blind readers.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from numpy.typing import NDArray
from scipy import ndimage

from eval.methods import INPUT, NETWORK
from eval.results.planes import GAMMA, TRUTH, Picture
from eval.results.rows import method_name

# A colour that nothing else has, so that the report can give inlined SVG the page's own ink.
INK = "#12161c"
# Okabe and Ito's, told apart by colour-blind readers, on white and on black.
COLOURS = {"mrsr": "#D55E00", "tci": "#56B4E9", "fi": "#009E73", "scsr": "#CC79A7"}
OTHER_COLOUR = "#7f7f7f"
MARK = "#F0E442"
STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica Neue", "Arial", "DejaVu Sans"],
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "none",
    "svg.hashsalt": "mrsr-tf",
}
DPI = 160

PANEL_IN, GAP_IN, MARGIN_IN = 2.6, 0.06, 0.3
COLOUR_BAR_IN, SCALE_BAR_IN = 0.8, 0.3  # what these take up outside the panels
SQUARENESS = 1.3  # a panel is at most this much longer than wide
INSET, ZOOM = 0.42, 3.0  # the inset's part of the panel's width, its magnification
SCALE_BARS_MM = (20, 10, 5, 2, 1)  # the longest of at most a third of the width is drawn
T2_WINDOW_MS, T2_DIFFERENCE_MS, T2_MARGIN_MM = (0.0, 80.0), 10.0, 8.0
FLAT_WINDOW_MS = (20.0, 60.0)  # a mean over the depth spans less than its voxels


def reformat(picture: Picture) -> Figure:
    """One view of input, methods and truth: echoes as rows, differences from the truth below.

    The view is cropped to nearly a square about its centre; the inset lies where the input lost
    most.

    Args:
        picture: panels (down, right, echoes) in units of the truth's scale; "tci" (the network's
            input) and "truth" are among them.
    """
    lost = np.square(picture.panels[INPUT] - picture.panels[TRUTH]).sum(axis=2)
    crop = _crop(lost.shape, picture.spacing_mm)
    panels = {panel: picture.panels[panel][crop] for panel in in_order(picture.panels)}
    truth = panels[TRUTH]
    echoes, box = truth.shape[2], _inset_box(lost[crop], picture.spacing_mm)
    # The echoes differ much in brightness: a gamma lets one window show both.
    brightest = float(np.percentile(truth, 99.8)) or 1.0
    window = {"cmap": "gray", "norm": PowerNorm(GAMMA, 0.0, brightest)}
    limit = float(np.percentile(np.abs(panels[INPUT] - truth), 99.8)) or 1.0
    difference = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    with mpl.rc_context(STYLE):
        figure, axes = _grid(2 * echoes, len(panels), truth.shape, picture.spacing_mm)
        _headings(axes[0], [heading(method) for method in panels])
        for echo in range(echoes):
            images, differences = axes[echo], axes[echoes + echo]
            for ax, below, (method, panel) in zip(images, differences, panels.items(), strict=True):
                _show(ax, panel[..., echo], picture.spacing_mm, **window)
                _inset(ax, panel[..., echo], box, picture.spacing_mm, **window)
                if method == TRUTH:
                    below.set_axis_off()
                else:
                    _show(below, (panel - truth)[..., echo], picture.spacing_mm, **difference)
            images[0].set_ylabel(f"S{echo + 1}")
            differences[0].set_ylabel(f"S{echo + 1}: difference from truth")
        corner = "lower right" if _inset_left(box, truth.shape) else "lower left"
        _scale_bar(axes[0][0], truth.shape, picture.spacing_mm, corner, "white")
        _colour_bar(axes[echoes][-1], axes[echoes][0], "difference / truth's scale")
    return figure


def t2_maps(picture: Picture) -> Figure:
    """T2 in the region on the thick scan's S1; below, each map's difference from the thick scan.

    Args:
        picture: panels (down, right): "s1", "roi" (bool), and T2 in ms, NaN where invalid: "thick"
            first, the methods', and "truth" where it is known.
    """
    roi = picture.panels["roi"].astype(bool)
    crop = _around(roi, T2_MARGIN_MM, picture.spacing_mm)
    panels = {key: panel[crop] for key, panel in picture.panels.items()}
    s1, roi = panels.pop("s1"), panels.pop("roi").astype(bool)
    brightest = float(np.percentile(s1, 99.5)) or 1.0
    gray = {"cmap": "gray", "vmin": 0.0, "vmax": brightest}
    dim = gray | {"vmax": 3 * brightest}  # white is no difference: nothing beside it may be white
    low, high = T2_WINDOW_MS
    with mpl.rc_context(STYLE):
        figure, axes = _grid(2, len(panels), s1.shape, picture.spacing_mm)
        _headings(axes[0], [method_name(method) for method in panels])
        for above, below, (method, t2) in zip(*axes, panels.items(), strict=True):
            _show(above, s1, picture.spacing_mm, **gray)
            _overlay(above, t2, roi, cmap="viridis", vmin=low, vmax=high)
            if method == "thick":
                below.set_axis_off()
                continue
            _show(below, s1, picture.spacing_mm, **dim)
            change = t2 - panels["thick"]
            _overlay(
                below, change, roi, cmap="RdBu_r", vmin=-T2_DIFFERENCE_MS, vmax=T2_DIFFERENCE_MS
            )
        axes[0][0].set_ylabel("T2")
        axes[1][1].set_ylabel("difference from thick scan")
        _scale_bar(axes[0][0], s1.shape, picture.spacing_mm, "lower left", "white")
        _colour_bar(axes[1][0], axes[0][0], "T2, ms", at=0.12)
        _colour_bar(axes[1][0], axes[1][1], "difference, ms", at=0.56)
    return figure


def unrolled(picture: Picture) -> Figure:
    """T2 of femoral cartilage laid out flat: all maps in one window, the front above.

    Args:
        picture: panels (down, right), T2 in ms, NaN where there is none: "thick" first, the
            methods', and "truth" where it is known; its spacing is along arc and axis.
    """
    panels = picture.panels
    shape = panels["thick"].shape
    low, high = FLAT_WINDOW_MS
    with mpl.rc_context(STYLE):
        room = {"right_in": COLOUR_BAR_IN, "below_in": SCALE_BAR_IN}
        figure, axes = _grid(1, len(panels), shape, picture.spacing_mm, **room)
        _headings(axes[0], [*map(method_name, panels)])
        for ax, t2 in zip(axes[0], panels.values(), strict=True):
            _show(ax, t2, picture.spacing_mm, cmap="viridis", vmin=low, vmax=high)
        axes[0][0].set_ylabel("back to front, upwards")
        _scale_bar(axes[0][0], shape, picture.spacing_mm, "below", INK)
        _colour_bar(axes[0][-1], axes[0][0], "T2, ms", at=1.06)
    return figure


def save(figure: Figure, folder: Path, stem: str) -> None:
    """Writes STEM.png and STEM.svg into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.png").write_bytes(rendered(figure, "png"))
    (folder / f"{stem}.svg").write_bytes(rendered(figure, "svg"))


def rendered(figure: Figure, kind: str) -> bytes:
    """The figure as "png" (on white) or "svg" (on nothing), the same bytes each time."""
    buffer = BytesIO()
    options: dict[str, Any] = {"dpi": DPI}
    if kind == "svg":
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        options = {"transparent": True, "metadata": nothing}
    with mpl.rc_context(STYLE):
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()


def in_order(panels: Mapping[str, NDArray]) -> list[str]:
    """The input first, the truth last, MRSR beside it: what is to be compared lies together."""
    rank = {INPUT: 0, NETWORK: 2, TRUTH: 3}
    return sorted(panels, key=lambda panel: rank.get(panel, 1))


def heading(method: str) -> str:
    """What a panel of reformats is called."""
    return f"Input ({method_name(method)})" if method == INPUT else method_name(method)


def _grid(
    rows: int,
    columns: int,
    shape: Sequence[int],
    spacing_mm: Sequence[float],
    *,
    right_in: float = 0.0,
    below_in: float = 0.0,
) -> tuple[Figure, NDArray]:
    """Panels of one width and the picture's aspect ratio, with room for headings and labels."""
    width = PANEL_IN
    height = width * (shape[0] * spacing_mm[0]) / (shape[1] * spacing_mm[1])
    size = (
        columns * (width + GAP_IN) + MARGIN_IN + GAP_IN + right_in,
        rows * (height + GAP_IN) + MARGIN_IN + GAP_IN + below_in,
    )
    figure = Figure(figsize=size)
    axes = np.empty((rows, columns), object)
    for row, column in np.ndindex(rows, columns):
        left = MARGIN_IN + column * (width + GAP_IN)
        bottom = size[1] - MARGIN_IN - (row + 1) * (height + GAP_IN) + GAP_IN
        box = (left / size[0], bottom / size[1], width / size[0], height / size[1])
        axes[row, column] = figure.add_axes(box)
    return figure, axes


def _headings(axes: Sequence[Axes], titles: Sequence[str]) -> None:
    for ax, title in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10, pad=5)


def _show(ax: Axes, image: NDArray, spacing_mm: Sequence[float], **colours: Any) -> None:
    ax.imshow(image, aspect=spacing_mm[0] / spacing_mm[1], **colours)
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(False)


def _overlay(ax: Axes, values: NDArray, roi: NDArray, **colours: Any) -> None:
    shown = np.ma.masked_where(~roi | ~np.isfinite(values), values)
    ax.imshow(shown, aspect=ax.get_aspect(), interpolation="nearest", **colours)


def _inset(
    ax: Axes, image: NDArray, box: tuple[slice, slice], spacing_mm: Sequence[float], **colours: Any
) -> None:
    """The part of `image` in `box`, magnified, in the lower corner away from it."""
    down, right = box
    ax.add_patch(
        Rectangle(
            (right.start - 0.5, down.start - 0.5),
            right.stop - right.start,
            down.stop - down.start,
            fill=False,
            edgecolor=MARK,
            linewidth=0.8,
        )
    )
    sides = [(right.stop - right.start) / image.shape[1], (down.stop - down.start) / image.shape[0]]
    width, height = (ZOOM * side for side in sides)
    left = 0.0 if _inset_left(box, image.shape) else 1 - width
    inset = ax.inset_axes((left, 0, width, height))
    _show(inset, image[box], spacing_mm, interpolation="nearest", **colours)
    inset.set_aspect("auto")
    for spine in inset.spines.values():
        spine.set(visible=True, color=MARK, linewidth=0.8)


def _inset_left(box: tuple[slice, slice], shape: Sequence[int]) -> bool:
    return box[1].start + box[1].stop > shape[1]


def _inset_box(lost: NDArray, spacing_mm: Sequence[float]) -> tuple[slice, slice]:
    """A square in mm, INSET / ZOOM of the width, where most was lost in the central half."""
    side_mm = INSET / ZOOM * lost.shape[1] * spacing_mm[1]
    sides = [
        max(1, min(round(side_mm / mm), count))
        for count, mm in zip(lost.shape, spacing_mm, strict=True)
    ]
    central = tuple(slice(count // 4, max(count // 4 + 1, 3 * count // 4)) for count in lost.shape)
    weight = ndimage.uniform_filter(lost, sides, mode="constant")[central]
    peak = np.unravel_index(np.argmax(weight), weight.shape)
    down, right = (
        _window(part.start + int(at), side, count)
        for part, at, side, count in zip(central, peak, sides, lost.shape, strict=True)
    )
    return down, right


def _crop(shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[slice, slice]:
    """The longer side shortened to SQUARENESS of the shorter one, about the centre."""
    limit_mm = SQUARENESS * min(count * mm for count, mm in zip(shape, spacing_mm, strict=True))
    down, right = (
        _window(count // 2, min(count, max(1, round(limit_mm / mm))), count)
        for count, mm in zip(shape, spacing_mm, strict=True)
    )
    return down, right


def _window(centre: int, length: int, count: int) -> slice:
    """`length` of `count` positions about `centre`, moved inside where they do not fit."""
    start = min(max(centre - length // 2, 0), count - length)
    return slice(start, start + length)


def _around(roi: NDArray, margin_mm: float, spacing_mm: Sequence[float]) -> tuple[slice, ...]:
    """The box that holds `roi` with a margin."""
    return tuple(
        slice(max(0, int(where.min() - margin_mm / mm)), int(where.max() + margin_mm / mm) + 2)
        for where, mm in zip(np.nonzero(roi), spacing_mm, strict=True)
    )


def _scale_bar(
    ax: Axes, shape: Sequence[int], spacing_mm: Sequence[float], where: str, colour: str
) -> None:
    """A bar of a whole length, in a corner or below; none where even 1 mm would be too long."""
    width_mm = shape[1] * spacing_mm[1]
    length_mm = next((mm for mm in SCALE_BARS_MM if mm <= width_mm / 3), None)
    if length_mm is None:
        return
    place: dict[str, Any] = {"loc": where, "borderpad": 0.7}
    if where == "below":
        place = {"loc": "upper left", "bbox_to_anchor": (0, 0), "bbox_transform": ax.transAxes}
    ax.add_artist(
        AnchoredSizeBar(
            ax.transData,
            length_mm / spacing_mm[1],
            f"{length_mm} mm",
            size_vertical=0.012 * width_mm / spacing_mm[0],
            label_top=where != "below",
            sep=2,
            color=colour,
            frameon=False,
            fontproperties=FontProperties(size=8),
            **place,
        )
    )


def _colour_bar(beside: Axes, of: Axes, label: str, at: float = 0.12) -> None:
    """A bar in the empty panel `beside`, for the last image of the panel `of`."""
    ax = beside.inset_axes((at, 0.1, 0.07, 0.8))
    bar = ax.figure.colorbar(of.images[-1], cax=ax)
    bar.set_label(label)
    bar.outline.set_visible(False)
