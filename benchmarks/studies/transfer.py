r"""Does it help to train on one contrast first? Dual networks after transfer and from scratch.

    python -m mrsr_tf.train --flagfile=flags/demo/single --records=records/single --run_dir=runs/single
    python -m benchmarks.studies.transfer --flagfile=flags/pretrained/transfer --single=runs/single \
        --data=scans/dual --test=scans/test --output=results/transfer

Dual networks of the same size as --single are trained on 1, 3, 10 and 30 subjects of --data, after
transfer and from random weights, for the same number of steps; beside them stands --single itself,
applied to each echo. Each network super-resolves all scans of --test, which are made thick first:
OUTPUT/rows.csv has the pSNR of each and its gain over TCI, OUTPUT/curve.png the mean gain over
networks and echoes with its 95 % bootstrap interval over the test subjects, OUTPUT/curve.json the
same in numbers, and what transfer is ahead of scratch by. Interrupted, the same call goes on with the
networks that are missing.
"""  # noqa: E501 (commands as one pastes them)

import contextlib
import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError

if TYPE_CHECKING:
    from mrsr_tf.network.trained_model import TrainedModel
    from mrsr_tf.volume import Volume

SINGLE = flags.DEFINE_string("single", None, "A run on one contrast.", required=True)
DATA = flags.DEFINE_string("data", None, "Folder of two-echo subjects.", required=True)
TEST = flags.DEFINE_string("test", None, "Folder of other such subjects.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
SUBJECTS = flags.DEFINE_list("subjects", ["1", "3", "10", "30"], "How many to train on.")
REPEATS = flags.DEFINE_integer("repeats", 3, "Draws of subjects and weights.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 2000, "Of each training.", lower_bound=1)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 4, "Patches per step.", lower_bound=1)
LEARNING_RATE = flags.DEFINE_float("learning_rate", 5e-4, "Of Adam; a cosine to 0.")
STRIDE = flags.DEFINE_integer("stride", 32, "Of the patches of 32.", lower_bound=1)

PATCH, WARMUP_STEPS = 32, 50
TRANSFER, SCRATCH, ALONE = "after transfer", "from scratch", "single network, echo by echo"
COLUMNS = ("way", "subjects", "repeat", "test", "echo", "psnr_db", "gain_db")


def main() -> None:
    """Trains what is missing, measures all, draws the curve."""
    from mrsr_tf.io.scans import find_scans

    output = Path(OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    counts = [int(count) for count in SUBJECTS.value]
    there = {name: scan.subject for name, scan in find_scans(DATA.value).items()}
    if len(there) <= max(counts):
        raise InputError(
            f"expected {max(counts) + 1} subjects, one of them to watch the training by, found "
            f"{len(there)}: {DATA.value}"
        )
    tests = {name: scan.read() for name, scan in find_scans(TEST.value).items()}
    rows = [row for way in _networks(list(there.values()), counts) for row in _measured(way, tests)]
    with (output / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    _draw(rows, output / "curve.png")
    print(f"{len(rows)} measured: {output / 'rows.csv'}")


def _networks(there: list[Path], counts: list[int]) -> Iterator[tuple[str, int, int, Path]]:
    yield ALONE, 0, 0, Path(SINGLE.value)
    for repeat in range(REPEATS.value):
        for count in counts:
            records = _records(there, count, repeat)
            for way in (TRANSFER, SCRATCH):
                run = Path(OUTPUT.value) / f"runs/{way.split()[-1]}_{count}_{repeat}"
                _train(records, run, way, repeat)
                yield way, count, repeat, run


def _records(there: list[Path], count: int, repeat: int) -> Path:
    """Of so many subjects drawn by chance, and one more to watch by."""
    import numpy as np

    from mrsr_tf.errors import AlreadyDone
    from tf_records_tools.cohort import make_records
    from tf_records_tools.shard import Settings

    name = f"{count}_{repeat}"
    drawn = Path(OUTPUT.value) / "drawn" / name
    drawn.mkdir(parents=True, exist_ok=True)
    for number in np.random.default_rng(repeat).permutation(len(there))[: count + 1]:
        link = drawn / f"{number:03d}_{there[number].name}"
        if not link.is_symlink():
            link.symlink_to(there[number].resolve())
    records = Path(OUTPUT.value) / "records" / name
    settings = Settings("dual", PATCH, STRIDE.value, seed=repeat)
    with contextlib.suppress(AlreadyDone):
        make_records([drawn], records, settings, validation_subjects=1, group_by="scan")
    return records


def _train(records: Path, run: Path, way: str, seed: int) -> None:
    with cli.quiet_imports():
        from mrsr_tf.network import run_folder
        from mrsr_tf.network.architecture import convolution_layers, space_to_depth_of
        from mrsr_tf.training.trainer import train
    from mrsr_tf.errors import AlreadyDone
    from mrsr_tf.records.manifest import read_manifest
    from mrsr_tf.training.config import TrainingConfig

    start = run_folder.load_network(SINGLE.value)
    convolutions = convolution_layers(start)
    patches = read_manifest(records)["counts"]["train"]["records"]
    config = TrainingConfig(
        convolutions=len(convolutions),
        filters=convolutions[0].filters,
        space_to_depth=space_to_depth_of(start),
        batch_size=BATCH_SIZE.value,
        epochs=max(1, round(STEPS.value * BATCH_SIZE.value / patches)),
        learning_rate=LEARNING_RATE.value,
        seed=seed,
        schedule="cosine",
        warmup_steps=WARMUP_STEPS,
        flips=True,
    )
    init_from = Path(SINGLE.value) if way == TRANSFER else None
    with contextlib.suppress(AlreadyDone):
        train(config, records, run, init_from=init_from)


def _measured(
    network: tuple[str, int, int, Path], tests: "dict[str, Volume]"
) -> Iterator[tuple[Any, ...]]:
    from eval.metrics import psnr
    from mrsr_tf.mri.slices import interpolate, thicken
    from mrsr_tf.network.trained_model import load_model
    from mrsr_tf.volume import intensity_scale

    way, count, repeat, run = network
    model = load_model(run)
    for name, truth in tests.items():
        scale, slices = intensity_scale(truth.array), truth.array.shape[2]
        thick = truth.resliced(thicken(truth.array, model.slice_factor), 1 / model.slice_factor)
        fine = _super_resolved(thick, model)
        tci = interpolate(thick.array, model.slice_factor)
        for echo in range(truth.echoes):
            by_network, by_tci = (
                psnr(
                    truth.array[..., echo] / scale,
                    (image[:, :, :slices, echo] / scale).clip(0, 1),
                    data_range=1,
                )
                for image in (fine, tci)
            )
            yield way, count, repeat, name, echo + 1, by_network, by_network - by_tci


def _super_resolved(thick: "Volume", model: "TrainedModel") -> Any:
    import numpy as np

    from mrsr_tf.inference.super_resolution import Network

    upsample = Network(model).upsample
    if model.echoes == thick.echoes:
        return upsample(thick.array)
    echoes = [thick.array[..., echo : echo + 1] for echo in range(thick.echoes)]
    return np.concatenate([upsample(echo) for echo in echoes], axis=3)


def _draw(rows: list[tuple[Any, ...]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    gains: dict[str, dict[int, Any]] = {way: {} for way in (TRANSFER, SCRATCH, ALONE)}
    for way, count in sorted({row[:2] for row in rows}):
        gains[way][count] = _gains(row for row in rows if row[:2] == (way, count))
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.axhline(gains[ALONE][0].mean(), color="gray", linestyle=":", label=ALONE)
    for way, style in ((TRANSFER, "o-"), (SCRATCH, "s--")):
        mean, low, high = np.transpose([_interval(each) for each in gains[way].values()])
        counts = list(gains[way])
        axes.errorbar(counts, mean, [mean - low, high - mean], fmt=style, capsize=3, label=way)
    axes.set(xscale="log", xlabel="dual subjects trained on", ylabel="pSNR over TCI (dB)")
    axes.set_xticks([int(c) for c in SUBJECTS.value], SUBJECTS.value)
    axes.minorticks_off()
    axes.legend()
    figure.savefig(path, dpi=120)
    # Of the same test subjects, so that what makes one harder than another falls out.
    paired = {count: gains[TRANSFER][count] - each for count, each in gains[SCRATCH].items()}
    found = {
        way: {count: _interval(each) for count, each in of.items()}
        for way, of in {**gains, f"{TRANSFER} less {SCRATCH}": paired}.items()
    }
    path.with_name("curve.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _gains(rows: Iterable[tuple[Any, ...]]) -> Any:
    """Of each test subject in turn, the mean over networks and echoes."""
    import numpy as np

    of_subject: dict[str, list[float]] = {}
    for row in rows:
        of_subject.setdefault(row[3], []).append(row[6])
    return np.array([np.mean(of_subject[name]) for name in sorted(of_subject)])


def _interval(gains: Any) -> tuple[float, float, float]:
    """Mean, and where its 95 % bootstrap interval begins and ends."""
    from eval.statistics import mean_interval

    low, high = mean_interval(gains) if len(gains) > 1 else (float("nan"), float("nan"))
    return float(gains.mean()), float(low), float(high)


if __name__ == "__main__":
    cli.run(main)
