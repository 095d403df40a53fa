"""Trains the network on TFRecord patches, on all GPUs of one machine or of several.

The paper's two stages, on records that tf_records_tools.make_records wrote:

    python -m mrsr_tf.train --flagfile=flags/paper/single --records=records/single --run_dir=runs/single
    python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual --run_dir=runs/dual --init_from=runs/single

Fine-tune the network that comes with the package on other scans:

    python -m mrsr_tf.train --flagfile=flags/finetune --init_from=pretrained --records=records/mine --run_dir=runs/mine

The same call again resumes an interrupted training. To watch the training:

    tensorboard --logdir=runs

Several sets of records, for example of slices made two and three times as thick, train one network
for all of their factors:

    python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual,records/dual_3 --run_dir=runs/dual --init_from=runs/single

To train on several machines, run the same call on each; TF_CONFIG or SLURM names the others:

    srun --nodes=2 --ntasks-per-node=1 --gpus-per-node=4 python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual --run_dir=runs/dual --init_from=runs/single
"""  # noqa: E501 (commands as one pastes them)

from dataclasses import Field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.training.config import PAPERS_ARCHITECTURE, Strategy, TrainingConfig, check_settings


def _define(setting: Field[Any]) -> flags.FlagHolder[Any]:
    """Defines the flag of a field of `TrainingConfig`."""
    name = setting.name
    default: Any = setting.default
    description, bounds = setting.metadata["help"], setting.metadata["bounds"]
    match PAPERS_ARCHITECTURE.get(name, default):
        case bool():
            return flags.DEFINE_bool(name, default, description)
        case int():
            return flags.DEFINE_integer(name, default, description, **bounds)
        case float():
            return flags.DEFINE_float(name, default, description, **bounds)
        case StrEnum() as choice:
            return flags.DEFINE_enum(name, default, list(type(choice)), description)
        case tuple():
            return flags.DEFINE_list(name, default, description)
    raise TypeError(f"no kind of flag for {name}")


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
    "Trained network to start from: a finished run, an export, or pretrained or pretrained-paper, "
    "which come with the package. A single-contrast network is transferred to two contrasts. By "
    "default the initial weights are random.",
)  # fmt: skip
OVERWRITE = cli.define_overwrite()
SETTINGS = [_define(setting) for setting in fields(TrainingConfig)]
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
CHECKPOINT_STEPS = cli.define_count(
    "checkpoint_steps", 200,
    "Number of steps between checkpoints, which is the most that an interruption can lose.",
)  # fmt: skip


def main() -> None:
    """Checks the flags and trains."""
    from mrsr_tf.outputs import check_output
    from mrsr_tf.records.manifest import read_sets

    inputs = filter(None, (*RECORDS.value, INIT_FROM.value, T2_PROBE.value))
    check_output(RUN_DIR.value, inputs)
    settings = {flag.name: flag.value for flag in SETTINGS}
    if settings["space_to_depth"] is not None:
        settings["space_to_depth"] = _block_shape(settings["space_to_depth"])
    config = TrainingConfig(**settings)
    records = [Path(folder) for folder in RECORDS.value]
    init_from = INIT_FROM.value or None
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
    settings = (*SETTINGS, CHECKPOINT_STEPS, DETERMINISTIC)
    lines = [flags.FLAGS[flag.name].serialize() for flag in settings if flag.value is not None]
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    cli.run(main)
