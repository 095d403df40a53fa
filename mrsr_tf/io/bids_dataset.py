"""A BIDS dataset: where its scans lie, and the derivative dataset of what is computed from them.

    BIDS_DIR/sub-01/ses-1/anat/sub-01_ses-1_echo-{1,2}_part-mag_MEGRE.nii.gz
    OUT_DIR/dataset_description.json
    OUT_DIR/sub-01/ses-1/anat/sub-01_ses-1_desc-superresolved_MEGRE.nii.gz

Entities and keys are those of version 1.9.0 of the specification.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from mrsr_tf import __version__, outputs
from mrsr_tf.errors import InputError
from mrsr_tf.io import bids
from mrsr_tf.io.echo_files import group_of
from mrsr_tf.io.json_object import read_object
from mrsr_tf.io.sidecar import acquisition_sidecar
from mrsr_tf.volume import Volume

PACKAGE = "MRSR-TF"
ANAT = "anat"
RAW = "raw"  # what links in a derivative call the dataset that it was computed from
COMBINED = ("echo", "part")  # entities of files that are one image in the derivative
SUPER_RESOLVED = "superresolved"
# What BIDS has no names for, as .gitignore would say it: both echoes in one image, and the files
# that may lie beside.
IGNORED = f"""*_desc-{SUPER_RESOLVED}_*
!*_T2map.*
*_uncertainty.*
*_t2_uncertainty_ms.*
*_look.html
"""
SVEINSSON_2017 = "https://doi.org/10.1016/j.mri.2016.12.018"


def is_dataset(folder: Path) -> bool:
    """Whether the folder is a BIDS dataset, by its description or its subjects' folders."""
    return (folder / bids.DESCRIPTION).is_file() or bool(_anat_folders(folder))


def sessions(folder: Path, participants: Sequence[str] = ()) -> list[Path]:
    """The folders sub-01, or sub-01/ses-1, that have anat/; of these participants, or of all.

    Raises:
        InputError: there is none, or a participant (01 or sub-01) has none.
    """
    folders = [anat.parent for anat in _anat_folders(folder)]
    if not folders:
        raise InputError(f"expected a BIDS dataset of subjects with anat/, found none in {folder}")
    labels = {label.removeprefix("sub-") for label in participants}
    by_label: dict[str, list[Path]] = {}
    for path in folders:
        subject = path.relative_to(folder).parts[0]
        by_label.setdefault(subject.removeprefix("sub-"), []).append(path)
    if missing := sorted(labels - by_label.keys()):
        raise InputError(
            f"expected participants among {', '.join(by_label)}, got {', '.join(missing)}: {folder}"
        )
    return [path for label in by_label if not labels or label in labels for path in by_label[label]]


def derivative_path(output: Path, image: Path, *, desc: str = "", suffix: str = "") -> Path:
    """Where in the dataset `output` lies what is derived from `image` in a BIDS dataset.

    Args:
        output: the derivative dataset.
        image: the image, or the first of two echoes.
        desc: the description in the name; "" for none.
        suffix: the suffix of the name, by default that of `image`.
    """
    entities = bids.entities(image)
    kept = {key: label for key, label in entities.items() if key not in (*COMBINED, "desc")}
    desc = desc or entities.get("desc", "")
    names = [f"{key}-{label}" for key, label in kept.items()] + ([f"desc-{desc}"] if desc else [])
    root = _root(image) or image.absolute().parent
    folder = output.joinpath(*image.absolute().relative_to(root).parts[:-1])
    return folder / "_".join([*names, f"{suffix or bids.suffix(image)}.nii.gz"])


def derivative_sidecar(output: Path, image: Path) -> dict[str, Any]:
    """What the sidecar of a derivative of `image`, and of its second echo, says of its origin.

    It is empty for an output that is not in a derivative dataset, by its name.
    """
    root = _root(image)
    if root is None or not bids.is_derivative(output):
        return {}
    paths = [echo.absolute().relative_to(root).as_posix() for echo in group_of(image).paths]
    return {"Sources": [f"bids:{RAW}:{path}" for path in paths], "SkullStripped": False}


def t2_map_sidecar(output: Path, image: Path, scan: Volume, method: str) -> dict[str, Any]:
    """The sidecar of a T2 map in seconds, less its derivation."""
    return {
        **acquisition_sidecar(scan),
        **derivative_sidecar(output, image),
        "Units": "s",
        "EstimationAlgorithm": f"{method} inversion of the dual-echo steady state",
        "EstimationReference": SVEINSSON_2017,
    }


def has_derivative(source: Path, output: Path) -> bool:
    """Whether the output for `source` is a derivative dataset: of a dataset, and no single file."""
    return not output.name.endswith((".nii", ".nii.gz")) and is_dataset(source)


def apart_from(source: Path, output: Path) -> list[Path]:
    """The inputs at `source` that the output must not touch.

    That is all of it, but for a dataset its subjects if the output is in derivatives/.
    """
    derivatives = Path(os.path.realpath(source / "derivatives"))
    is_inside = derivatives in Path(os.path.realpath(output)).parents
    return [*source.glob("sub-*")] if is_inside and is_dataset(source) else [source]


def write_description(output: Path, source: Path) -> None:
    """Writes the description of the derivative dataset `output` of `source`, if there is none.

    Raises:
        InputError: `output` is another dataset, or has a .bidsignore of its own.
    """
    file = output / bids.DESCRIPTION
    if file.exists():
        generators = read_object(file).get("GeneratedBy")
        if not isinstance(generators, list) or not any(map(_is_ours, generators)):
            raise InputError(
                f"expected a new folder or a derivative dataset of {PACKAGE}, found another "
                f"dataset in {output}"
            )
        return
    raw = read_object(source / bids.DESCRIPTION) if (source / bids.DESCRIPTION).is_file() else {}
    dataset = {"DOI": raw["DatasetDOI"]} if isinstance(raw.get("DatasetDOI"), str) else {}
    output.mkdir(parents=True, exist_ok=True)
    _write_ignored(output / ".bidsignore")
    outputs.write_json(
        file,
        {
            "Name": f"Output of {PACKAGE}",
            "BIDSVersion": "1.9.0",
            "DatasetType": "derivative",
            "GeneratedBy": [{"Name": PACKAGE, "Version": __version__}],
            "SourceDatasets": [{"URL": f"bids:{RAW}:", **dataset}],
            "DatasetLinks": {RAW: quote(os.path.relpath(source, output))},
        },
    )


def _write_ignored(file: Path) -> None:
    """Writes .bidsignore, unless a call that was interrupted has done so."""
    if os.path.lexists(file) and file.read_bytes() != IGNORED.encode():
        raise InputError(f"expected no .bidsignore, or that of {PACKAGE}, found another: {file}")
    with outputs.output_file(file) as partial:
        partial.write_text(IGNORED, encoding="utf-8")


def _is_ours(generator: Any) -> bool:
    return isinstance(generator, dict) and generator.get("Name") == PACKAGE


def _anat_folders(folder: Path) -> list[Path]:
    paths = [*folder.glob(f"sub-*/{ANAT}"), *folder.glob(f"sub-*/ses-*/{ANAT}")]
    return sorted(path for path in paths if path.is_dir())


def _root(image: Path) -> Path | None:
    """The dataset of an image in sub-01/anat or sub-01/ses-1/anat; None for one elsewhere."""
    subjects = (folder for folder in image.absolute().parents if folder.name.startswith("sub-"))
    subject = next(subjects, None)
    return None if subject is None else subject.parent
