r"""Does it help to start from a trained network? Dual networks from one and from scratch.

A network of one contrast is transferred to two, as in the paper:

    python -m mrsr_tf.train --flagfile=flags/demo/single --records=records/single \
        --run_dir=runs/single
    python -m benchmarks.studies.transfer --flagfile=flags/pretrained/transfer \
        --init_from=runs/single --data=scans/dual --test=scans/test --output=results/transfer

The network that comes with the package is fine-tuned on scans of another protocol:

    python -m phantom.simulate --output=scans/mine --subjects=9 --seed=100 --shape=160,160,96 \
        --protocol=short_tr
    python -m phantom.simulate --output=scans/apart --subjects=8 --seed=1000 --shape=160,160,96 \
        --protocol=short_tr
    python -m benchmarks.studies.transfer --flagfile=flags/pretrained/finetune \
        --init_from=pretrained --data=scans/mine --test=scans/apart --output=results/finetune

Trains dual-contrast networks of the size of --init_from on some of the subjects of --data, from
that network and from random weights, for the same number of steps. They are compared with the
network as it is; one of a single contrast is applied to each echo. Each network super-resolves all
scans of --test, which are thickened first.

OUTPUT/rows.csv holds the pSNR of each and its gain over TCI. OUTPUT/curve.png shows the mean gain
over networks and echoes with its 95 % bootstrap interval over the test subjects; OUTPUT/curve.json
holds the same figures, and the paired difference of transfer and scratch. An interrupted study is
resumed by the same call.
"""

import contextlib
import csv
import math
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import flags
from numpy.typing import NDArray

from mrsr_tf import cli
from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.io.scans import find_scans
from mrsr_tf.mri.slices import interpolate, thicken
from mrsr_tf.network.precision import Precision
from mrsr_tf.outputs import write_json
from mrsr_tf.volume import Volume, intensity_scale

if TYPE_CHECKING:
    from mrsr_tf.network.trained_model import TrainedModel

