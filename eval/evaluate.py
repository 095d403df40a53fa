"""Evaluates methods on a cohort: image quality or T2 of cartilage as the paper does, or limits.

    python -m eval.evaluate --cohort=image_quality --data=DATA --output=RESULTS --model=RUNS/dual
    python -m eval.evaluate --cohort=t2 --data=DATA --output=RESULTS --model=EXPORTED
    python -m eval.evaluate --cohort=image_quality --data=SCAN --output=RESULTS --methods=tci,fi
    python -m eval.evaluate --cohort=lesions --data=DATA --output=RESULTS
    python -m eval.evaluate --cohort=resolution --data=DATA --output=RESULTS

DATA holds one folder per subject (dicom/ or image.nii.gz; for T2, rois.nii.gz with rois.json, or a
phantom's truth/), or is one scan. Cohort image_quality takes each scan as the truth, thickens it
and compares what each method makes of it. Cohort t2 takes each scan as thick, multiplies its
slices, combines their signals again and compares T2 in the region with the scan's own. Cohort
lesions puts small lesions into the region of a scan of fine slices and tells which are found after
it was thickened and brought back, and what is found that is not there. Cohort resolution tells how
much of the structure along the slices comes back, how sharp edges are, and what is false.

Gives RESULTS/rows.csv, and RESULTS/reformats/ for eval.report. Interrupted, the same call goes on
with the subjects that are missing.
"""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eval.methods import Method

