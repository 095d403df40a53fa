"""A figure of the atoms of an ScSR dictionary."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from eval.sparse.scsr import DERIVATIVES, PATCH, ScSR
from mrsr_tf.outputs import output_file

GAP = 1  # voxels between atoms
PANEL_IN = 4.2
TITLES = ("fine patch", "1st derivative, rows", "2nd, rows", "1st, slices", "2nd, slices")


def dictionary_figure(dictionary: ScSR) -> Figure:
    """The fine patches and the four derivatives of all atoms, in the same order, strongest first.

    Rows run down and slices to the right. Each atom has its own gray scale, from minus to plus its
    largest absolute value.
    """
    order = np.argsort(-np.linalg.norm(dictionary.high, axis=1))
    derivatives = np.split(dictionary.low, 2 * len(DERIVATIVES), axis=1)
    figure = Figure(figsize=(PANEL_IN * len(TITLES), PANEL_IN + 0.5), layout="constrained", dpi=100)
    panels = figure.subplots(1, len(TITLES))
    for ax, title, atoms in zip(panels, TITLES, [dictionary.high, *derivatives], strict=True):
        ax.imshow(mosaic(atoms[order]), cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        ax.set(title=title, xticks=[], yticks=[])
    figure.suptitle(f"{len(order)} atoms, x{dictionary.factor} slices; rows down, slices across")
    return figure


def mosaic(atoms: NDArray[np.floating]) -> NDArray[np.floating]:
    """Atoms (atoms, 25) as tiles of one image, row by row, each divided by its largest value."""
    across = int(np.ceil(np.sqrt(len(atoms))))
    down = -(-len(atoms) // across)
    largest = np.abs(atoms).max(axis=1, keepdims=True)
    tiles = np.ones((down * across, PATCH + GAP, PATCH + GAP))
    tiles[: len(atoms), :PATCH, :PATCH] = np.divide(
        atoms, largest, out=np.zeros_like(atoms), where=largest > 0
    ).reshape(-1, PATCH, PATCH)
    side = PATCH + GAP
    rows = tiles.reshape(down, across, side, side).swapaxes(1, 2)
    return rows.reshape(down * side, across * side)[:-GAP, :-GAP]


def save_figure(dictionary: ScSR, path: Path) -> None:
    """Writes the figure as PNG."""
    with output_file(path) as partial:
        dictionary_figure(dictionary).savefig(partial)
