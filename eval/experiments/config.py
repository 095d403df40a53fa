"""The experiments, and the settings that determine their rows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from eval.results.rows import Experiment
from mrsr_tf.errors import InputError
from mrsr_tf.mri.dess import T2Method
from mrsr_tf.mri.slices import DEFAULT_FACTOR

LESION_SIZES_MM = (0.7, 1.0, 1.4, 2.0, 3.0, 4.0)
MAIN_REGION = "medial_femoral_cartilage"


class Combination(StrEnum):
    """How fine slices make up a thick one; see `t2_accuracy.combining_matrix`."""

    COVERING = "covering"
    PAIR = "pair"


class Outliers(StrEnum):
    """Which valid voxels of a T2 map are left out; see `t2_accuracy.without_outliers`."""

    NONE = "none"
    MAD = "mad"


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What determines the rows besides scans and methods; eval.evaluate has a flag for each.

    Attributes:
        t1_ms: one for each region, or one for all.
        lesion_mm: lengths of lesions across the slices.

    Raises:
        InputError: there is no region or size, one is given twice, or T1 is given for another
            number of regions.
    """

    experiment: str
    slice_factor: int = DEFAULT_FACTOR
    slice_axis: int = 2
    roi: Sequence[str] = (MAIN_REGION,)
    t1_ms: Sequence[float] = (1200.0,)
    t2_method: str = T2Method.ANALYTIC
    combination: str = Combination.COVERING
    outliers: str = Outliers.NONE
    rim: bool = True
    lesion_mm: Sequence[float] = LESION_SIZES_MM

    def __post_init__(self) -> None:
        if not self.roi or len(set(self.roi)) < len(self.roi):
            raise InputError(f"expected different regions, got {','.join(self.roi) or 'none'}")
        if len(self.t1_ms) not in (1, len(self.roi)):
            raise InputError(
                f"expected one T1 or one for each of the {len(self.roi)} regions, got "
                f"{len(self.t1_ms)}"
            )
        if not self.lesion_mm or len(set(self.lesion_mm)) < len(self.lesion_mm):
            raise InputError(f"expected lesions of different sizes, got {self.lesion_mm or 'none'}")

    def relevant(self) -> dict[str, Any]:
        """The settings that this experiment depends on, as JSON values."""
        settings = asdict(self)
        common = {"experiment", "slice_factor", "slice_axis"}
        own = {
            Experiment.IMAGE_QUALITY: set(),
            Experiment.T2: {*settings} - {"lesion_mm"},
            Experiment.LESIONS: {"roi", "lesion_mm"},
            Experiment.RESOLUTION: set(),
        }
        used = common | own[Experiment(self.experiment)]
        return {name: value for name, value in settings.items() if name in used}
