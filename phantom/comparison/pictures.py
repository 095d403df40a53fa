"""Pictures of two scans side by side."""

from pathlib import Path

import numpy as np

from phantom.comparison.scans import ComparedScan

CONDYLES_ABOVE_MM = 22.0  # height of the axial plane above the plateau
# Both echoes with the same window in each, and S2 in a narrow one that shows air and its lines.
WINDOWS = ((0, 0.7), (1, 0.4), (1, 0.1))


def draw_planes(real: ComparedScan, phantom: ComparedScan, path: Path) -> None:
    """Draws sagittal, coronal and axial planes of both scans, on the scale of each."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(6, 3, figsize=(15, 30))
    rows = [
        (echo, white, name, knee)
        for echo, white in WINDOWS
        for name, knee in (("real", real), ("phantom", phantom))
    ]
    for panels, (echo, white, name, knee) in zip(axes, rows, strict=True):
        scan, (plateau_row, plateau_column, plateau_slice) = knee.scan, knee.plateau
        image = scan.array[..., echo] / np.percentile(scan.array, 99.9)
        axial_row = plateau_row - round(CONDYLES_ABOVE_MM / scan.spacing_mm[0])
        for panel, axis, index in zip(
            panels, (2, 1, 0), (plateau_slice, plateau_column, axial_row), strict=True
        ):
            down, across = np.delete(scan.spacing_mm, axis)
            plane = np.take(image, index, axis=axis)
            panel.imshow(plane, "gray", vmin=0, vmax=white, aspect=down / across)
            panel.set_title(f"{name}, echo {echo + 1}, 0 to {100 * white:g} %")
            panel.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    pyplot.close(figure)
