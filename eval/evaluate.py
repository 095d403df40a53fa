"""Evaluates upsampling methods: image quality and T2 as in the paper, lesions, resolution.

    python -m eval.evaluate --experiment=image_quality --data=DATA --output=RESULTS --model=RUNS/dual
    python -m eval.evaluate --experiment=t2 --data=DATA --output=RESULTS --model=EXPORTED
    python -m eval.evaluate --experiment=image_quality --data=SCAN --output=RESULTS --methods=tci,fi
    python -m eval.evaluate --experiment=lesions --data=DATA --output=RESULTS
    python -m eval.evaluate --experiment=resolution --data=DATA --output=RESULTS

DATA holds one folder for each subject (dicom/ or image.nii.gz; for T2, rois.nii.gz with rois.json,
or a phantom's truth/), or is one scan.

    image_quality   each scan is the truth; it is thickened, and what each method makes of it is
                    compared with the truth
    t2              each scan is the thick one; it is upsampled, the signals of its fine slices are
                    combined again, and T2 in the regions is compared with the scan's own
    lesions         small lesions are added to the regions of a scan of fine slices, which is
                    thickened and upsampled: how many are detected, and how many are made up?
    resolution      how much of the structure along the slices is restored, how sharp edges are,
                    and what is false

Writes RESULTS/rows.csv, and RESULTS/reformats/ for eval.report. If interrupted, the same call
continues with the subjects that are missing.
"""  # noqa: E501 (commands can be pasted)

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from eval.experiments.config import (
    LESION_SIZES_MM,
    MAIN_REGION,
    Combination,
    EvaluationConfig,
    Outliers,
)
from eval.results.rows import Experiment
from mrsr_tf import cli
from mrsr_tf.errors import AlreadyDone, Failures, InputError
from mrsr_tf.inference.methods import choose_upsampler
from mrsr_tf.inference.upsampling import INTERPOLATIONS, wrap
from mrsr_tf.mri.dess import T2Method
from mrsr_tf.mri.slices import DEFAULT_FACTOR
from mrsr_tf.network.precision import Precision
from mrsr_tf.network.weights_file import PRETRAINED

if TYPE_CHECKING:
    from eval.sparse import ScSR
    from mrsr_tf.inference.upsampling import Upsampler
    from mrsr_tf.network.trained_model import TrainedModel

