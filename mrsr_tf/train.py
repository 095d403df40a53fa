"""Trains the network on TFRecord patches, on all visible GPUs.

The paper's two stages, on records that tf_records_tools.make_records wrote:

    python -m mrsr_tf.train --flagfile=flags/paper/single --records=records/single --run_dir=runs/single
    python -m mrsr_tf.train --flagfile=flags/paper/dual --records=records/dual --run_dir=runs/dual --init_from=runs/single

The same call again goes on where an interrupted one stopped. To watch it:

    tensorboard --logdir=runs
"""  # noqa: E501 (commands as one pastes them)

from pathlib import Path
from typing import Any

from absl import flags

from mrsr_tf import command

RECORDS = flags.DEFINE_string("records", None, "Folder of the training records.", required=True)
RUN_DIR = flags.DEFINE_string("run_dir", None, "Folder of this run.", required=True)
INIT_FROM = flags.DEFINE_string(
    "init_from", None, "A finished run to start from; single to dual contrast is transferred."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Remove the run folder and start anew.")
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
)
CHECKPOINT_STEPS = flags.DEFINE_integer(
    "checkpoint_steps", 200, "An interruption loses at most so many steps.", lower_bound=1
)


def main() -> None:
    """Reads the flags and trains."""
    with command.quiet_imports():
        from mrsr_tf import training

    settings: dict[str, Any] = {flag.name: flag.value for flag in SETTINGS}
    training.train(
        training.TrainingConfig(**settings),
        Path(RECORDS.value),
        Path(RUN_DIR.value),
        init_from=Path(INIT_FROM.value) if INIT_FROM.value else None,
        checkpoint_steps=CHECKPOINT_STEPS.value,
        flagfile=_replayable(),
        overwrite=OVERWRITE.value,
    )
    print(f"trained: {RUN_DIR.value}")


def _replayable() -> str:
    """The settings as a flagfile. Without the folders: a path may name a patient."""
    settings = (*SETTINGS, CHECKPOINT_STEPS)
    return "".join(flags.FLAGS[flag.name].serialize() + "\n" for flag in settings)


if __name__ == "__main__":
    command.run(main)
