"""Draws docs/images/example.jpg: a phantom knee, thick, super-resolved and true, and its T2.

    python -m phantom.simulate --output=scans/example --subjects=4 --seed=1000 --shape=208,224,160
    python docs/images/make_example.py scans/example/subject_003 docs/images/example.jpg

The fine slices of the phantom are the truth. They are thickened by two as in the paper, and the
shipped network doubles the thick slices again. The plane is coronal, so that slices run from left
to right: it shows what the thick slices have lost.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

import mrsr_tf
from mrsr_tf.io.nifti import read_map
from mrsr_tf.io.truth_files import LABELS, T2, label_names, truth_path

COLUMN = 141  # the coronal plane
ROWS, SLICES = slice(35, 160), slice(62, 150)  # the lateral compartment
T2_MS = Normalize(20, 60)


def main(subject: Path, picture: Path) -> None:
    """Makes the scans and the maps, and draws one plane of each."""
    truth = mrsr_tf.read(subject / "dicom")
    thick = truth.resliced(mrsr_tf.thicken(truth.array), 1 / 2)
    fine = mrsr_tf.super_resolve(thick)
    t2_ms = mrsr_tf.t2_map(fine, method="exact")
    true_t2_ms = read_map(truth_path(subject, T2), truth)
    cartilage = cartilage_mask(subject, truth)

    figure = Figure(figsize=(12, 4.9), dpi=100, layout="constrained")
    axes = figure.subplots(2, 4)
    columns = {
        f"Thick slices, {thick.spacing_mm[2]:.1f} mm": np.repeat(thick.array, 2, axis=2),
        f"Super-resolved, {fine.spacing_mm[2]:.1f} mm": fine.array,
        f"Truth, {truth.spacing_mm[2]:.1f} mm": truth.array,
    }
    for column, (title, array) in enumerate(columns.items()):
        axes[0, column].set_title(title)
        for echo in (0, 1):
            show(axes[echo, column], array[..., echo], truth, echo)
    t2_maps = {"T2, super-resolved": t2_ms, "T2, truth": true_t2_ms}
    for row, (title, values) in enumerate(t2_maps.items()):
        show(axes[row, 3], fine.array[..., 0], truth, 0)
        overlay(axes[row, 3], np.where(cartilage, values, np.nan), truth)
        axes[row, 3].set_title(title)
    for echo in (0, 1):
        axes[echo, 0].set_ylabel(f"Echo {echo + 1}")
    bar = figure.colorbar(ScalarMappable(T2_MS, "viridis"), ax=axes[:, 3], shrink=0.8)
    bar.set_label("T2 of cartilage (ms)")
    figure.savefig(picture, pil_kwargs={"quality": 90})


def cartilage_mask(subject: Path, scan: mrsr_tf.Volume) -> np.ndarray:
    """(rows, cols, slices) bool: where the phantom has cartilage."""
    labels = read_map(truth_path(subject, LABELS), scan)
    numbers = [number for name, number in label_names(subject).items() if "cartilage" in name]
    return np.isin(labels, numbers)


def show(axes: Axes, array: np.ndarray, scan: mrsr_tf.Volume, echo: int) -> None:
    """Draws the plane in grey, on one scale for an echo."""
    white = np.percentile(scan.array[ROWS, COLUMN, SLICES, echo], 97)
    draw(axes, array, scan, cmap="gray", vmin=0, vmax=white)


def overlay(axes: Axes, t2_ms: np.ndarray, scan: mrsr_tf.Volume) -> None:
    """Draws T2 in colour over the plane, where there is one."""
    draw(axes, np.ma.masked_invalid(t2_ms), scan, cmap="viridis", norm=T2_MS)


def draw(axes: Axes, array: np.ndarray, scan: mrsr_tf.Volume, **options: object) -> None:
    """Draws rows down and slices across, with square millimetres."""
    down, _, across = scan.spacing_mm
    axes.imshow(array[ROWS, COLUMN, SLICES], aspect=down / across, interpolation="none", **options)
    axes.set_xticks([])
    axes.set_yticks([])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
