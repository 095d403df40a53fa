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

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from absl import flags
from numpy.typing import NDArray

from benchmarks.studies.adaptation_rows import Restored, Row, read_rows, table, write_rows
from mrsr_tf import cli
from mrsr_tf.errors import InputError, naming
from mrsr_tf.inference.data_consistency import enforce_data_consistency
from mrsr_tf.inference.upsampling import Method, Upsampler, wrap
from mrsr_tf.io.json_object import read_object
from mrsr_tf.io.scans import Scan, find_scans
from mrsr_tf.mri.slices import interpolate, thicken
from mrsr_tf.network.precision import Precision
from mrsr_tf.outputs import write_json
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
START_MINUTES = flags.DEFINE_float(
    "start_minutes", 4, "Minutes for which it is taught.", lower_bound=0.001
)
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
LEARNING_RATE = flags.DEFINE_float(
    "learning_rate", 1e-3, "Its highest learning rate.", lower_bound=1e-9
)
PRECISION = flags.DEFINE_enum(
    "precision", Precision.FLOAT32, list(Precision), "Number format of all convolutions."
)

# With others OUTPUT would hold a mixture.
SETTINGS = (
    "model", "start_from", "start_minutes", "slices", "times", "seeds", "filters", "layers",
    "learning_rate", "precision",
)  # fmt: skip


class Result(NamedTuple):
    """A super-resolved scan (rows, cols, slices, echoes), the time it took and training steps."""

    method: Restored
    seed: int
    image: NDArray[np.floating]
    seconds: float
    steps: int = 0


def main() -> None:
    """Measures each method on each scan that is not measured yet."""
    from mrsr_tf.inference.methods import choose_upsampler

    scans = {data: find_scans(data) for data in dict.fromkeys(DATA.value)}
    output = Path(OUTPUT.value)
    _check_settings(output)
    path = output / "rows.csv"
    rows = read_rows(path)
    measured = {(row.data, row.scan) for row in rows}
    network = choose_upsampler(
        Method.MRSR, model=MODEL.value, slice_factor=2, precision=PRECISION.value
    )
    start = _start(output)
    for data, of_data in scans.items():
        for name, scan in of_data.items():
            if (data, name) in measured:
                continue
            try:
                rows += _measure(data, name, scan, network, start)
            except InputError as error:
                print(f"{name} left out: {error}", flush=True)
                continue
            write_rows(path, rows)
            print(f"{name} measured", flush=True)
    for data in scans:
        print(f"\n{data}\n")
        print("\n".join(table([row for row in rows if row.data == data])))


def _check_settings(output: Path) -> None:
    """Raises `InputError` if OUTPUT holds results of other settings; notes them in a new one."""
    settings = {name: flags.FLAGS[name].value for name in SETTINGS}
    path = output / "settings.json"
    found = read_object(path) if path.exists() else settings
    changes = [
        f"{key} {found.get(key)} -> {new}" for key, new in settings.items() if found.get(key) != new
    ]
    if changes:
        raise InputError(
            f"expected the settings of {path}, or another --output, got {', '.join(changes)}"
        )
    write_json(path, settings)


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
            with naming(scan.subject):
                examples += find_examples(thick.array, thick.spacing_mm)
        steps = network.learn(examples, 60 * START_MINUTES.value)
        print(f"taught on {START_FROM.value} for {steps} steps", flush=True)
        partial = output / "partial.weights.h5"
        network.model.save_weights(partial)
        partial.replace(weights)
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


def _measure(
    data: str, name: str, scan: Scan, network: Upsampler, start: "PlaneNetwork | None"
) -> list[Row]:
    whole = scan.read()
    truth = _cropped(whole)
    score = _scorer(truth, _cartilage(scan, whole))
    return [
        Row(data, name, result.method, result.seed, echo, *scores, result.seconds, result.steps)
        for result in _results(_thickened(truth), network, start)
        for echo, scores in enumerate(score(result.image), 1)
    ]


def _results(thick: Volume, network: Upsampler, start: "PlaneNetwork | None") -> Iterator[Result]:
    """Each method's result on a thick scan."""
    from benchmarks.studies.self_training import PlaneNetwork, find_examples

    examples = find_examples(thick.array, thick.spacing_mm)

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
        if not np.isfinite(taught).all():
            raise InputError("expected a training that converges, got values that are not finite")
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


if __name__ == "__main__":
    cli.run(main)
