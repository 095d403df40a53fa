"""Names, colours and fonts that all tables and figures of the report share, and saving of figures.

The colours can be distinguished by colour-blind readers.
"""

from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

# No other element has this colour, so the report can replace it in SVG by the page's own.
INK = "#12161c"
INSET_COLOUR = "#F0E442"
DIFFERENCE_COLOURS = "RdBu_r"
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


class MethodStyle(NamedTuple):
    """How a method or reference is shown: without a marker, its line is dashed."""

    name: str
    colour: str = "#7f7f7f"
    marker: str | None = None


# The colours are Okabe and Ito's, for white and for black backgrounds.
METHOD_STYLES = {
    "mrsr": MethodStyle("MRSR", "#D55E00", "o"),
    "tci": MethodStyle("TCI", "#56B4E9", "s"),
    "fi": MethodStyle("FI", "#009E73", "^"),
    "scsr": MethodStyle("ScSR", "#CC79A7", "D"),
    "thick": MethodStyle("Thick scan"),
    "truth": MethodStyle("Truth"),
}


def method_style(method: str) -> MethodStyle:
    """The style of a method or reference; any other is shown by the name that it has."""
    return METHOD_STYLES.get(method, MethodStyle(method))


def method_name(method: str) -> str:
    """The display name of a method or reference."""
    return method_style(method).name


def save_figure(figure: Figure, folder: Path, stem: str) -> None:
    """Writes STEM.png and STEM.svg into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.png").write_bytes(render(figure, "png"))
    (folder / f"{stem}.svg").write_bytes(render(figure, "svg"))


def render(figure: Figure, kind: str) -> bytes:
    """The figure as "png" (white background) or "svg" (transparent); the same bytes every time."""
    file = BytesIO()
    options: dict[str, Any] = {"dpi": DPI}
    if kind == "svg":
        no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        options = {"transparent": True, "metadata": no_metadata}
    with mpl.rc_context(STYLE):
        figure.savefig(file, format=kind, **options)
    return file.getvalue()
