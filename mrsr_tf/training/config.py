"""Training settings, and which of them cannot be combined.

Loads no TensorFlow, so that a call that cannot work fails at once.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.network.precision import Precision
from mrsr_tf.network.weights_file import SHIPPED
from mrsr_tf.records.contrasts import Contrasts

PAPERS_ARCHITECTURE = {"convolutions": 20, "filters": 64, "space_to_depth": (1, 1, 1)}


class Loss(StrEnum):
    """The training loss; see `mrsr_tf.training.losses`."""

    L2 = "l2"
    L1 = "l1"
    LOG_L2 = "log_l2"
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


def _setting(default: Any, description: str, **bounds: float) -> Any:
    """Returns a field of `TrainingConfig` that keeps the help text and bounds of its flag."""
    return field(default=default, metadata={"help": description, "bounds": bounds})


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Everything besides the records that decides the trained weights.

    The defaults are the paper's training, with every option switched off. An architecture of None
    is that of the network that training starts from, or else the paper's. `mrsr_tf.train` defines
    a flag for each field.
    """

    convolutions: int | None = _setting(
        None,
        "Number of 3x3x3 convolutions in the network. The default is that of --init_from, or 20.",
        lower_bound=2,
        upper_bound=1000,
    )
    filters: int | None = _setting(
        None,
        "Feature maps of every convolution but the last. The default is that of --init_from, or "
        "64.",
        lower_bound=1,
    )
    space_to_depth: tuple[int, int, int] | None = _setting(
        None,
        "Rows, columns and slices of voxels that become the channels of one cell. The default is "
        "that of --init_from, or 1,1,1: the convolutions run on single voxels.",
    )
    batch_size: int = _setting(50, "Patches per step, over all devices together.", lower_bound=1)
    epochs: int = _setting(10, "Number of passes over the records.", lower_bound=1)
    learning_rate: float = _setting(1e-4, "Learning rate of Adam.", lower_bound=0)
    seed: int = _setting(
        0,
        "Seed of the initial weights, the order of the patches and their augmentation.",
        lower_bound=0,
    )
    loss: Loss = _setting(  # noqa: RUF009
        Loss.L2,
        "Training loss: squared error (the paper's), absolute error, the logarithm of the squared "
        "error of each slice and echo, or absolute error and SSIM.",
    )
    t2_weight: float = _setting(
        0.0, "Weight of the squared error of ln(S2/S1), which is added to the loss.", lower_bound=0
    )
    schedule: Schedule = _setting(  # noqa: RUF009
        Schedule.CONSTANT,
        "Course of the learning rate: constant, or half a cosine that falls to 0.",
    )
    warmup_steps: int = _setting(
        0, "Number of steps over which the learning rate rises.", lower_bound=0
    )
    ema: float = _setting(
        0.0,
        "Momentum, such as 0.999, of a moving average of the weights, which is then validated and "
        "kept. The default 0 keeps the weights themselves.",
        lower_bound=0,
        upper_bound=0.999999,
    )
    foreground: float = _setting(
        0.0,
        "Fraction of each epoch that is sampled by how much tissue a patch holds. By default all "
        "patches are seen once.",
        lower_bound=0,
        upper_bound=1,
    )
    flips: bool = _setting(False, "Mirror patches within the slice at random.")
    gain: float = _setting(
        0.0, "Brighten or darken patches at random by up to this fraction.", lower_bound=0
    )
    precision: Precision = _setting(  # noqa: RUF009
        Precision.FLOAT32, "Number format of the convolutions."
    )
    plain_repeat: bool = _setting(
        False,
        "In transfer, repeat the first layer's weights for the second echo as they are. By "
        "default they are halved.",
    )
    best_by: BestBy = _setting(  # noqa: RUF009
        BestBy.PSNR,
        "Validation measure that selects the epoch kept in best/. t2 needs --t2_probe.",
    )

    @property
    def architecture(self) -> dict[str, Any]:
        """Arguments of `build_model` for random initial weights."""
        return {
            name: getattr(self, name) or default for name, default in PAPERS_ARCHITECTURE.items()
        }

    def to_json(self, architecture: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the settings, with the network's architecture, as configuration.json has them."""
        blocks = "x".join(map(str, architecture["space_to_depth"]))
        return {**asdict(self), **architecture, "space_to_depth": blocks}


def check_settings(
    config: TrainingConfig,
    manifest: Mapping[str, Any],
    init_from: str | Path | None,
    t2_probe: Path | None,
) -> None:
    """Checks settings against the records, before anything is loaded or written.

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
    names = f"{' or '.join(SHIPPED)}, or a folder"
    if init_from and str(init_from) not in SHIPPED and not Path(init_from).is_dir():
        raise InputError(f"expected for --init_from {names}, found none: {init_from}")
    if t2_probe and not t2_probe.is_dir():
        raise InputError(f"expected for --t2_probe a folder, found none: {t2_probe}")
