"""A cohort: subjects are split, each becomes a shard, and the manifest says how."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mrsr_tf import __version__, scans
from mrsr_tf.errors import InputError
from mrsr_tf.outputs import output_folder, write_json
from mrsr_tf.records import SCHEMA
from mrsr_tf.slices import FIR_ORDER
from mrsr_tf.volume import SCALE_PERCENTILE
from tf_records_tools.subject import Settings, source_sha256, write_shard

# What an interrupted call left: the salt, and what the manifest will say of the subjects done.
PROGRESS = "progress.json"


def make_records(
    inputs: Sequence[str | Path],
    output: str | Path,
    settings: Settings,
    *,
    validation_subjects: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Makes the records of all subjects found in `inputs`.

    An interrupted call goes on with the subject it was at. Each scan is read again even so: a
    shard is kept only if the scan is still the one it was made from.

    Args:
        inputs: folders that hold a folder or a file per subject.
        output: the folder to make.
        settings: what decides a subject's records.
        validation_subjects: how many subjects are for validation only; None for a quarter.
        overwrite: remove what stands at `output` and start anew.

    Returns:
        The manifest.

    Raises:
        AlreadyDone: the records are there.
        InputError: a scan cannot be read or does not suit the settings, a subject comes twice, or
            there are too few of them.
    """
    found = [path for folder in inputs for path in scans.find_subjects(folder).values()]
    if not found:
        raise InputError(f"expected a folder or a file per subject, found none in {inputs}")
    shards = split(len(found), validation_subjects)
    # The order of the input says nothing of a subject's number.
    shuffled = np.random.default_rng(settings.seed).permutation(len(found))
    paths = [found[place] for place in shuffled]
    configuration = {
        "schema": SCHEMA,
        **asdict(settings),
        "subjects": len(found),
        "validation_subjects": sum(name.startswith("validation") for name in shards),
        "source_bytes": sum(_bytes(scans.scan_path(path)) for path in found),
    }
    with output_folder(output, configuration, overwrite=overwrite, resume=True) as folder:
        progress = _progress(folder)
        _write_subjects(folder, paths, shards, settings, progress)
        made = manifest(settings, progress)
        write_json(folder / "manifest.json", made)
        (folder / PROGRESS).unlink()
    return made


def split(subjects: int, validation_subjects: int | None = None) -> list[str]:
    """The shards' names, one for each subject: training first, then validation.

    Raises:
        InputError: no subject is left for training.
    """
    validation = validation_subjects
    if validation is None:
        validation = min(max(1, round(subjects / 4)), subjects - 1)
    if not 0 <= validation < subjects:
        raise InputError(
            f"expected fewer validation subjects than the {subjects} there are, got {validation}"
        )
    return [
        f"{name}-{number:05d}-of-{total:05d}.tfrecord"
        for name, total in (("train", subjects - validation), ("validation", validation))
        for number in range(total)
    ]


def manifest(settings: Settings, progress: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that made the records, and nothing of who is in them."""
    subjects = [progress["subjects"][shard] for shard in sorted(progress["subjects"])]
    spacing = np.array([subject["spacing_mm"] for subject in subjects])
    return {
        "schema": SCHEMA,
        "mrsr_tf_version": __version__,
        **asdict(settings),
        "patch_size": [settings.patch_size] * 3,
        "stride": [settings.stride] * 3,
        "thickening": {"profile": "fir", "order": FIR_ORDER},
        "interpolation": "tricubic",
        "scale": f"percentile {SCALE_PERCENTILE} of the thick, interpolated volume, all echoes",
        "single_of_two_echoes": "root of the sum of squares",
        "storage": "uint16 levels between a subject's extremes, input and truth each",
        "spacing_mm": {"min": spacing.min(0).tolist(), "max": spacing.max(0).tolist()},
        "counts": {split: _counts(subjects, split) for split in ("train", "validation")},
        "salt": progress["salt"],
        "subjects": subjects,
    }


def _counts(subjects: Sequence[Mapping[str, Any]], split: str) -> dict[str, int]:
    records = [subject["records"] for subject in subjects if subject["split"] == split]
    return {"subjects": len(records), "records": sum(records)}


def _progress(folder: Path) -> dict[str, Any]:
    if (folder / PROGRESS).exists():
        return json.loads((folder / PROGRESS).read_text(encoding="utf-8"))
    return {"salt": secrets.token_hex(16), "subjects": {}}


def _write_subjects(
    folder: Path,
    paths: Sequence[Path],
    shards: Sequence[str],
    settings: Settings,
    progress: dict[str, Any],
) -> None:
    sources: dict[str, Path] = {}
    work = zip(paths, shards, strict=True)
    bar = tqdm(work, "subjects", len(paths), unit="subject", disable=None, delay=2)
    for number, (path, shard) in enumerate(bar):
        volume = scans.read_scan(path, slice_axis=settings.slice_axis)
        source = source_sha256(volume, progress["salt"])
        if source in sources:
            raise InputError(f"expected each scan once, got one twice: {sources[source]}, {path}")
        sources[source] = path
        done = progress["subjects"].get(shard, {})
        if done.get("source_sha256") == source and (folder / shard).exists():
            continue
        try:
            facts = write_shard(volume, folder / shard, number, settings)
        except InputError as error:
            raise InputError(f"{error}: {path}") from None
        progress["subjects"][shard] = {
            "number": number,
            "split": shard.split("-")[0],
            "shard": shard,
            **facts,
            "source_sha256": source,
        }
        write_json(folder / PROGRESS, progress)


def _bytes(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
