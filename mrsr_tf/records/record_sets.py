"""Several sets of records that train one network, as of several slice factors.

The network sees interpolated slices and so knows no factor: what it learns of one it may use for
another. One manifest then speaks for all sets.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.mri.slices import DEFAULT_FACTOR
from mrsr_tf.records.manifest import read_manifest, sealed

Records = str | Path | Sequence[str | Path]
SETS = "sets"
SAME_IN_ALL = ("contrasts", "patch_size")


def folders(records: Records) -> list[Path]:
    """The folders of one set or of several."""
    return [Path(one) for one in ([records] if isinstance(records, str | Path) else records)]


def read_sets(records: Records) -> dict[str, Any]:
    """What the manifests of all sets say together.

    Args:
        records: what `make_records` wrote: one folder or several.

    Returns:
        One set's manifest as it is. Of several: their "contrasts" and "patch_size"; the
        "slice_factor" that their network is for unless told otherwise; "counts" by split; the
        manifests themselves as "sets"; and a checksum of it all.

    Raises:
        InputError: a manifest cannot be read, or the sets cannot train one network: of other
            contrasts or patches, the same set twice, a subject trained on here and validated there.
    """
    manifests = [read_manifest(folder) for folder in folders(records)]
    first, *others = manifests
    if not others:
        return first
    for folder, other in zip(folders(records)[1:], others, strict=True):
        for key in SAME_IN_ALL:
            if other[key] != first[key]:
                raise InputError(
                    f"expected all records of {key} {first[key]}, found {other[key]}: {folder}"
                )
    _check_apart(manifests)
    splits = [manifest["counts"] for manifest in manifests]
    return sealed(
        {
            **{key: first[key] for key in SAME_IN_ALL},
            "slice_factor": slice_factors({SETS: manifests})[0],
            "counts": {split: _summed(of[split] for of in splits) for split in splits[0]},
            SETS: manifests,
        }
    )


def each_set(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The manifests of the sets that a manifest of `read_sets` speaks for."""
    return manifest.get(SETS, [manifest])


def slice_factors(manifest: Mapping[str, Any]) -> list[int]:
    """The factors trained on, once each; first the one to take where none is asked for."""
    factors = dict.fromkeys(one["slice_factor"] for one in each_set(manifest))
    return sorted(factors, key=lambda factor: factor != DEFAULT_FACTOR)


def _check_apart(manifests: Sequence[Mapping[str, Any]]) -> None:
    if len({manifest["sha256"] for manifest in manifests}) < len(manifests):
        raise InputError("expected each set of records once, got one of them twice")
    trained, validated = (
        {s["source_sha256"] for m in manifests for s in m["subjects"] if s["split"] == split}
        for split in ("train", "validation")
    )
    if trained & validated:
        raise InputError(
            "expected no subject in the training records of one set and the validation records of "
            f"another, found {len(trained & validated)}: make all sets of the same scans with the "
            "same --seed and --validation_subjects"
        )


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    listed = list(counts)
    return {key: sum(of[key] for of in listed) for key in listed[0]}
