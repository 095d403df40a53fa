"""Trains the network on TFRecord patches, on all GPUs of one machine or of several.

The paper's two stages, on records that tf_records_tools.make_records wrote:

    python -m mrsr_tf.train --flagfile=flags/paper/single --records=records/single --run_dir=runs/single
    python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual --run_dir=runs/dual --init_from=runs/single

The same call again resumes an interrupted training. To watch the training:

    tensorboard --logdir=runs

Several sets of records, for example of slices made two and three times as thick, train one network
for all of their factors:

    python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual,records/dual_3 --run_dir=runs/dual --init_from=runs/single

To train on several machines, run the same call on each; TF_CONFIG or SLURM names the others:

    srun --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual --run_dir=runs/dual --init_from=runs/single
"""  # noqa: E501 (commands as one pastes them)

from pathlib import Path
from typing import Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.network.precision import Precision
from mrsr_tf.training.config import (
    BestBy,
    Loss,
    Schedule,
    Strategy,
    TrainingConfig,
    check_settings,
)

RECORDS = flags.DEFINE_list(
    "records", None,
    "Folders of training records, separated by commas. Several are shuffled together.",
    required=True,
)  # fmt: skip
RUN_DIR = flags.DEFINE_string(
    "run_dir", None, "Run folder, which is created or resumed.", required=True
)
INIT_FROM = flags.DEFINE_string(
    "init_from", None,
    "Finished run to start from. A single-contrast network is transferred to two contrasts. By "
    "default the initial weights are random.",
)  # fmt: skip
OVERWRITE = cli.define_overwrite()
SPACE_TO_DEPTH = flags.DEFINE_list(
    "space_to_depth", ["1", "1", "1"],
    "Rows, columns and slices of voxels that become the channels of one cell. By default the "
    "convolutions run on single voxels.",
)  # fmt: skip
SETTINGS = (
    flags.DEFINE_integer(
        "convolutions", 20, "Number of 3x3x3 convolutions in the network.", lower_bound=2
    ),
    flags.DEFINE_integer(
        "filters", 64, "Feature maps of every convolution but the last.", lower_bound=1
    ),
    flags.DEFINE_integer(
        "batch_size", 50, "Patches per step, over all devices together.", lower_bound=1
    ),
    flags.DEFINE_integer("epochs", 10, "Number of passes over the records.", lower_bound=1),
    flags.DEFINE_float("learning_rate", 1e-4, "Learning rate of Adam.", lower_bound=0),
    flags.DEFINE_integer(
        "seed", 0, "Seed of the initial weights, the order of the patches and their augmentation."
    ),
    flags.DEFINE_enum(
        "loss", Loss.L2, list(Loss),
        "Training loss: squared error (the paper's), absolute error, or absolute error and SSIM.",
    ),
    flags.DEFINE_float(
        "t2_weight", 0.0, "Weight of the squared error of ln(S2/S1), which is added to the loss.",
        lower_bound=0,
    ),
    flags.DEFINE_enum(
        "schedule", Schedule.CONSTANT, list(Schedule),
        "Course of the learning rate: constant, or half a cosine that falls to 0.",
    ),
    flags.DEFINE_integer(
        "warmup_steps", 0, "Number of steps over which the learning rate rises.", lower_bound=0
    ),
    flags.DEFINE_float(
        "ema", 0.0,
        "Momentum, such as 0.999, of a moving average of the weights, which is then validated and "
        "kept. The default 0 keeps the weights themselves.",
        lower_bound=0, upper_bound=0.999999,
    ),
    flags.DEFINE_float(
        "foreground", 0.0,
        "Fraction of each epoch that is sampled by how much tissue a patch holds. By default all "
        "patches are seen once.",
        lower_bound=0, upper_bound=1,
    ),
    flags.DEFINE_bool("flips", False, "Mirror patches within the slice at random."),
    flags.DEFINE_float(
        "gain", 0.0, "Brighten or darken patches at random by up to this fraction.", lower_bound=0
    ),
    flags.DEFINE_enum(
        "precision", Precision.FLOAT32, list(Precision), "Number format of the convolutions."
    ),
    flags.DEFINE_bool(
        "plain_repeat", False,
        "In transfer, repeat the first layer's weights for the second echo as they are. By "
        "default they are halved.",
    ),
    flags.DEFINE_enum(
        "best_by", BestBy.PSNR, list(BestBy),
        "Validation measure that selects the epoch kept in best/. t2 needs --t2_probe.",
    ),
)  # fmt: skip
STRATEGY = flags.DEFINE_enum(
    "strategy", Strategy.AUTO, list(Strategy),
    "Devices to train on: one, all of this machine, or those of all machines that TF_CONFIG or "
    "SLURM names. The default uses all that it finds.",
)  # fmt: skip
DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False,
    "Give bitwise the same weights every time, which is slower on a GPU. By default the last "
    "digits vary.",
)  # fmt: skip
T2_PROBE = flags.DEFINE_string(
    "t2_probe", None,
    "Folder of a phantom subject whose T2 is measured after each epoch. By default T2 is not "
    "measured.",
)  # fmt: skip
CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps", 200,
    "Number of steps between checkpoints, which is the most that an interruption can lose.",
    lower_bound=1,
)  # fmt: skip


def main() -> None:
    """Checks the flags and trains."""
    from mrsr_tf.records.manifest import read_sets

    settings: dict[str, Any] = {flag.name: flag.value for flag in SETTINGS}
    config = TrainingConfig(space_to_depth=_block_shape(SPACE_TO_DEPTH.value), **settings)
    records = [Path(folder) for folder in RECORDS.value]
    init_from = Path(INIT_FROM.value) if INIT_FROM.value else None
    t2_probe = Path(T2_PROBE.value) if T2_PROBE.value else None
    check_settings(config, read_sets(records), init_from, t2_probe)
    with cli.quiet_imports():
        from mrsr_tf.training import trainer

    trainer.train(
        config,
        records,
        Path(RUN_DIR.value),
        init_from=init_from,
        checkpoint_steps=CHECKPOINT_STEPS.value,
        flagfile=_flagfile(),
        overwrite=OVERWRITE.value,
        strategy=Strategy(STRATEGY.value),
        deterministic=DETERMINISTIC.value,
        t2_probe=t2_probe,
    )
    print(f"trained: {RUN_DIR.value}")


def _block_shape(sizes: list[str]) -> tuple[int, int, int]:
    if len(sizes) != 3 or not all(size.isdecimal() and int(size) for size in sizes):
        raise InputError(f"expected --space_to_depth=ROWS,COLUMNS,SLICES, got {','.join(sizes)}")
    rows, columns, slices = map(int, sizes)
    return rows, columns, slices


def _flagfile() -> str:
    """Returns the settings as a flagfile, without folders, because a path may name a patient."""
    settings = (SPACE_TO_DEPTH, *SETTINGS, CHECKPOINT_STEPS, DETERMINISTIC)
    return "".join(flags.FLAGS[flag.name].serialize() + "\n" for flag in settings)


if __name__ == "__main__":
    cli.run(main)
