r"""Is a network taught on the scan itself worth its time? Compared with the self-ensemble.

    python -m phantom.simulate --output=scans/apart --subjects=10 --seed=1000 --shape=192,192,64
    python -m tf_records_tools.make_varied_scans --input=brain.nii.gz,head.nii.gz,fruit.nii.gz \
        --output=scans/heads --contrasts=dual --scans=3 --seed=276
    python -m benchmarks.studies.adaptation --data=scans/apart,scans/heads --slices=48 \
        --output=results/random
    python -m benchmarks.studies.adaptation --data=scans/apart,scans/heads --slices=48 \
        --start_from=scans/heads --output=results/taught

Each scan of DATA, of two echoes and fine slices, is thickened and super-resolved by a network,
alone and with consistency and self-ensemble. A second network is taught on the thickened scan
alone, see `benchmarks.studies.self_training`, for as long as the ensemble takes longer than the
first network, or --times as long. Scans that it has nothing to learn from are left out.

OUTPUT/rows.csv holds for each scan, method, seed and echo: the gain over TCI, that of the slice
where it is lowest, the error in the air beside the skin relative to TCI's, and the mean and the
root mean square of the difference in T2 of cartilage (analytic) from the fine scan, where labels
tell cartilage. The same call goes on after an interruption. The output is a table of the means.
"""

import csv
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from absl import flags
from numpy.typing import NDArray

from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.inference.data_consistency import enforce_data_consistency
from mrsr_tf.inference.upsampling import Method, wrap
from mrsr_tf.io.scans import Scan, find_scans
from mrsr_tf.mri.slices import interpolate, thicken
from mrsr_tf.network.precision import Precision
from mrsr_tf.volume import Volume, intensity_scale

if TYPE_CHECKING:
    from benchmarks.studies.self_training import PlaneNetwork, Settings

DATA = flags.DEFINE_list("data", None, "Folders of two-echo scans.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
MODEL = flags.DEFINE_string("model", "pretrained", "The network that has seen no such scan.")
START_FROM = flags.DEFINE_string(
    "start_from", None, "A folder of two-echo scans on which the second network is taught before. "
    "Without, it starts from random weights.",
)  # fmt: skip
START_MINUTES = flags.DEFINE_float("start_minutes", 4, "For how long.", lower_bound=0)
SLICES = flags.DEFINE_integer(
    "slices",
    None,
    "At most so many slices of each scan are taken, those in its middle.",
    lower_bound=8,
)
TIMES = flags.DEFINE_float("times", 1, "Factor on the time of the second network.", lower_bound=0)
SEEDS = flags.DEFINE_integer("seeds", 3, "Repetitions of the second network.", lower_bound=1)
FILTERS = flags.DEFINE_integer("filters", 64, "Its feature maps.", lower_bound=1)
LAYERS = flags.DEFINE_integer("layers", 7, "Its convolutions.", lower_bound=2)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 1e-3, "Its highest learning rate.")
PRECISION = flags.DEFINE_enum(
    "precision", Precision.FLOAT32, list(Precision), "Number format of all convolutions."
)

Statistic = Callable[[Sequence[float]], Any]


class Restored(StrEnum):
    """The methods that are compared."""

    NETWORK = "network"
    CONSISTENT = "network, consistent"
    ENSEMBLE = "network, ensemble and consistent"
    SELF_TRAINED = "self-trained"
    SELF_TRAINED_CONSISTENT = "self-trained, consistent"
    MEAN = "mean of network and self-trained"
    MEAN_CONSISTENT = "mean, consistent"


class Row(NamedTuple):
    """A method's result on one echo of a scan; T2 is of both echoes and NaN without labels."""

    data: str
    scan: str
    method: str
    seed: int
    echo: int
    gain_db: float
    worst_slice_gain_db: float
    air_rmse_over_tci: float
    t2_difference_ms: float
    t2_rmse_ms: float
    seconds: float
    steps: int


class Result(NamedTuple):
    """A super-resolved scan (rows, cols, slices, echoes), the time it took and training steps."""

    method: Restored
    seed: int
    image: NDArray[np.floating]
    seconds: float
    steps: int = 0


