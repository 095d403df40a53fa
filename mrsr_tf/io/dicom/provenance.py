"""The derivation of an image in its header, readable by people and by this package."""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.files import first_header
from mrsr_tf.io.scan_format import Derivation

MARK = "Derived by MRSR-TF: "
LONGEST = 1024  # characters in a DICOM short text


def derivation_text(derivation: Derivation) -> str:
    """`derivation` as DerivationDescription: the mark, then `key=value; key=value`.

    Raises:
        ValueError: it is longer than the 1024 characters that DICOM allows.
    """
    text = MARK + "; ".join(f"{key}={_format_value(value)}" for key, value in derivation.items())
    if len(text) > LONGEST:
        raise ValueError(f"expected a derivation of at most {LONGEST} characters, got {len(text)}")
    return text


def read_derivation(path: str | Path) -> dict[str, Any] | None:
    """Reads the derivation in the first DICOM file of a folder; None if it is not by this package.

    Besides the keys that the writer was called with, it has `source`, the `Volume.identity` of
    the source, and `acquired_slice_thickness_mm` if their header had a slice thickness.
    """
    path = Path(path)
    header = first_header(path) if path.exists() else None
    return None if header is None else header_derivation(header)


def header_derivation(header: Dataset) -> dict[str, Any] | None:
    """The derivation in the header of one image; None if this package did not make it."""
    if not is_derived(header):
        return None
    text = str(header.DerivationDescription).removeprefix(MARK)
    pairs = (pair.partition("=") for pair in text.split("; "))
    return {key: _parse_value(value) for key, _, value in pairs}


def is_derived(header: Dataset) -> bool:
    """Whether this package made the image, by its header."""
    return str(header.get("DerivationDescription", "")).startswith(MARK)


def derived_files(folder: Path) -> list[Path]:
    """The files in a folder, but not below it, that this package made, relative to it."""
    files = (path for path in sorted(folder.iterdir()) if path.is_file())
    return [file.relative_to(folder) for file in files if _is_derived_file(file)]


def read_patient(path: Path, series_uids: Collection[str] = ()) -> str | None:
    """PatientID, or PatientName if that is empty, in the first file; None if neither is there."""
    header = first_header(path, series_uids)
    names = (header.get("PatientID"), header.get("PatientName")) if header else ()
    return next(filter(None, (str(name or "").strip() for name in names)), None)


def _is_derived_file(file: Path) -> bool:
    try:
        header = first_header(file)
    except InputError:  # whoever's it was, it is no image now
        return False
    return header is not None and is_derived(header)


def _format_value(value: Any) -> str:
    """A plain string as it is; anything that would be parsed as something else, as JSON."""
    if _is_plain(value):
        return value
    return json.dumps(value, allow_nan=False).replace(";", "\\u003b")


def _is_plain(value: Any) -> bool:
    if not isinstance(value, str) or value != value.strip() or ";" in value:
        return False
    return value.isascii() and value.isprintable() and _parse_value(value) == value


def _parse_value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
