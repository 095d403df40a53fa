"""What decides a training: its settings, and which of them cannot go together.

Without TensorFlow, so that a call that cannot work is refused at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError

ECHOES = {"single": 1, "dual": 2}


@dataclass(frozen=True)
class TrainingConfig:
    """What decides the trained weights, beside the records. The defaults are the paper's.

    Attributes:
        convolutions: of the network; 20 in the paper.
        filters: feature maps of all convolutions but the last; 64.
        space_to_depth: rows, columns and slices of voxels in one cell of the grid; 1 x 1 x 1.
        batch_size: patches per step, over all devices together; 50.
        epochs: passes over the training records; 10.
        learning_rate: of Adam; 1e-4.
        plain_repeat: in transfer, repeat the first layer's weights without halving them.
        seed: of the first weights and of the order of the patches.
        loss: of `losses.LOSSES`.
        t2_weight: how much of `losses.t2` to add.
        schedule: of the learning rate: "constant", or "cosine" to 0.
        warmup_steps: over which the learning rate rises.
        ema: momentum of the moving average of the weights, which then are the trained ones.
        foreground: this part of an epoch's draws goes by how much tissue a patch holds.
        flips: mirror patches within the slice.
        gain: brighten and darken patches by up to this fraction.
        frozen: convolutions after the first that keep the weights they were given.
        precision: of the convolutions: "float32", "bfloat16" or "float16".
        xla: compile the step by XLA.
        best_by: what chooses the best epoch, of `keeping.BEST_BY`.
    """

    convolutions: int
    filters: int
    batch_size: int
    epochs: int
    learning_rate: float
    plain_repeat: bool
    seed: int
    space_to_depth: tuple[int, int, int] = (1, 1, 1)
    loss: str = "l2"
    t2_weight: float = 0.0
    schedule: str = "constant"
    warmup_steps: int = 0
    ema: float = 0.0
    foreground: float = 0.0
    flips: bool = False
    gain: float = 0.0
    frozen: int = 0
    precision: str = "float32"
    xla: bool = False
    best_by: str = "psnr"


def check_settings(
    config: TrainingConfig,
    manifest: Mapping[str, Any],
    init_from: Path | None,
    watch_subject: Path | None,
) -> None:
    """Checks what can be told before anything is loaded or made.

    Args:
        config: the settings.
        manifest: of the records, see `record_sets.read_sets`.
        init_from: the run to start from.
        watch_subject: the subject to measure T2 on.

    Raises:
        InputError: settings that cannot go together, or a folder that is not there.
    """
    dual = manifest["contrasts"] == "dual"
    needs = (
        ("t2_weight", config.t2_weight, dual, "records of two contrasts"),
        ("watch_subject", watch_subject, dual, "records of two contrasts"),
        ("frozen", config.frozen, init_from, "init_from: random weights must not stay"),
        ("best_by=t2", config.best_by == "t2", watch_subject, "watch_subject"),
    )
    for name, asked, there, needed in needs:
        if asked and not there:
            raise InputError(f"expected with --{name} also {needed}")
    if config.frozen > config.convolutions - 2:
        raise InputError(
            f"expected at most {config.convolutions - 2} convolutions between the first and the "
            f"last to freeze, got {config.frozen}"
        )
    for name, folder in (("init_from", init_from), ("watch_subject", watch_subject)):
        if folder and not folder.is_dir():
            raise InputError(f"expected for --{name} a folder, found none: {folder}")
