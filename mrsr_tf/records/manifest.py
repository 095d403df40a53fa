"""The manifest of training records: how they were made, by itself proven unchanged."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mrsr_tf.errors import InputError
from mrsr_tf.records.schema import SCHEMA
from mrsr_tf.volume import Volume

MANIFEST = "manifest.json"
CHECKSUM = "sha256"
NEEDED = {
    "contrasts", "patch_size", "stride", "slice_factor", "compression", "counts", "salt",
    "subjects", CHECKSUM,
}  # fmt: skip
NEEDED_OF_SUBJECT = {
    "number", "person", "split", "shard", "records", "air", "bytes", "shape", "records_sha256",
    "source_sha256",
}  # fmt: skip


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with the checksum of all the rest of it."""
    rest = {key: value for key, value in manifest.items() if key != CHECKSUM}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return {**rest, CHECKSUM: hashlib.sha256(text.encode()).hexdigest()}


def read_manifest(records_dir: str | Path) -> dict[str, Any]:
    """What `make_records` says about the records it made.

    Returns:
        The manifest's plain JSON values: "contrasts" ("single" or "dual"), "patch_size",
        "slice_factor", "counts" by split, "subjects" with their shards, and how it was all made.

    Raises:
        InputError: there is none, it cannot be read, it is of another schema, or it was changed
            since it was written.
    """
    path = Path(records_dir) / MANIFEST
    if not path.is_file():
        raise InputError(
            f"expected finished records, found no {MANIFEST} in {records_dir}: make_records "
            "writes it last, and the same call of it again finishes what was interrupted"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        missing = NEEDED - manifest.keys()
        for subject in manifest.get("subjects", []):
            missing |= NEEDED_OF_SUBJECT - subject.keys()
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        raise InputError(f"expected the manifest of records, found no such JSON: {path}") from None
    if manifest.get("schema") != SCHEMA:
        raise InputError(
            f"expected records of schema {SCHEMA}, found schema {manifest.get('schema')}: {path} "
            "(make them anew with this version)"
        )
    if missing:
        raise InputError(f"expected {', '.join(sorted(missing))} in the manifest: {path}")
    if sealed(manifest)[CHECKSUM] != manifest[CHECKSUM]:
        raise InputError(
            f"expected the manifest as make_records wrote it, found it changed since: {path}"
        )
    return manifest


def scan_sha256(volume: Volume) -> str:
    """Recognises a scan by its intensities; told to nobody but who salts it."""
    digest = hashlib.sha256(str(volume.array.shape).encode())
    digest.update(np.ascontiguousarray(volume.array).data)
    return digest.hexdigest()


def salted(salt: str, sha256: str) -> str:
    """A hash that means something among these records only."""
    return hashlib.sha256(f"{salt} {sha256}".encode()).hexdigest()


def split_of(volume: Volume, manifests: Iterable[Mapping[str, Any]]) -> str | None:
    """Which side of the records a scan is on: "train", "validation", or None if not among them.

    Args:
        volume: the scan as it was read; resliced or turned, it is another.
        manifests: of the records.
    """
    scan, splits = scan_sha256(volume), set()
    for manifest in manifests:
        source = salted(manifest.get("salt", ""), scan)
        splits |= {
            subject["split"]
            for subject in manifest.get("subjects", ())
            if subject.get("source_sha256") == source
        }
    return min(splits, default=None)  # trained on here and validated there is trained on


def manifest_sha256(records_dir: str | Path) -> str:
    """Tells one set of records from another; the same scans and settings give the same set."""
    return read_manifest(records_dir)[CHECKSUM]
