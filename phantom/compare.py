"""Compares a phantom with the real knee it is modelled on, in figures and in pictures.

    python -m phantom.compare --real=pyKNEEr/code/demo/original/01/DESS --output=comparison

Simulates a knee with the voxels, timing and spoiler of the real scan, draws matching slices of both
in three planes with the same window (planes.png) and writes a table of figures (figures.md): where
interpolation of thickened slices errs, the texture of each tissue, and noise. With --model it also
compares how much a network gains over interpolation. The phantom is not fitted to the real knee.
The pictures show a real person's knee: do not publish them.
"""

from typing import TYPE_CHECKING

from absl import flags

from mrsr_tf import cli

if TYPE_CHECKING:
    from phantom.comparison.figures import Restore

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_string("real", None, "The real scan, a DICOM folder.", required=True)
    flags.DEFINE_string("output", None, "The folder to write.", required=True)
    flags.DEFINE_string(
        "model", None, "A network whose gain over interpolation is compared, as --model of "
        "mrsr_tf.infer. One that was trained on neither scan tells most.",
    )  # fmt: skip
    cli.define_seed("Seed of the phantom.")
    cli.define_overwrite()


def main() -> None:
    """Writes the table and the pictures and prints the table."""
    from mrsr_tf.io.dicom import read_series
    from mrsr_tf.outputs import check_output, output_folder
    from phantom.comparison.figures import comparison_table
    from phantom.comparison.pictures import draw_planes
    from phantom.comparison.scans import real_and_phantom

    check_output(FLAGS.output, [FLAGS.real, *filter(None, [FLAGS.model])])
    restore = _restore()
    configuration = {"seed": FLAGS.seed, "model": FLAGS.model}
    output = output_folder(
        FLAGS.output, configuration, command="phantom.compare", overwrite=FLAGS.overwrite
    )
    with output as folder:
        pair = real_and_phantom(read_series(FLAGS.real), FLAGS.seed)
        table = comparison_table(pair, restore)
        (folder / "figures.md").write_text(table, encoding="utf-8")
        draw_planes(pair, folder / "planes.png")
    print(table)


def _restore() -> "Restore | None":
    """The network of --model as a function of thick slices."""
    if FLAGS.model is None:
        return None
    with cli.quiet_imports():
        from mrsr_tf.inference.super_resolution import Network
        from mrsr_tf.network.trained_model import load_model

    return Network(load_model(FLAGS.model)).upsample


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
