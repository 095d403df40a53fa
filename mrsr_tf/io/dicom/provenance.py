"""How a derived image says, in words a reader and a program both understand, how it was made."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.files import Image, find_images, first_header

MARK = "Derived by MRSR-TF: "
LONGEST = 1024  # of a DICOM short text


def derivation_text(derivation: Mapping[str, Any]) -> str:
    """`derivation` as DerivationDescription: the mark, then `key=value; key=value`.

    Raises:
        ValueError: it does not fit into DICOM's 1024 characters.
    """
    text = MARK + "; ".join(f"{key}={_written(value)}" for key, value in derivation.items())
    if len(text) > LONGEST:
        raise ValueError(f"expected a derivation of at most {LONGEST} characters, got {len(text)}")
    return text


def read_derivation(path: str | Path) -> dict[str, Any] | None:
    """What `derivation_text` wrote into the first DICOM file of a folder.

    Besides what the writer was given it has `source`, the `source_digest` of the images it was
    made from, and `acquired_slice_thickness_mm` where their header told it.

    Returns:
        Keys and values as given when writing; None when there is no image made by this package.
    """
    path = Path(path)
    header = first_header(path) if path.exists() else None
    return None if header is None else header_derivation(header)


def header_derivation(header: Dataset) -> dict[str, Any] | None:
    """The same of one image's header."""
    if not is_derived(header):
        return None
    text = str(header.DerivationDescription).removeprefix(MARK)
    pairs = (pair.partition("=") for pair in text.split("; "))
    return {key: _read(value) for key, _, value in pairs}


def is_derived(header: Dataset) -> bool:
    """Whether an image says that this package made it."""
    return str(header.get("DerivationDescription", "")).startswith(MARK)


def source_digest(path: str | Path) -> str:
    """Which images a folder holds, without telling: 16 hex digits of a hash over their UIDs.

    Raises:
        InputError: an image has no SOPInstanceUID, or `find_images` found none.
    """
    return images_digest(find_images(path)[0])


def images_digest(images: Iterable[Image]) -> str:
    """The same for images already found."""
    uids = []
    for image in images:
        if not image.header.get("SOPInstanceUID"):
            raise InputError(f"expected a SOPInstanceUID, found none in {image.path}")
        uids.append(image.header.SOPInstanceUID)
    return hashlib.sha256("\n".join(sorted(uids)).encode()).hexdigest()[:16]


def _written(value: Any) -> str:
    """Words as they are; what a reader would take for something else, as JSON."""
    return value if _is_plain(value) else json.dumps(value).replace(";", "\\u003b")


def _is_plain(value: Any) -> bool:
    if not isinstance(value, str) or value != value.strip() or ";" in value:
        return False
    return value.isascii() and value.isprintable() and _read(value) == value


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
