"""Training settings, and which of them cannot be combined.

Loads no TensorFlow, so that a call that cannot work fails at once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.network.precision import Precision
from mrsr_tf.records.contrasts import Contrasts


class Loss(StrEnum):
    """The training loss; see `mrsr_tf.training.losses`."""

    L2 = "l2"
    L1 = "l1"
    SSIM_L1 = "ssim_l1"


class Schedule(StrEnum):
    """The course of the learning rate: constant, or half a cosine down to 0."""

    CONSTANT = "constant"
    COSINE = "cosine"


class BestBy(StrEnum):
    """The validation measure that selects the best epoch."""

    LOSS = "loss"
    PSNR = "psnr"
    SSIM = "ssim"
    T2 = "t2"


class Strategy(StrEnum):
    """The devices that train together; see `mrsr_tf.training.distribution`."""

    AUTO = "auto"
    ONE = "one"
    MIRRORED = "mirrored"
    MULTI_WORKER = "multi_worker"


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything besides the records that decides the trained weights.

    The defaults are the paper's training, with every option switched off.

    Attributes:
        convolutions: number of 3x3x3 convolutions.
        filters: feature maps of every convolution but the last.
        space_to_depth: rows, columns and slices of voxels in one cell of the network's grid.
        batch_size: patches per step, over all devices together.
        epochs: passes over the training records.
        learning_rate: (highest) learning rate of Adam.
        seed: of the initial weights, the order of the patches and their augmentation.
        loss: the training loss.
        t2_weight: weight of the additional term `losses.t2`.
        schedule: course of the learning rate.
        warmup_steps: steps over which the learning rate rises.
        ema: momentum of the moving average of the weights, which is then what is kept; 0 for none.
        foreground: fraction of an epoch that is sampled by how much tissue a patch holds.
        flips: whether to mirror patches within the slice at random.
        gain: patches are brightened or darkened at random by up to this fraction.
        precision: number format of the convolutions.
        plain_repeat: whether transfer repeats the first layer's weights without halving them.
        best_by: validation measure that selects the best epoch.
    """

    convolutions: int = 20
    filters: int = 64
    space_to_depth: tuple[int, int, int] = (1, 1, 1)
    batch_size: int = 50
    epochs: int = 10
    learning_rate: float = 1e-4
    seed: int = 0
    loss: Loss = Loss.L2
    t2_weight: float = 0.0
    schedule: Schedule = Schedule.CONSTANT
    warmup_steps: int = 0
    ema: float = 0.0
    foreground: float = 0.0
    flips: bool = False
    gain: float = 0.0
    precision: Precision = Precision.FLOAT32
    plain_repeat: bool = False
    best_by: BestBy = BestBy.PSNR

    def to_json(self) -> dict[str, Any]:
        """Returns the settings as configuration.json stores them."""
        return {**asdict(self), "space_to_depth": "x".join(map(str, self.space_to_depth))}


def check_settings(
    config: TrainingConfig,
    manifest: Mapping[str, Any],
    init_from: Path | None,
    t2_probe: Path | None,
) -> None:
    """Checks settings before anything is loaded or written.

    Args:
        config: the settings.
        manifest: of the records, see `manifest.read_sets`.
        init_from: the run to start from.
        t2_probe: the subject to measure T2 on.

    Raises:
        InputError: settings cannot be combined, or a folder does not exist.
    """
    dual = manifest["contrasts"] == Contrasts.DUAL
    requirements = (
        ("t2_weight", config.t2_weight, dual, "records of two contrasts"),
        ("t2_probe", t2_probe, dual, "records of two contrasts"),
        ("best_by=t2", config.best_by == BestBy.T2, t2_probe, "t2_probe"),
    )
    for name, is_set, is_met, requirement in requirements:
        if is_set and not is_met:
            raise InputError(f"expected with --{name} also {requirement}")
    for name, folder in (("init_from", init_from), ("t2_probe", t2_probe)):
        if folder and not folder.is_dir():
            raise InputError(f"expected for --{name} a folder, found none: {folder}")
