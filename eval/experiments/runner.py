"""Runs an experiment subject by subject; finished subjects are kept, so the same call resumes."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from absl import logging
from tqdm import tqdm

from eval.experiments import image_quality, lesions, resolution, t2_accuracy
from eval.experiments.config import EvaluationConfig
from eval.regions import rois
from eval.results.planes import Picture, save_pictures
from eval.results.rows import PICTURES, ROWS, SEEN, Experiment, Row, read_rows, write_rows
from mrsr_tf.errors import Failures, InputError, naming
from mrsr_tf.inference.upsampling import Upsampler
from mrsr_tf.io.scans import Scan
from mrsr_tf.mri.t2 import sequence
from mrsr_tf.records.manifest import each_set, find_split
from mrsr_tf.volume import Volume

PARTS, IDENTITY = "subjects", ".source"
# pydicom's warnings, which quote headers, can only be silenced for a whole process: one thread
# reads at a time.
READING = Lock()


def evaluate(
    subjects: Mapping[str, Scan],
    upsamplers: Sequence[Upsampler],
    config: EvaluationConfig,
    folder: Path,
    *,
    workers: int = 1,
    failures: Failures | None = None,
) -> None:
    """Evaluates the subjects that `folder` does not hold yet, and joins all rows in rows.csv.

    A subject whose scan, regions or true map of T2 have changed since is evaluated again.

    Each worker holds one scan and one method's result in memory. A subject that the network was
    trained on causes a warning and is noted for the report.

    Args:
        subjects: name -> scan, from `mrsr_tf.io.scans.find_scans`.
        upsamplers: all of the same slice factor.
        config: what is measured.
        folder: where rows and pictures are written.
        workers: number of subjects at a time, each in a thread: most of the work releases the GIL.
        failures: subjects that could not even be found.

    Raises:
        InputError: a scan cannot be evaluated; it is named after the others have been. Their rows
            are kept, but rows.csv, which would lack a subject, is not written.
    """
    failures = failures or Failures()
    total = len(subjects) + len(failures.subjects)
    parts = {name: folder / PARTS / f"{name}.csv" for name in subjects}

    def evaluate_subject(name: str) -> None:
        source, identity_path = subjects[name], folder / PARTS / f"{name}{IDENTITY}"
        try:
            with READING:
                scan = source.read(config.slice_axis)
            with naming(source):
                if parts[name].exists() and _is_of(identity_path, _identity(source, scan, config)):
                    return
                parts[name].unlink(missing_ok=True)
                rows, pictures = _evaluate(source, scan, upsamplers, config, folder / SEEN / name)
                # Later than the evaluation, which says best why a scan does not suit.
                identity = _identity(source, scan, config)
        except InputError as error:
            failures.add(source, error)
            return
        save_pictures(folder / PICTURES / f"{name}.npz", pictures)
        identity_path.parent.mkdir(exist_ok=True)
        identity_path.write_text(identity, encoding="utf-8")
        # The rows come last: their file marks the subject as finished.
        rows = [{"subject": name} | row for row in rows]
        write_rows(parts[name], rows, config.experiment)

    with tqdm(None, "evaluating", total, unit="subject", disable=None, delay=2) as bar:
        for _ in _run(evaluate_subject, list(subjects), workers):
            bar.update()
    failures.check(total, "subject", "the rows of the others are kept for the next call")
    rows = [row for part in parts.values() for row in read_rows(part, config.experiment)]
    write_rows(folder / ROWS, rows, config.experiment)


def check_sources(subjects: Mapping[str, Scan], config: EvaluationConfig, folder: Path) -> None:
    """Checks that a finished evaluation is of these scans, regions and true maps of T2.

    Raises:
        InputError: one of them is another now, or cannot be read; the message names it.
    """
    for name, source in subjects.items():
        scan = source.read(config.slice_axis)
        if not _is_of(folder / PARTS / f"{name}{IDENTITY}", _identity(source, scan, config)):
            raise InputError(
                f"expected the scans and regions that {folder} was made of, got another: {source} "
                "(--overwrite starts again)"
            )


def _identity(source: Scan, scan: Volume, config: EvaluationConfig) -> str:
    """16 hexadecimal digits that differ where scan, regions or true map of T2 differ."""
    digest = hashlib.sha256(scan.identity.encode())
    if config.experiment in (Experiment.T2, Experiment.LESIONS):
        for region in _regions(source, scan, config):
            digest.update(region.name.encode() + np.packbits(region.inside).tobytes())
    if config.experiment == Experiment.T2:
        true_t2_ms = rois.true_t2(source.subject, scan, slice_axis=config.slice_axis)
        digest.update(b"" if true_t2_ms is None else true_t2_ms.tobytes())
    return digest.hexdigest()[:16]


def _is_of(path: Path, identity: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == identity


def anonymous(subjects: Mapping[str, Scan]) -> dict[str, Scan]:
    """The subjects as subject_01, subject_02, ... in the order of their sorted names."""
    digits = max(2, len(str(len(subjects))))
    return {
        f"subject_{number:0{digits}}": subjects[name]
        for number, name in enumerate(sorted(subjects), 1)
    }


def _run(work: Callable[[str], None], names: Sequence[str], workers: int) -> Iterator[None]:
    """Yields whenever a name is finished; raises the first error and cancels the names left."""
    if workers == 1:  # in this thread, where an interrupt takes effect at once
        yield from map(work, names)
        return
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(work, name) for name in names]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _evaluate(
    source: Scan,
    scan: Volume,
    upsamplers: Sequence[Upsampler],
    config: EvaluationConfig,
    note: Path,
) -> tuple[list[Row], list[Picture]]:
    card = next((upsampler.card for upsampler in upsamplers if upsampler.card), {})
    _warn_of_training(scan, source, card, note)
    return _measure(source, scan, upsamplers, config)


def _measure(
    source: Scan, scan: Volume, upsamplers: Sequence[Upsampler], config: EvaluationConfig
) -> tuple[list[Row], list[Picture]]:
    match Experiment(config.experiment):
        case Experiment.IMAGE_QUALITY:
            return image_quality.evaluate(scan, upsamplers)
        case Experiment.RESOLUTION:
            return resolution.evaluate(scan, upsamplers)
        case Experiment.LESIONS:
            parameters, regions = sequence(scan, source), _regions(source, scan, config)
            rows = lesions.evaluate(
                scan,
                upsamplers,
                sequence=parameters,
                cartilage=np.any([region.inside for region in regions], axis=0),
                sizes_mm=config.lesion_mm,
            )
            return rows, []
        case Experiment.T2:
            parameters = sequence(scan, source)
            return t2_accuracy.evaluate(
                scan,
                upsamplers,
                parameters={**parameters, "method": config.t2_method},
                regions=_regions(source, scan, config),
                true_t2_ms=rois.true_t2(source.subject, scan, slice_axis=config.slice_axis),
                combination=config.combination,
                outliers=config.outliers,
            )


def _warn_of_training(scan: Volume, source: Scan, card: Mapping[str, Any], note: Path) -> None:
    split = find_split(scan, each_set(card["records"])) if "records" in card else None
    if split:
        use = {"train": "trained on", "validation": "chosen by"}[split]
        results = "its results say nothing of new ones"
        logging.warning("%s: the network was %s this very scan; %s", source, use, results)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(use, encoding="utf-8")


def _regions(source: Scan, scan: Volume, config: EvaluationConfig) -> list[t2_accuracy.Region]:
    with READING:
        masks = rois.regions(
            source.subject, scan, config.roi, slice_axis=config.slice_axis, rim=config.rim
        )
    t1_ms = [*config.t1_ms] * (len(masks) if len(config.t1_ms) == 1 else 1)
    return [
        t2_accuracy.Region(name, inside, t1)
        for (name, inside), t1 in zip(masks.items(), t1_ms, strict=True)
    ]
