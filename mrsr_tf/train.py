"""Trains the network on TFRecord patches, on all GPUs of one machine or of several.

The paper's two stages, on records that tf_records_tools.make_records wrote:

    python -m mrsr_tf.train --flagfile=flags/paper/single --records=records/single --run_dir=runs/single
    python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual --run_dir=runs/dual --init_from=runs/single

The same call again goes on where an interrupted one stopped. To watch it:

    tensorboard --logdir=runs

Several sets of records, as of slices made two and three times as thick, train one network for all
of their factors:

    python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual,records/dual_3 --run_dir=runs/dual --init_from=runs/single

On several machines the same call on each, told of the others by TF_CONFIG or by SLURM:

    srun --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual --run_dir=runs/dual --init_from=runs/single
"""  # noqa: E501 (commands as one pastes them)

from pathlib import Path
from typing import Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.training.config import TrainingConfig, check_settings

RECORDS = flags.DEFINE_list(
    "records", None, "Folder of the training records, or several.", required=True
)
RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of this run.", required=True)
INIT_FROM = flags.DEFINE_string(
    "init_from", None, "A finished run to start from; single to dual contrast is transferred."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Remove the run folder and start anew.")
SPACE_TO_DEPTH = flags.DEFINE_list(
    "space_to_depth", ["1", "1", "1"], "Rows, columns and slices in one cell of the network's grid."
)
SETTINGS = (
    flags.DEFINE_integer("convolutions", 20, "3x3x3 convolutions of the network.", lower_bound=2),
    flags.DEFINE_integer("filters", 64, "Feature maps of all but the last.", lower_bound=1),
    flags.DEFINE_integer("batch_size", 50, "Patches per step, over all devices.", lower_bound=1),
    flags.DEFINE_integer("epochs", 10, "Passes over the records.", lower_bound=1),
    flags.DEFINE_float("learning_rate", 1e-4, "Of Adam.", lower_bound=0),
    flags.DEFINE_bool(
        "plain_repeat", False, "In transfer, repeat the first layer's weights without halving."
    ),
    flags.DEFINE_integer("seed", 0, "Of the first weights and the order of the patches."),
    flags.DEFINE_enum("loss", "l2", ["l2", "l1", "charbonnier", "ssim_l1"], "What to make small."),
    flags.DEFINE_float("t2_weight", 0.0, "Of the error of ln(S2/S1), added.", lower_bound=0),
    flags.DEFINE_enum("schedule", "constant", ["constant", "cosine"], "Of the learning rate."),
    flags.DEFINE_integer("warmup_steps", 0, "Over which the rate rises.", lower_bound=0),
    flags.DEFINE_float(
        "ema", 0.0, "Momentum of the weights' moving average, as 0.999; 0: none.",
        lower_bound=0, upper_bound=0.999999,
    ),
    flags.DEFINE_float(
        "foreground", 0.0, "Part of an epoch's draws that goes by how much tissue a patch holds.",
        lower_bound=0, upper_bound=1,
    ),
    flags.DEFINE_bool("flips", False, "Mirror patches within the slice."),
    flags.DEFINE_float("gain", 0.0, "Brighten or darken patches by up to this.", lower_bound=0),
    flags.DEFINE_integer("frozen", 0, "Convolutions after the first to freeze.", lower_bound=0),
    flags.DEFINE_enum(
        "precision", "float32", ["float32", "bfloat16", "float16"], "Of the convolutions."
    ),
    flags.DEFINE_bool("xla", False, "Compile the training step by XLA."),
    flags.DEFINE_enum("best_by", "psnr", ["loss", "psnr", "ssim", "t2"], "Chooses best/."),
)  # fmt: skip
STRATEGY = flags.DEFINE_enum(
    "strategy", "auto", ["auto", "one", "mirrored", "multi_worker"],
    "One device, all of this machine, or those of all machines that TF_CONFIG or SLURM name.",
)  # fmt: skip
DETERMINISTIC = flags.DEFINE_bool(
    "deterministic", False, "The same weights to the last bit every time; slower on a GPU."
)
WATCH_SUBJECT = flags.DEFINE_string(
    "watch_subject", None, "A phantom's folder, to measure T2 on after each epoch."
)
PROFILE_STEPS = flags.DEFINE_list(
    "profile_steps", None, "First and last step to profile for TensorBoard, as 10,20."
)
CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps", 200, "An interruption loses at most so many steps.", lower_bound=1
)


def main() -> None:
    """Reads the flags, refuses what cannot work, and trains."""
    from mrsr_tf.records.record_sets import read_sets

    settings: dict[str, Any] = {flag.name: flag.value for flag in SETTINGS}
    config = TrainingConfig(space_to_depth=_block_shape(SPACE_TO_DEPTH.value), **settings)
    profile_steps = _profile_steps(PROFILE_STEPS.value)
    records = [Path(folder) for folder in RECORDS.value]
    init_from, watch_subject = (
        Path(flag.value) if flag.value else None for flag in (INIT_FROM, WATCH_SUBJECT)
    )
    check_settings(config, read_sets(records), init_from, watch_subject)
    with cli.quiet_imports():
        from mrsr_tf.training import trainer

    trainer.train(
        config,
        records,
        Path(RUN_DIR.value),
        init_from=init_from,
        checkpoint_steps=CHECKPOINT_STEPS.value,
        flagfile=_replayable(),
        overwrite=OVERWRITE.value,
        strategy=STRATEGY.value,
        deterministic=DETERMINISTIC.value,
        watch_subject=watch_subject,
        profile_steps=profile_steps,
    )
    print(f"trained: {RUN_DIR.value}")


def _profile_steps(steps: list[str] | None) -> tuple[int, int] | None:
    if steps is None:
        return None
    if len(steps) != 2 or not all(step.isdecimal() for step in steps):
        raise InputError(f"expected --profile_steps=FIRST,LAST, got {','.join(steps)}")
    first, last = map(int, steps)
    if not 1 < first <= last:
        raise InputError(f"expected steps from 2 on, the last not before the first, got {steps}")
    return first, last


def _block_shape(sizes: list[str]) -> tuple[int, int, int]:
    if len(sizes) != 3 or not all(size.isdecimal() and int(size) for size in sizes):
        raise InputError(f"expected --space_to_depth=ROWS,COLUMNS,SLICES, got {','.join(sizes)}")
    rows, columns, slices = map(int, sizes)
    return rows, columns, slices


def _replayable() -> str:
    """The settings as a flagfile. Without the folders: a path may name a patient."""
    settings = (SPACE_TO_DEPTH, *SETTINGS, CHECKPOINT_STEPS, DETERMINISTIC)
    return "".join(flags.FLAGS[flag.name].serialize() + "\n" for flag in settings)


if __name__ == "__main__":
    cli.run(main)
