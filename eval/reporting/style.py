"""Colours and fonts that all figures of the report share, and how figures are written.

The colours can be distinguished by colour-blind readers.
"""

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

# No other element has this colour, so the report can replace it in SVG by the page's own.
INK = "#12161c"
# Okabe and Ito's colours, for white and for black backgrounds.
COLOURS = {"mrsr": "#D55E00", "tci": "#56B4E9", "fi": "#009E73", "scsr": "#CC79A7"}
OTHER_COLOUR = "#7f7f7f"
INSET_COLOUR = "#F0E442"
T2_COLOURS, DIFFERENCE_COLOURS = "viridis", "RdBu_r"
T2_WINDOW_MS = (0.0, 80.0)
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
