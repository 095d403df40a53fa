"""Shows whether the uncertainty that `mrsr_tf.infer --ensemble` maps predicts the true errors.

    python -m eval.rank_errors --data=scans/test --model=runs/dual

Each scan in DATA, of fine slices, is the truth: it is thickened, upsampled by the ensemble and
compared with the result over the voxels above the noise; T2 is compared with a phantom's true T2 if
truth/ has it. The output is Spearman's correlation of uncertainty and absolute error, the same of
the image itself (bright voxels have larger errors, too), and the mean error in five groups of
equally many voxels, from the least to the most uncertain.
"""

from absl import flags

from mrsr_tf import cli
from mrsr_tf.inference.methods import choose_upsampler
from mrsr_tf.inference.upsampling import Method
from mrsr_tf.network.weights_file import PRETRAINED

DATA = flags.DEFINE_string("data", None, "A folder of subjects, or one scan.", required=True)
MODEL = flags.DEFINE_string("model", PRETRAINED, "The network, as --model of mrsr_tf.infer.")
CONSISTENT = flags.DEFINE_bool(
    "consistent", False, "Change results minimally so that, thickened again, they equal the input."
)
SERIES = cli.define_series()
SLICE_AXIS = cli.define_slice_axis()


def main() -> None:
    """Ranks the errors of each scan and prints a line for each echo and T2."""
    from eval.experiments import uncertainty_ranking
    from eval.regions import rois
    from mrsr_tf.io.scans import find_scans

    subjects = find_scans(DATA.value, SERIES.value)
    with cli.quiet_imports():
        from mrsr_tf.inference import super_resolution  # noqa: F401 (loads TensorFlow)
    upsampler = choose_upsampler(
        Method.MRSR, model=MODEL.value, ensemble=True, consistent=CONSISTENT.value
    )
    print("subject  image   correlation  of brightness  mean error, least to most uncertain fifth")
    for name, source in subjects.items():
        scan = source.read(SLICE_AXIS.value)
        true_t2 = rois.true_t2(source.subject, scan, slice_axis=SLICE_AXIS.value)
        for ranking in uncertainty_ranking.rank_errors(scan, upsampler, true_t2):
            unit, factor = ("ms", 1) if ranking.name == "T2" else ("% of the scale", 100)
            errors = "  ".join(f"{factor * error:.2f}" for error in ranking.errors)
            print(
                f"{name}  {ranking.name:6}  {ranking.correlation:.2f}  "
                f"{ranking.brightness_correlation:.2f}  {errors} {unit}"
            )


if __name__ == "__main__":
    cli.run(main)