EXPERIMENT = flags.DEFINE_enum(
    "experiment",
    None,
    list(Experiment),
    "What is measured: image quality, T2 in regions, how many small lesions are detected, or the "
    "resolution along the slices.",
    required=True,
)
DATA = flags.DEFINE_string("data", None, "A folder of subjects, or one scan.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
METHODS = flags.DEFINE_list(
    "methods", ["mrsr", "tci", "fi"], "The methods to compare, among mrsr, tci, fi and scsr."
)
MODEL = flags.DEFINE_string(
    "model", PRETRAINED, "The network of method mrsr, as --model of mrsr_tf.infer."
)
PRECISION = flags.DEFINE_enum(
    "precision", Precision.FLOAT32, list(Precision), "Number format of the network's convolutions."
)
ENSEMBLE = flags.DEFINE_bool(
    "ensemble",
    False,
    "Methods mrsr and scsr take the mean over eight mirrored scans. (Interpolation is symmetric: "
    "it would not change.)",
)
CONSISTENT = flags.DEFINE_bool(
    "consistent", False, "Change results minimally so that, thickened again, they equal the input."
)
SCSR = flags.DEFINE_string(
    "scsr", None, "The dictionary of method scsr: the output of eval.train_scsr."
)
SCSR_STRIDE = cli.define_count(
    "scsr_stride",
    1,
    "Distance between the patches of method scsr in voxels; 2 takes a quarter of the time.",
)
SLICE_FACTOR = cli.define_slice_factor(
    None,
    "Fine slices per thick slice. By default that of the model, and 2 without method mrsr.",
)
SERIES = cli.define_series()
SLICE_AXIS = cli.define_slice_axis()
ROI = flags.DEFINE_list(
    "roi",
    [MAIN_REGION],
    "Regions for T2 and lesions. A region is all labels whose names start with its words; "
    "NAME:deep and NAME:superficial are the halves of cartilage by depth.",
)
T2_METHOD = flags.DEFINE_enum(
    "t2_method",
    T2Method.ANALYTIC,
    list(T2Method),
    "How T2 is computed: by the paper's formula (5 % too long at 50 ms, 13 % at 80), or by "
    "inversion of the steady state.",
)
LESION_MM = flags.DEFINE_list(
    "lesion_mm",
    [f"{size:g}" for size in LESION_SIZES_MM],
    "Lengths of the lesions across the slices; each is 2 mm wide within them.",
)
T1_MS = flags.DEFINE_list(
    "t1_ms",
    ["1200"],
    "T1 for T2: 1200 for cartilage, 1000 for meniscus. One for all regions, or one for each.",
)
OUTLIERS = flags.DEFINE_enum(
    "outliers",
    Outliers.NONE,
    list(Outliers),
    "Voxels of a region that T2 leaves out although they have one: none, as in the paper, or "
    "those further from the median than three scaled median absolute deviations (partly fluid).",
)
RIM = flags.DEFINE_bool(
    "rim",
    True,
    "Include the rim of a region in each slice, as in the paper. Its voxels are partly bone or "
    "fluid; --norim leaves them out of T2.",
)
COMBINATION = flags.DEFINE_enum(
    "combination",
    Combination.COVERING,
    list(Combination),
    "How fine slices make up a thick one for T2: weighted by the part of it that they cover, or as "
    "the plain mean of as many as the factor, which shifts its centre (for a factor of 2, by half "
    "a fine slice).",
)
ANONYMOUS_NAMES = flags.DEFINE_bool(
    "anonymous_names",
    False,
    "Name the subjects subject_01, subject_02, ... in the results, in the order of their sorted "
    "names. By default they are named by their folders.",
)
WORKERS = cli.define_count(
    "workers",
    1,
    "Number of subjects at a time, each with its scan in memory. The network works on one scan at "
    "a time.",
)
OVERWRITE = cli.define_overwrite()


def main() -> None:
    """Evaluates the methods."""
    from eval.experiments import image_quality, runner
    from eval.methods import check_names
    from eval.results import rows
    from mrsr_tf.io.scans import find_scans
    from mrsr_tf.outputs import check_output, output_folder, versions, write_json

    inputs = filter(None, (DATA.value, MODEL.value, SCSR.value))
    check_output(OUTPUT.value, inputs)
    check_names(METHODS.value)
    failures = Failures()
    subjects = find_scans(DATA.value, SERIES.value, failures.add)
    if ANONYMOUS_NAMES.value:
        subjects = runner.anonymous(subjects)
    model = _model()
    factor = model.slice_factor if model else SLICE_FACTOR.value or DEFAULT_FACTOR
    dictionary = _dictionary(factor)
    plain = (EXPERIMENT, SLICE_AXIS, ROI, T2_METHOD, COMBINATION, OUTLIERS, RIM)
    settings: dict[str, Any] = {flag.name: flag.value for flag in plain}
    config = EvaluationConfig(
        slice_factor=factor,
        t1_ms=_positive("T1 in ms", T1_MS.value),
        lesion_mm=_positive("lesions in mm", LESION_MM.value),
        **settings,
    )
    configuration = config.relevant() | _identity(model, dictionary) | {"subjects": [*subjects]}
    output = output_folder(
        OUTPUT.value, configuration, command="eval.evaluate", overwrite=OVERWRITE.value, resume=True
    )
    try:
        with output as folder:
            upsamplers = [_upsampler(name, factor, model, dictionary) for name in METHODS.value]
            runner.evaluate(
                subjects, upsamplers, config, folder, workers=WORKERS.value, failures=failures
            )
            write_json(folder / rows.VERSIONS, versions("numpy", "scipy", "skimage"))
    except AlreadyDone:
        runner.check_sources(subjects, config, Path(OUTPUT.value))
        raise
    if config.experiment == Experiment.IMAGE_QUALITY:
        measured = rows.read_rows(Path(OUTPUT.value) / rows.ROWS, config.experiment)
        print(*image_quality.summary_lines(measured), sep="\n")
    evaluated = cli.counted(len(subjects), "subject")
    print(f"{evaluated} evaluated: {Path(OUTPUT.value) / rows.ROWS}")


def _positive(what: str, values: list[str]) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = []
    if not (numbers and all(0 < number < math.inf for number in numbers)):
        raise InputError(f"expected {what}, numbers above 0, got {','.join(values) or 'none'}")
    return numbers


def _model() -> "TrainedModel | None":
    """The network of method mrsr, if that is evaluated."""
    from eval.methods import NETWORK

    if NETWORK not in METHODS.value:
        return None
    with cli.quiet_imports():
        from mrsr_tf.network.trained_model import load_model

    model = load_model(MODEL.value, slice_factor=SLICE_FACTOR.value)
    if model.first_slice:
        raise InputError(
            "expected a network of thick slices that sit on fine ones (fir, kspace), as scans are "
            f"made thick here, got one of slices that sit between them: {MODEL.value}"
        )
    return model


def _dictionary(factor: int) -> "ScSR | None":
    """The dictionary of method scsr, if that is evaluated."""
    from eval.methods import SPARSE
    from eval.sparse import ScSR

    if SPARSE not in METHODS.value:
        return None
    if SCSR.value is None:
        raise InputError("expected --scsr, what eval.train_scsr made, for method scsr; got none")
    dictionary = ScSR.load(SCSR.value)
    if dictionary.factor != factor:
        raise InputError(
            f"expected a dictionary of slice factor {factor}, got {dictionary.factor} in "
            f"{SCSR.value}"
        )
    return dictionary


def _identity(model: "TrainedModel | None", dictionary: "ScSR | None") -> dict[str, Any]:
    """What identifies the results; options only if they are not at their defaults."""
    identity: dict[str, Any] = {"methods": METHODS.value, "model": None}
    if model:
        identity["model"] = {"name": model.name, "weights_sha256": model.weights_sha256}
    if dictionary:
        identity |= {"scsr_sha256": dictionary.sha256, "scsr_stride": SCSR_STRIDE.value}
    options = (PRECISION, ENSEMBLE, CONSISTENT, ANONYMOUS_NAMES)
    return identity | {flag.name: flag.value for flag in options if flag.value != flag.default}


def _upsampler(
    name: str, factor: int, model: "TrainedModel | None", dictionary: "ScSR | None"
) -> "Upsampler":
    from eval.methods import SPARSE, SparseCoding

    ensemble = ENSEMBLE.value and name not in INTERPOLATIONS
    if name == SPARSE and dictionary:
        upsampler: Upsampler = SparseCoding(dictionary, SCSR_STRIDE.value)
    else:
        upsampler = choose_upsampler(
            name, model=model, slice_factor=factor, precision=PRECISION.value
        )
    return wrap(upsampler, ensemble=ensemble, consistent=CONSISTENT.value)


if __name__ == "__main__":
    cli.run(main)
