"""Compares a phantom with the real knee it is modelled on, in figures and in pictures.

    python -m phantom.compare --real=pyKNEEr/code/demo/original/01/DESS --output=comparison

Simulates a knee with the voxels, timing and spoiler of the real scan, draws matching slices of both
in three planes with the same window (planes.png) and writes a table of figures (figures.md). The
phantom is not fitted to the real knee. The pictures show a real person's knee: do not publish them.
"""

from absl import flags

from mrsr_tf import cli

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_string("real", None, "The real scan, a DICOM folder.", required=True)
    flags.DEFINE_string("output", None, "The folder to write.", required=True)
    cli.define_seed("Seed of the phantom.")
    cli.define_overwrite()


def main() -> None:
    """Writes the table and the pictures and prints the table."""
    from mrsr_tf.io.dicom import read_series
    from mrsr_tf.outputs import check_output, output_folder
    from phantom import comparison

    check_output(FLAGS.output, [FLAGS.real])
    configuration = {"seed": FLAGS.seed}
    output = output_folder(
        FLAGS.output, configuration, command="phantom.compare", overwrite=FLAGS.overwrite
    )
    with output as folder:
        pair = comparison.real_and_phantom(read_series(FLAGS.real), FLAGS.seed)
        table = comparison.comparison_table(pair)
        (folder / "figures.md").write_text(table, encoding="utf-8")
        comparison.draw_planes(pair, folder / "planes.png")
    print(table)


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
