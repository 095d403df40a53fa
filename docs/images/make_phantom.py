"""Draws docs/images/phantom.jpg and phantom_gallery.jpg from simulated knees.

    python -m phantom.simulate --output=scans/gallery --subjects=4 --seed=1000
    python docs/images/make_phantom.py scans/gallery docs/images

The first shows both echoes and the true T2 of cartilage of subject_000 in three planes, the second
four knees. Planes run through the middle of a compartment's cartilage.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

import mrsr_tf
from mrsr_tf.io.nifti import read_map
from mrsr_tf.io.truth_files import LABELS, T2, label_names, truth_path

WHITE = (0.6, 0.35)  # of the intensity scale, in each echo
T2_MS = Normalize(15, 60)
# The axis across each plane, and the cartilage whose middle it runs through.
PLANES = ((2, "lateral_femoral"), (1, "medial_tibial"), (0, "patellar"))


class Knee:
    """A simulated knee with its planes.

    Args:
        subject: a folder of phantom.simulate.
    """

    def __init__(self, subject: Path) -> None:
        self.scan = mrsr_tf.read(subject / "dicom")
        self.scale = np.percentile(self.scan.array, 99.9)
        labels, t2_ms = (read_map(truth_path(subject, name), self.scan) for name in (LABELS, T2))
        numbers = label_names(subject)
        cartilage = np.isin(labels, [n for name, n in numbers.items() if "cartilage" in name])
        self.t2_ms = np.ma.masked_array(t2_ms, ~cartilage)
        self.planes = []
        for axis, part in PLANES:
            inside = np.isin(labels, [n for name, n in numbers.items() if name.startswith(part)])
            self.planes.append((axis, int(np.median(np.nonzero(inside)[axis]))))

    def draw(self, axes: Axes, plane: int, echo: int, *, t2: bool = False) -> None:
        """Draws one plane of an echo, with the true T2 of cartilage over it if asked."""
        axis, index = self.planes[plane]
        down, across = np.delete(self.scan.spacing_mm, axis)
        image = np.take(self.scan.array[..., echo], index, axis=axis) / self.scale
        axes.imshow(image, "gray", vmin=0, vmax=WHITE[echo], aspect=down / across)
        if t2:
            values = np.take(self.t2_ms, index, axis=axis)
            axes.imshow(values, "viridis", norm=T2_MS, aspect=down / across)
        axes.set_axis_off()


def main(subjects: Path, pictures: Path) -> None:
    """Draws both pictures."""
    knees = [Knee(subject) for subject in sorted(subjects.glob("subject_*"))]
    figure = Figure(figsize=(9, 9), dpi=90, layout="constrained")
    for plane, row in enumerate(figure.subplots(3, 3)):
        for axes, (echo, t2) in zip(row, ((0, False), (1, False), (0, True)), strict=True):
            knees[0].draw(axes, plane, echo, t2=t2)
    figure.savefig(pictures / "phantom.jpg", pil_kwargs={"quality": 88})
    figure = Figure(figsize=(12, 3 * len(knees)), dpi=80, layout="constrained")
    for knee, row in zip(knees, figure.subplots(len(knees), 4, squeeze=False), strict=True):
        for axes, (plane, echo) in zip(row, ((0, 0), (0, 1), (1, 0), (2, 0)), strict=True):
            knee.draw(axes, plane, echo)
    figure.savefig(pictures / "phantom_gallery.jpg", pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