def main() -> None:
    """Measures each method on each scan that is not measured yet."""
    output = Path(OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    path = output / "rows.csv"
    rows = _read(path)
    measured = {(row.data, row.scan) for row in rows}
    start = _start(output)
    for data in DATA.value:
        for name, scan in find_scans(data).items():
            if (data, name) in measured:
                continue
            try:
                rows += _measure(data, name, scan, start)
            except InputError as error:
                print(f"{name} left out: {error}", flush=True)
                continue
            _write(path, rows)
            print(f"{name} measured", flush=True)
    for data in DATA.value:
        print(f"\n{data}\n")
        print("\n".join(table([row for row in rows if row.data == data])))


def _start(output: Path) -> "PlaneNetwork | None":
    """A network taught on the scans of --start_from; None without it."""
    with cli.quiet_imports():
        from benchmarks.studies.self_training import PlaneNetwork, find_examples

    if not START_FROM.value:
        return None
    network, weights = PlaneNetwork(2, _settings()), output / "start.weights.h5"
    if not weights.exists():
        examples = []
        for scan in find_scans(START_FROM.value).values():
            thick = _thickened(_cropped(scan.read()))
            examples += find_examples(thick.array, thick.spacing_mm)
        steps = network.learn(examples, 60 * START_MINUTES.value)
        print(f"taught on {START_FROM.value} for {steps} steps", flush=True)
        network.model.save_weights(weights)
    network.model.load_weights(weights)
    return network


def _settings() -> "Settings":
    from benchmarks.studies.self_training import Settings

    return Settings(
        filters=FILTERS.value,
        layers=LAYERS.value,
        learning_rate=LEARNING_RATE.value,
        precision=Precision(PRECISION.value),
    )


def _middle(slices: int) -> slice:
    """At most --slices of so many."""
    surplus = max(0, slices - (SLICES.value or slices))
    return slice(surplus // 2, slices - (surplus + 1) // 2)


def _cropped(whole: Volume) -> Volume:
    """The middle slices, of which only intensities, spacing and sequence matter here."""
    return replace(whole, array=whole.array[:, :, _middle(whole.array.shape[2])])


def _thickened(truth: Volume) -> Volume:
    return truth.resliced(thicken(truth.array), 1 / 2)


def _measure(data: str, name: str, scan: Scan, start: "PlaneNetwork | None") -> list[Row]:
    whole = scan.read()
    truth = _cropped(whole)
    score = _scorer(truth, _cartilage(scan, whole))
    return [
        Row(data, name, result.method, result.seed, echo, *scores, result.seconds, result.steps)
        for result in _results(_thickened(truth), start)
        for echo, scores in enumerate(score(result.image), 1)
    ]


def _results(thick: Volume, start: "PlaneNetwork | None") -> Iterator[Result]:
    """Each method's result on a thick scan."""
    from benchmarks.studies.self_training import PlaneNetwork, find_examples
    from mrsr_tf.inference.methods import choose_upsampler

    examples = find_examples(thick.array, thick.spacing_mm)
    network = choose_upsampler(Method.MRSR, model=MODEL.value, precision=PRECISION.value)

    def consistent(image: NDArray[np.floating]) -> NDArray[np.floating]:
        return enforce_data_consistency(image, thick.array, profile=network.profile)

    network.upsample(thick.array)  # TensorFlow compiles
    once, seconds = _timed(lambda: network.upsample(thick.array))
    yield Result(Restored.NETWORK, 0, once, seconds)
    yield Result(Restored.CONSISTENT, 0, consistent(once), seconds)
    ensemble = wrap(network, ensemble=True, consistent=True)
    image, ensemble_seconds = _timed(lambda: ensemble.upsample(thick.array))
    yield Result(Restored.ENSEMBLE, 0, image, ensemble_seconds)
    for seed in range(SEEDS.value):
        own = PlaneNetwork(thick.echoes, _settings(), seed)
        if start:
            own.model.set_weights(start.model.get_weights())
        _, restoring = _timed(lambda own=own: own.super_resolve(thick.array))
        begin = time.monotonic()
        own_seconds = TIMES.value * (ensemble_seconds - seconds)
        steps = own.learn(examples, max(own_seconds - restoring, 1))
        taught = own.super_resolve(thick.array)
        spent = time.monotonic() - begin
        mean = (once + taught) / 2
        yield Result(Restored.SELF_TRAINED, seed, taught, spent, steps)
        yield Result(Restored.SELF_TRAINED_CONSISTENT, seed, consistent(taught), spent, steps)
        yield Result(Restored.MEAN, seed, mean, seconds + spent, steps)
        yield Result(Restored.MEAN_CONSISTENT, seed, consistent(mean), seconds + spent, steps)


def _timed(work: Callable[[], NDArray[np.floating]]) -> tuple[NDArray[np.floating], float]:
    begin = time.monotonic()
    return work(), time.monotonic() - begin


def _cartilage(scan: Scan, whole: Volume) -> NDArray[np.bool_] | None:
    from eval.regions.rois import subject_labels

    labels = subject_labels(scan.subject, whole)
    if labels is None:
        return None
    mask = labels.mask([label for name, label in labels.names.items() if "cartilage" in name])
    return mask[:, :, _middle(mask.shape[2])]


def _scorer(
    truth: Volume, cartilage: NDArray[np.bool_] | None
) -> Callable[[NDArray[np.floating]], Iterator[tuple[float, ...]]]:
    """A function that yields the scores of each echo of a super-resolved scan."""
    from eval.experiments.image_quality import compare_with_tci
    from eval.regions.body import air_mask, body_mask

    scale = intensity_scale(truth.array)
    slices, air = truth.array.shape[2], air_mask(body_mask(truth), truth.spacing_mm)

    def error(image: NDArray[np.floating]) -> NDArray[np.floating]:
        fine = image[:, :, :slices]
        return (fine / scale).clip(0, 1) - (truth.array / scale).clip(0, 1)

    tci = error(interpolate(_thickened(truth).array))

    def score(image: NDArray[np.floating]) -> Iterator[tuple[float, ...]]:
        errors = error(image)
        t2 = _t2_errors(truth, image[:, :, :slices], cartilage)
        for echo in range(truth.echoes):
            compared = compare_with_tci(
                errors[..., echo], tci[..., echo], air=air, spacing_mm=truth.spacing_mm
            )
            yield (*compared.values(), *t2)

    return score


def _t2_errors(
    truth: Volume, image: NDArray[np.floating], cartilage: NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Mean difference and root mean square difference of T2 in cartilage, ms."""
    from mrsr_tf.mri.dess import t2_map
    from mrsr_tf.mri.t2 import CARTILAGE_T1_MS, sequence

    if cartilage is None:
        return math.nan, math.nan
    parameters = {"t1_ms": CARTILAGE_T1_MS, **sequence(truth)}
    true, found = (
        t2_map(each[cartilage][:, 0], each[cartilage][:, 1], **parameters)
        for each in (truth.array, image)
    )
    difference = (found - true)[np.isfinite(found) & np.isfinite(true)]
    return float(difference.mean()), float(np.sqrt(np.mean(np.square(difference))))


def table(rows: Sequence[Row]) -> Iterator[str]:
    """A Markdown table: means over scans by method and seed, and the worst slice of all scans."""
    yield "| method | gain, dB | worst slice, dB | air, of TCI's | T2, ms | T2, RMSE | time, s |"
    yield "|---|---|---|---|---|---|---|"
    for method in Restored:
        of_method = [row for row in rows if row.method == method]
        for seed in sorted({row.seed for row in of_method}):
            chosen = [row for row in of_method if row.seed == seed]
            cells = [
                f"{method}, seed {seed + 1}" if chosen[0].steps else str(method),
                _both_echoes(chosen, "gain_db", np.mean, "+.2f"),
                _both_echoes(chosen, "worst_slice_gain_db", min, "+.2f"),
                _both_echoes(chosen, "air_rmse_over_tci", np.mean, ".2f"),
                _summary(chosen, "t2_difference_ms", np.mean, "+.2f"),
                _summary(chosen, "t2_rmse_ms", np.mean, ".2f"),
                _summary(chosen, "seconds", np.mean, ".0f"),
            ]
            yield f"| {' | '.join(cells)} |"


def _both_echoes(rows: Sequence[Row], column: str, statistic: Statistic, style: str) -> str:
    echoes = ([row for row in rows if row.echo == echo] for echo in (1, 2))
    return " / ".join(_summary(echo, column, statistic, style) for echo in echoes)


def _summary(rows: Sequence[Row], column: str, statistic: Statistic, style: str) -> str:
    """The statistic of the scans that have such a value; a dash if none has."""
    values = [getattr(row, column) for row in rows if not math.isnan(getattr(row, column))]
    return format(float(statistic(values)), style) if values else "-"


def _read(path: Path) -> list[Row]:
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    kinds = Row.__annotations__
    return [Row(**{name: kinds[name](value) for name, value in row.items()}) for row in rows]


def _write(path: Path, rows: Sequence[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([Row._fields, *rows])


if __name__ == "__main__":
    cli.run(main)
