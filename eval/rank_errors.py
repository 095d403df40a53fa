"""Tells whether the uncertainty that `mrsr_tf.infer --ensemble` maps ranks the true errors.

    python -m eval.rank_errors --data=scans/test --model=runs/dual

Each scan in DATA, of fine slices, is the truth: it is thickened, brought back by the ensemble and
compared with it, over the voxels that stand out of the noise; T2 with a phantom's known T2 where
truth/ has it. Printed are Spearman's correlation of uncertainty and size of the error, the same of
the image itself (bright voxels err more, too), and the mean error in five groups of as many voxels,
from the least uncertain to the most.
"""

from absl import flags

from mrsr_tf import cli

DATA = flags.DEFINE_string("data", None, "Folder of subjects, or one scan.", required=True)
MODEL = flags.DEFINE_string("model", "pretrained", "A finished run folder, or an exported one.")
CONSISTENT = flags.DEFINE_bool("consistent", False, "As for mrsr_tf.infer.")
SLICE_AXIS = flags.DEFINE_integer(
    "slice_axis", 2, "Which axis of a NIfTI counts slices.", lower_bound=0, upper_bound=2
)


def main() -> None:
    """Ranks the errors on each scan and prints a line for each echo and T2."""
    from eval.experiments import uncertainty_ranking
    from eval.regions import rois
    from mrsr_tf.io.scans import find_subjects, read_scan
    from mrsr_tf.volume import intensity_scale

    subjects = find_subjects(DATA.value)
    with cli.quiet_imports():
        from mrsr_tf.inference import super_resolution
        from mrsr_tf.network.trained_model import load_model

    way = super_resolution.network(
        load_model(MODEL.value), ensemble=True, consistent=CONSISTENT.value
    )
    print("subject  image   correlation  of brightness  mean error, least to most uncertain fifth")
    for name, path in subjects.items():
        scan = read_scan(path, slice_axis=SLICE_AXIS.value)
        true_t2 = rois.true_t2(path, scan, slice_axis=SLICE_AXIS.value)
        for of in uncertainty_ranking.rank_errors(
            scan, way, scale=intensity_scale(scan.array), true_t2_ms=true_t2
        ):
            unit, times = ("ms", 1) if of.name == "T2" else ("% of the scale", 100)
            errors = "  ".join(f"{times * error:.2f}" for error in of.errors)
            print(
                f"{name}  {of.name:6}  {of.correlation:.2f}  {of.of_brightness:.2f}  "
                f"{errors} {unit}"
            )


if __name__ == "__main__":
    cli.run(main)
