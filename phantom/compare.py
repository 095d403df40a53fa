"""Compares phantoms with the real knee they are modelled on, in figures and in pictures.

    python -m phantom.compare --real=pyKNEEr/code/demo/original/01/DESS --output=comparison

Simulates knees with the voxels, timing and spoiler of the real scan, draws matching slices of the
first and of the real knee in three planes with the same window (planes.png), and writes a table of
figures (figures.md): where interpolation of thickened slices errs, the texture of each tissue, and
noise. With --model it also compares how much a network gains over interpolation. The phantoms are
not fitted to the real knee.
The pictures show a real person's knee: do not publish them.
"""

import itertools
from typing import TYPE_CHECKING

from absl import flags

from mrsr_tf import cli

if TYPE_CHECKING:
    from phantom.comparison.figures import Networks

FLAGS = flags.FLAGS


def _define_flags() -> None:
    flags.DEFINE_string("real", None, "The real scan, a DICOM folder.", required=True)
    flags.DEFINE_string("output", None, "The folder to write.", required=True)
    flags.DEFINE_integer("phantoms", 4, "Number of phantoms.", lower_bound=1)
    flags.DEFINE_list(
        "model", [], "Networks whose gain over interpolation is compared, each as --model of "
        "mrsr_tf.infer. One that was trained on neither scan tells most.",
    )  # fmt: skip
    cli.define_seed("Seed of the phantoms.")
    cli.define_overwrite()


def main() -> None:
    """Writes the table and the pictures and prints the table."""
    from mrsr_tf.io.dicom import read_series
    from mrsr_tf.outputs import check_output, output_folder
    from phantom.comparison.figures import comparison_table
    from phantom.comparison.pictures import draw_planes
    from phantom.comparison.scans import phantom_like, real_knee

    check_output(FLAGS.output, [FLAGS.real, *FLAGS.model])
    networks = _networks()
    configuration = {name: FLAGS[name].value for name in ("phantoms", "seed", "model")}
    output = output_folder(
        FLAGS.output, configuration, command="phantom.compare", overwrite=FLAGS.overwrite
    )
    with output as folder:
        real = real_knee(read_series(FLAGS.real))
        first = phantom_like(real.scan, 0, FLAGS.seed)
        draw_planes(real, first, folder / "planes.png")
        others = (phantom_like(real.scan, n, FLAGS.seed) for n in range(1, FLAGS.phantoms))
        table = comparison_table(real, itertools.chain([first], others), networks)
        (folder / "figures.md").write_text(table, encoding="utf-8")
    print(table)


def _networks() -> "Networks":
    """The networks of --model as functions of thick slices."""
    if not FLAGS.model:
        return {}
    with cli.quiet_imports():
        from mrsr_tf.inference.super_resolution import Network
        from mrsr_tf.network.trained_model import load_model

    return {name: Network(load_model(name)).upsample for name in FLAGS.model}


if __name__ == "__main__":
    _define_flags()
    cli.run(main)
