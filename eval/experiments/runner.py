"""A cohort evaluated subject by subject: what is done is kept, so that the same call resumes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray
from tqdm import tqdm

from eval.experiments import image_quality, lesions, resolution, t2_accuracy
from eval.methods import NETWORK, Method
from eval.regions import rois
from eval.results.planes import Picture, save_pictures
from eval.results.rows import PICTURES, ROWS, SEEN, Row, read_rows, write_rows
from eval.t2_noise import sequence
from mrsr_tf.errors import InputError
from mrsr_tf.io.scans import read_scan
from mrsr_tf.records.manifest import split_of
from mrsr_tf.records.record_sets import each_set
from mrsr_tf.volume import Volume

PARTS = "subjects"
# pydicom's warnings, which quote the header, are silenced for a whole process: one reads at a time.
READING = Lock()


@dataclass(frozen=True)
class Settings:
    """What decides the rows, beside the scans.

    Attributes:
        cohort: one of `results.COLUMNS`.
        slice_factor: fine slices per thick one.
        slice_axis: which axis of a NIfTI counts slices.
        roi: of T2 and lesions: the regions; see `regions.regions`.
        t1_ms: of T2, as the next four: of each region, or one for all.
        t2_method: "analytic" or "exact"; see `eval.t2_noise.t2_map`.
        combination: see `t2_accuracy.combining_matrix`.
        outliers: see `t2_accuracy.without_outliers`.
        rim: see `regions.regions`.
        lesion_mm: of lesions: how long they are across the slices.
    """

    cohort: str
    slice_factor: int = 2
    slice_axis: int = 2
    roi: Sequence[str] = ("medial_femoral_cartilage",)
    t1_ms: Sequence[float] = (1200.0,)
    t2_method: str = "analytic"
    combination: str = "covering"
    outliers: str = "none"
    rim: bool = True
    lesion_mm: Sequence[float] = lesions.SIZES_MM

    def __post_init__(self) -> None:
        """Raises `InputError` for none or two of a region or size, or other T1s than regions."""
        if not self.roi or len(set(self.roi)) < len(self.roi):
            raise InputError(f"expected different regions, got {','.join(self.roi) or 'none'}")
        if len(self.t1_ms) not in (1, len(self.roi)):
            raise InputError(
                f"expected one T1 or one for each of the {len(self.roi)} regions, got "
                f"{len(self.t1_ms)}"
            )
        if not self.lesion_mm or len(set(self.lesion_mm)) < len(self.lesion_mm):
            raise InputError(f"expected lesions of different sizes, got {self.lesion_mm or 'none'}")

    def configuration(self) -> dict[str, Any]:
        """The settings that this cohort depends on, as plain values."""
        every = asdict(self)
        own = {"t2": set(every) - {"lesion_mm"}, "lesions": {"roi", "lesion_mm"}}
        of_all = {"cohort", "slice_factor", "slice_axis"}
        used = of_all | own.get(self.cohort, set())
        return {name: value for name, value in every.items() if name in used}


def evaluate(
    subjects: Mapping[str, Path],
    methods: Mapping[str, Method],
    settings: Settings,
    folder: Path,
    *,
    workers: int = 1,
    card: Mapping[str, Any] | None = None,
) -> None:
    """Evaluates the subjects that `folder` does not hold yet, and joins all rows in rows.csv.

    One scan per worker is in memory at a time, with one method's result. Warns of a subject that
    the network was trained on, and notes it for the report.

    Args:
        subjects: name -> what `mrsr_tf.io.scans.find_subjects` found.
        methods: by name; the network, which takes all cores for itself, works for one at a time.
        settings: what to do.
        folder: where rows and pictures go.
        workers: how many subjects at once, in threads: what the work is made of lets others run.
        card: of the network, see `mrsr_tf.network.model_card.ModelCard`.

    Raises:
        InputError: a scan cannot be evaluated; the message names it.
    """
    parts = {name: folder / PARTS / f"{name}.csv" for name in subjects}
    missing = [name for name in subjects if not parts[name].exists()]
    methods = {name: _one_at_a_time(of) if name == NETWORK else of for name, of in methods.items()}

    def one(name: str) -> None:
        rows, kept = _evaluate(subjects[name], methods, settings, card or {}, folder / SEEN / name)
        save_pictures(folder / PICTURES / f"{name}.npz", kept)
        # The rows last: they say that the subject is done.
        labelled = [{"subject": name} | row for row in rows]
        write_rows(parts[name], labelled, settings.cohort)

    for _ in tqdm(
        _each(one, missing, workers), "evaluating", len(missing), unit="subject", disable=None,
        delay=2,
    ):  # fmt: skip
        pass
    joined = [row for part in parts.values() for row in read_rows(part, settings.cohort)]
    write_rows(folder / ROWS, joined, settings.cohort)


def _each(work: Callable[[str], None], names: Sequence[str], workers: int) -> Iterator[None]:
    """Does the work on all names; yields as each is done, raises what the first to fail raised."""
    if workers == 1:  # in this thread: an interruption ends it at once
        yield from map(work, names)
        return
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, name) for name in names]
        try:
            for done in as_completed(futures):
                yield done.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _one_at_a_time(method: Method) -> Method:
    lock = Lock()

    def method_alone(thick: Volume) -> NDArray[np.floating]:
        with lock:
            return method(thick)

    return method_alone


def _evaluate(
    path: Path,
    methods: Mapping[str, Method],
    settings: Settings,
    card: Mapping[str, Any],
    known_note: Path,
) -> tuple[list[Row], list[Picture]]:
    axis, factor = settings.slice_axis, settings.slice_factor
    with READING:
        scan = read_scan(path, slice_axis=axis)
    _warn_of_training(scan, path, card, known_note)
    try:
        if settings.cohort == "image_quality":
            return image_quality.evaluate(scan, methods, factor)
        if settings.cohort == "resolution":
            return resolution.evaluate(scan, methods, factor)
        known = sequence(scan, path)
        with READING:
            regions_of = _regions(path, scan, settings)
        if settings.cohort == "lesions":
            cartilage = np.any([region.inside for region in regions_of], axis=0)
            sizes = settings.lesion_mm
            return lesions.evaluate(
                scan, methods, factor, known=known, cartilage=cartilage, sizes_mm=sizes
            ), []
        return t2_accuracy.evaluate(
            scan,
            methods,
            factor,
            known=known | {"method": settings.t2_method},
            regions=regions_of,
            true_t2_ms=rois.true_t2(path, scan, slice_axis=axis),
            combination=settings.combination,
            outliers=settings.outliers,
        )
    except InputError as error:
        if str(path) in str(error):
            raise
        raise InputError(f"{error}: {path}") from error


def _warn_of_training(scan: Volume, path: Path, card: Mapping[str, Any], note: Path) -> None:
    split = split_of(scan, each_set(card["records"])) if "records" in card else None
    if split:
        how = {"train": "trained on", "validation": "chosen by"}[split]
        logging.warning(
            "%s: the network was %s this very scan; its results say nothing of new ones", path, how
        )
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(how, encoding="utf-8")


def _regions(path: Path, scan: Volume, settings: Settings) -> list[t2_accuracy.Region]:
    found = rois.regions(path, scan, settings.roi, slice_axis=settings.slice_axis, rim=settings.rim)
    t1_ms = [*settings.t1_ms] * (len(found) if len(settings.t1_ms) == 1 else 1)
    return [
        t2_accuracy.Region(name, inside, t1)
        for (name, inside), t1 in zip(found.items(), t1_ms, strict=True)
    ]