INIT_FROM = flags.DEFINE_string(
    "init_from", None, "The trained network to start from, as mrsr_tf.train takes it.",
    required=True,
)  # fmt: skip
DATA = flags.DEFINE_string("data", None, "A folder of two-echo subjects.", required=True)
TEST = flags.DEFINE_string("test", None, "A folder of other two-echo subjects.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
SUBJECTS = flags.DEFINE_list("subjects", ["1", "3", "10", "30"], "Numbers of training subjects.")
REPEATS = flags.DEFINE_integer(
    "repeats", 3, "Repetitions with other subjects and other random weights.", lower_bound=1
)
STEPS = flags.DEFINE_integer("steps", 2000, "Steps of each training.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 4, "Patches per step.", lower_bound=1)
LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", 5e-4, "Highest learning rate of Adam, which decays to 0 as a cosine."
)
SCRATCH_LEARNING_RATE = flags.DEFINE_float(
    "scratch_learning_rate", None,
    "Highest learning rate from random weights. The default is --learning_rate.",
)  # fmt: skip
PRECISION = flags.DEFINE_enum(
    "precision", Precision.FLOAT32, list(Precision), "Number format of the trained convolutions."
)
STRIDE = flags.DEFINE_integer("stride", 32, "Stride of the patches of 32 voxels.", lower_bound=1)

PATCH, WARMUP_STEPS = 32, 50


class Start(StrEnum):
    """What a network's training started from."""

    TRAINED = "from the trained network"
    SCRATCH = "from scratch"
    UNCHANGED = "the trained network as it is"


DIFFERENCE = f"{Start.TRAINED} minus {Start.SCRATCH}"
# By start, or `DIFFERENCE`, and number of subjects: the mean gain over networks and echoes and its
# 95 % bootstrap interval over the test subjects, dB.
Curve = dict[str, dict[int, list[float]]]


class StudyNetwork(NamedTuple):
    """A network of the study, trained on a number of subjects."""

    start: Start
    subjects: int
    repeat: int
    run: str | Path


class Score(NamedTuple):
    """The pSNR of a network on one echo of a test subject; a row of rows.csv."""

    start: Start
    subjects: int
    repeat: int
    test_subject: str
    echo: int
    psnr_db: float
    gain_db: float


def main() -> None:
    """Trains the networks that are missing, measures all and draws the curve."""
    output = Path(OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    counts = [int(count) for count in SUBJECTS.value]
    subjects = [scan.subject for scan in find_scans(DATA.value).values()]
    if len(subjects) <= max(counts):
        raise InputError(
            f"expected {max(counts) + 1} subjects, one of them for validation, found "
            f"{len(subjects)}: {DATA.value}"
        )
    tests = {name: scan.read() for name, scan in find_scans(TEST.value).items()}
    scores = [score for network in _networks(subjects, counts) for score in _scores(network, tests)]
    with (output / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([Score._fields, *scores])
    curve = _curve(scores)
    write_json(output / "curve.json", curve)
    _draw(curve, output / "curve.png")
    print(f"{len(scores)} measured: {output / 'rows.csv'}")


def _networks(subjects: list[Path], counts: list[int]) -> Iterator[StudyNetwork]:
    yield StudyNetwork(Start.UNCHANGED, 0, 0, INIT_FROM.value)
    for repeat in range(REPEATS.value):
        for count in counts:
            records = _make_records(subjects, count, repeat)
            for start in (Start.TRAINED, Start.SCRATCH):
                run = Path(OUTPUT.value) / f"runs/{start.name.lower()}_{count}_{repeat}"
                _train(records, run, start, repeat)
                yield StudyNetwork(start, count, repeat, run)


def _make_records(subjects: list[Path], count: int, repeat: int) -> Path:
    """Records of `count` random subjects and of one more for validation."""
    from mrsr_tf.records.contrasts import Contrasts
    from tf_records_tools.cohort import make_records
    from tf_records_tools.shard import Settings

    sample = np.random.default_rng(repeat).permutation(len(subjects))[: count + 1]
    records = Path(OUTPUT.value) / f"records/{count}_{repeat}"
    settings = Settings(Contrasts.DUAL, PATCH, STRIDE.value, seed=repeat)
    with contextlib.suppress(AlreadyDone):
        make_records(
            [subjects[number] for number in sorted(sample)], records, settings,
            validation_subjects=1, group_by="scan",
        )  # fmt: skip
    return records


def _train(records: Path, run: Path, start: Start, seed: int) -> None:
    with cli.quiet_imports():
        from mrsr_tf.network.architecture import architecture_of
        from mrsr_tf.network.trained_model import load_model
        from mrsr_tf.training.trainer import train
    from mrsr_tf.records.manifest import read_manifest
    from mrsr_tf.training.config import TrainingConfig

    architecture = architecture_of(load_model(INIT_FROM.value).keras_model())
    del architecture["echoes"]
    is_trained = start == Start.TRAINED
    scratch_rate = SCRATCH_LEARNING_RATE.value or LEARNING_RATE.value
    patches = read_manifest(records)["counts"]["train"]["records"]
    config = TrainingConfig(
        **architecture,
        batch_size=BATCH_SIZE.value,
        epochs=max(1, round(STEPS.value * BATCH_SIZE.value / patches)),
        learning_rate=LEARNING_RATE.value if is_trained else scratch_rate,
        seed=seed,
        schedule="cosine",
        warmup_steps=WARMUP_STEPS,
        flips=True,
        precision=Precision(PRECISION.value),
    )
    with contextlib.suppress(AlreadyDone):
        train(config, records, run, init_from=INIT_FROM.value if is_trained else None)


def _scores(network: StudyNetwork, tests: dict[str, Volume]) -> Iterator[Score]:
    from eval.metrics import psnr
    from mrsr_tf.network.trained_model import load_model

    model = load_model(network.run)
    for name, truth in tests.items():
        scale, slices = intensity_scale(truth.array), truth.array.shape[2]
        thick = thicken(truth.array, model.slice_factor)
        estimates = (_super_resolve(thick, model), interpolate(thick, model.slice_factor))
        for echo in range(truth.echoes):
            reference, *estimated = (
                (image[:, :, :slices, echo] / scale).clip(0, 1)
                for image in (truth.array, *estimates)
            )
            psnr_db, tci_db = (psnr(reference, image, data_range=1) for image in estimated)
            yield Score(*network[:3], name, echo + 1, psnr_db, psnr_db - tci_db)


def _super_resolve(thick: NDArray[np.float32], model: "TrainedModel") -> NDArray[np.float32]:
    """Both echoes at once, or one by one with a network for single-contrast scans."""
    from mrsr_tf.inference.super_resolution import Network

    upsample = Network(model).upsample
    if model.echoes == thick.shape[3]:
        return upsample(thick)
    echoes = np.split(thick, thick.shape[3], axis=3)
    return np.concatenate([upsample(echo) for echo in echoes], axis=3)


def _curve(scores: list[Score]) -> Curve:
    gains: dict[tuple[Start, int], dict[str, list[float]]] = {}
    for score in scores:
        tests = gains.setdefault((score.start, score.subjects), {})
        tests.setdefault(score.test_subject, []).append(score.gain_db)
    means = {
        key: np.array([np.mean(tests[name]) for name in sorted(tests)])
        for key, tests in sorted(gains.items())
    }
    curve: Curve = {name: {} for name in (*Start, DIFFERENCE)}
    for (start, count), by_test in means.items():
        curve[start][count] = _mean_and_interval(by_test)
        if start == Start.TRAINED:  # paired, which removes how hard each test subject is
            difference = by_test - means[Start.SCRATCH, count]
            curve[DIFFERENCE][count] = _mean_and_interval(difference)
    return curve


def _mean_and_interval(gains: NDArray[np.float64]) -> list[float]:
    from eval.statistics import mean_interval

    interval = mean_interval(gains) if len(gains) > 1 else (math.nan, math.nan)
    return [float(value) for value in (gains.mean(), *interval)]


def _draw(curve: Curve, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    unchanged = Start.UNCHANGED
    axes.axhline(curve[unchanged][0][0], color="gray", linestyle=":", label=str(unchanged))
    for start, style in ((Start.TRAINED, "o-"), (Start.SCRATCH, "s--")):
        mean, low, high = np.transpose(list(curve[start].values()))
        errors = [mean - low, high - mean]
        axes.errorbar(list(curve[start]), mean, errors, fmt=style, capsize=3, label=str(start))
    axes.set(xscale="log", xlabel="dual-contrast training subjects", ylabel="pSNR over TCI (dB)")
    axes.set_xticks([int(count) for count in SUBJECTS.value], SUBJECTS.value)
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    cli.run(main)