COHORT = flags.DEFINE_enum(
    "cohort",
    None,
    ["image_quality", "t2", "lesions", "resolution"],
    "What is measured.",
    required=True,
)
DATA = flags.DEFINE_string("data", None, "Folder of subjects, or one scan.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
MODEL = flags.DEFINE_string("model", "pretrained", "Of method mrsr, as --model of mrsr_tf.infer.")
METHODS = flags.DEFINE_list(
    "methods", ["mrsr", "tci", "fi"], "What to compare: mrsr, tci, fi, scsr."
)
SCSR = flags.DEFINE_string("scsr", None, "Of method scsr: what eval.train_scsr made.")
SCSR_STRIDE = flags.DEFINE_integer(
    "scsr_stride", 1, "Of its patches, in voxels; 2 takes a quarter of the time.", lower_bound=1
)
SLICE_FACTOR = flags.DEFINE_integer(
    "slice_factor", None, "Fine slices per thick one; the model's, 2 without one.", lower_bound=2
)
SLICE_AXIS = flags.DEFINE_integer(
    "slice_axis", 2, "Which axis of a NIfTI counts slices.", lower_bound=0, upper_bound=2
)
ROI = flags.DEFINE_list(
    "roi",
    ["medial_femoral_cartilage"],
    "Regions for T2 and lesions: each is all labels whose names start so; NAME:deep and "
    "NAME:superficial are the halves of cartilage by depth.",
)
T2_METHOD = flags.DEFINE_enum(
    "t2_method",
    "analytic",
    ["analytic", "exact"],
    "The paper's formula (5 % too long at 50 ms, 13 % at 80), or the steady state inverted.",
)
LESION_MM = flags.DEFINE_list(
    "lesion_mm",
    ["0.7", "1", "1.4", "2", "3", "4"],
    "How long lesions are across the slices; each is 2 mm wide within them.",
)
T1_MS = flags.DEFINE_list(
    "t1_ms", ["1200"], "For T2: 1200 for cartilage, 1000 for meniscus; one, or one a region."
)
OUTLIERS = flags.DEFINE_enum(
    "outliers",
    "none",
    ["none", "mad"],
    "For T2, which voxels of a region to leave out though they have one: none, as in the paper, or "
    "those further from the median than three scaled median absolute deviations (partly fluid).",
)
RIM = flags.DEFINE_bool(
    "rim",
    True,
    "For T2, whether the edge of a region in each slice counts; its voxels are partly bone or "
    "fluid. As in the paper, or --norim.",
)
COMBINATION = flags.DEFINE_enum(
    "combination",
    "covering",
    ["covering", "pair"],
    "For T2, what makes up a thick slice: the fine ones that cover it, weighed by how much, or the "
    "plain mean of as many as the factor, which lies half a fine slice off.",
)
WORKERS = flags.DEFINE_integer(
    "workers",
    1,
    "Subjects at once, each with its scan in memory; the network works for one at a time.",
    lower_bound=1,
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Remove what stands at --output, start anew.")

DEFAULT_FACTOR = 2


def main() -> None:
    """Evaluates the cohort."""
    from eval.experiments import runner
    from eval.methods import baseline_methods, check_names
    from eval.results import rows
    from mrsr_tf.io.scans import find_subjects
    from mrsr_tf.outputs import output_folder, versions, write_json

    check_names(METHODS.value)
    subjects = find_subjects(DATA.value)
    network, model, factor, card = _network()
    sparse, dictionary = _sparse(factor)
    available = baseline_methods(factor) | network | sparse
    settings = runner.Settings(
        COHORT.value,
        factor,
        SLICE_AXIS.value,
        ROI.value,
        _positive("T1 in ms", T1_MS.value),
        T2_METHOD.value,
        COMBINATION.value,
        OUTLIERS.value,
        RIM.value,
        _positive("lesions in mm", LESION_MM.value),
    )
    configuration = (
        settings.configuration()
        | {
            "methods": METHODS.value,
            "model": model,
            "subjects": list(subjects),
        }
        | dictionary
    )
    with output_folder(
        OUTPUT.value, configuration, overwrite=OVERWRITE.value, resume=True
    ) as folder:
        methods = {name: available[name] for name in METHODS.value}
        runner.evaluate(subjects, methods, settings, folder, workers=WORKERS.value, card=card)
        write_json(folder / rows.VERSIONS, versions("numpy", "scipy", "skimage"))
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


def _network() -> "tuple[dict[str, Method], dict[str, str] | None, int, Mapping[str, Any]]":
    """Method mrsr, what identifies its model, the factor, and its card; nothing without mrsr."""
    from eval.methods import NETWORK

    if NETWORK not in METHODS.value:
        return {}, None, SLICE_FACTOR.value or DEFAULT_FACTOR, {}
    with cli.quiet_imports():
        from mrsr_tf.inference.super_resolution import super_resolve
        from mrsr_tf.network.trained_model import load_model

    model = load_model(MODEL.value, slice_factor=SLICE_FACTOR.value)
    if model.first_slice:
        raise InputError(
            "expected a network of thick slices that sit on fine ones (fir, kspace), as scans are "
            f"made thick here, got one of slices that sit between them: {MODEL.value}"
        )
    identity = {"name": model.name, "weights_sha256": model.weights_sha256}
    method = {NETWORK: lambda thick: super_resolve(thick, model).array}
    return method, identity, model.slice_factor, model.card


def _sparse(factor: int) -> "tuple[dict[str, Method], dict[str, Any]]":
    """Method scsr and what identifies its dictionary; nothing if scsr is not asked for."""
    from eval.baselines import ScSR
    from eval.methods import SPARSE, sparse_method

    if SPARSE not in METHODS.value:
        return {}, {}
    if SCSR.value is None:
        raise InputError("expected --scsr, what eval.train_scsr made, for method scsr; got none")
    dictionary = ScSR.load(SCSR.value)
    if dictionary.factor != factor:
        raise InputError(
            f"expected a dictionary of slice factor {factor}, got {dictionary.factor} in "
            f"{SCSR.value}"
        )
    identity = {"scsr_sha256": dictionary.sha256, "scsr_stride": SCSR_STRIDE.value}
    return {SPARSE: sparse_method(dictionary, SCSR_STRIDE.value)}, identity


if __name__ == "__main__":
    cli.run(main)
