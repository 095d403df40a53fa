"""A cohort evaluated subject by subject: what is done is kept, so that the same call resumes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eval import image_quality, pictures, regions, results, t2_accuracy
from eval.methods import Method
from eval.results import Row
from eval.t2 import sequence
from mrsr_tf.errors import InputError
from mrsr_tf.scans import read_scan

PARTS = "subjects"


@dataclass(frozen=True)
class Settings:
    """What decides the rows, beside the scans.

    Attributes:
        cohort: "image_quality" or "t2".
        slice_factor: fine slices per thick one.
        slice_axis: which axis of a NIfTI counts slices.
        roi: of the T2 cohort; see `regions.region`.
        combination: of the T2 cohort; see `t2_accuracy.combining_matrix`.
    """

    cohort: str
    slice_factor: int = 2
    slice_axis: int = 2
    roi: str = "medial_femoral_cartilage"
    combination: str = "covering"

    @property
    def labels(self) -> dict[str, str]:
        """What every row says beside its subject."""
        return {"roi": self.roi} if self.cohort == "t2" else {}

    def configuration(self) -> dict[str, Any]:
        """The settings that this cohort depends on, as plain values."""
        common = {
            "cohort": self.cohort,
            "slice_factor": self.slice_factor,
            "slice_axis": self.slice_axis,
        }
        if self.cohort == "image_quality":
            return common
        return common | self.labels | {"combination": self.combination}


def evaluate(
    subjects: Mapping[str, Path], methods: Mapping[str, Method], settings: Settings, folder: Path
) -> None:
    """Evaluates the subjects that `folder` does not hold yet, and joins all rows in rows.csv.

    One scan is in memory at a time, with one method's result.

    Raises:
        InputError: a scan cannot be evaluated; the message names it.
    """
    parts = {name: folder / PARTS / f"{name}.csv" for name in subjects}
    missing = [name for name in subjects if not parts[name].exists()]
    for name in tqdm(missing, "evaluating", unit="subject", disable=None, delay=2):
        rows, kept = _evaluate(subjects[name], methods, settings)
        pictures.save(folder / results.PICTURES / f"{name}.npz", kept)
        # The rows last: they say that the subject is done.
        labelled = [{"subject": name, **settings.labels} | row for row in rows]
        results.write_rows(parts[name], labelled, settings.cohort)
    joined = [row for part in parts.values() for row in results.read_rows(part, settings.cohort)]
    results.write_rows(folder / results.ROWS, joined, settings.cohort)


def _evaluate(
    path: Path, methods: Mapping[str, Method], settings: Settings
) -> tuple[list[Row], list[pictures.Picture]]:
    axis, factor = settings.slice_axis, settings.slice_factor
    scan = read_scan(path, slice_axis=axis)
    try:
        if settings.cohort == "image_quality":
            return image_quality.evaluate(scan, methods, factor)
        return t2_accuracy.evaluate(
            scan,
            methods,
            factor,
            times=sequence(scan, path),
            roi=regions.region(path, scan, settings.roi, slice_axis=axis),
            true_t2_ms=regions.true_t2(path, scan, slice_axis=axis),
            combination=settings.combination,
        )
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{error}: {path}") from error
