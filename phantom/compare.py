"""Puts a phantom beside the real knee that it was never fitted to, by figures and by eye.

    python -m phantom.compare --real=pyKNEEr/code/demo/original/01/DESS --output=comparison

Simulates a knee with the real scan's voxels, timing and spoiler, draws matching slices of both in
three planes at the same window (planes.png) and writes a table of figures (figures.md). The
pictures show a real person's knee: they stay where they are made.
"""

from typing import TYPE_CHECKING

from absl import flags

from mrsr_tf import cli

if TYPE_CHECKING:
    from phantom.comparison import Compared

FLAGS = flags.FLAGS
CONDYLES_ABOVE_MM = 22.0


def _define_flags() -> None:
    flags.DEFINE_string("real", None, "The real scan: a DICOM folder.", required=True)
    flags.DEFINE_string("output", None, "Folder to make.", required=True)
    flags.DEFINE_integer("seed", 0, "Of the phantom.", lower_bound=0)
    flags.DEFINE_bool("overwrite", False, "Remove what stands at --output and start anew.")


def main() -> None:
    """The command."""
    from mrsr_tf.io.dicom import read_series
    from mrsr_tf.outputs import output_folder
    from phantom import comparison

    configuration = {"seed": FLAGS.seed}
    with output_folder(FLAGS.output, configuration, overwrite=FLAGS.overwrite) as folder:
        pair = comparison.paired(read_series(FLAGS.real), FLAGS.seed)
        table = comparison.table(pair)
        (folder / "figures.md").write_text(table, encoding="utf-8")
        _draw(pair, str(folder / "planes.png"))
    print(table)


def _draw(pair: "tuple[Compared, Compared]", path: str) -> None:
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(4, 3, figsize=(15, 20))
    for row, (knee, echo) in enumerate((knee, echo) for echo in (0, 1) for knee in pair):
        scan, (plateau_row, plateau_column, plateau_slice) = knee.scan, knee.plateau
        image = scan.array[..., echo] / np.percentile(scan.array[..., echo], 99.7)
        # Sagittal and coronal through the plateau, axial through the condyles above it.
        places = (
            plateau_row - round(CONDYLES_ABOVE_MM / scan.spacing_mm[0]),
            plateau_column,
            plateau_slice,
        )
        for column, axis in enumerate((2, 1, 0)):
            down, across = (d for i, d in enumerate(scan.spacing_mm) if i != axis)
            plane = np.take(image, places[axis], axis=axis)
            axes[row, column].imshow(plane, "gray", vmin=0, vmax=1, aspect=down / across)
            axes[row, column].set_title(f"{('real', 'phantom')[row % 2]}, echo {echo + 1}")
            axes[row, column].axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=80)


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
