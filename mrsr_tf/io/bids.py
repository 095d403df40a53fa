"""BIDS: what the entities in names of images say, such as sub-01_ses-1_echo-2_part-mag_MEGRE."""

import re
from pathlib import Path

# The deepest path is sub-01/ses-1/anat/sub-01_ses-1_qdess.nii.gz.
SUBJECT, DEPTH = re.compile(r"(?:^|_)(sub-[A-Za-z0-9]+)"), 4
ENTITY = re.compile(r"(?:^|_)([a-z]+)-([A-Za-z0-9]+)")
DESCRIPTION = "dataset_description.json"  # in the folder of a dataset


def stem(path: Path) -> str:
    """The name without .nii, .nii.gz, .hdr or another ending."""
    name = path.name
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else path.stem


def entities(path: Path) -> dict[str, str]:
    """The entities in a name, in their order: {"sub": "01", "echo": "1"}."""
    return dict(ENTITY.findall(stem(path)))


def suffix(path: Path) -> str:
    """What follows the entities, such as MEGRE; "" for a name without it."""
    last = stem(path).rpartition("_")[2]
    return "" if "-" in last else last


def inherited_sidecars(image: Path) -> list[Path]:
    """The JSON files in folders above that hold for an image of a BIDS dataset, nearest last.

    Their names have the suffix of the image and no other entities than it: qdess.json in the
    dataset's folder, or sub-01_echo-1_qdess.json in that of the subject.
    """
    above = list(image.absolute().parents)[:DEPTH]
    roots = [index for index, folder in enumerate(above) if (folder / DESCRIPTION).is_file()]
    folders = above[: roots[0] + 1] if roots else []
    return [
        file
        for folder in reversed(folders)
        for file in sorted(folder.glob("*.json"))
        if suffix(file) == suffix(image)
        and entities(file).items() <= entities(image).items()
        and stem(file) != stem(image)
    ]


def is_derivative(path: Path) -> bool:
    """Whether a name is that of a processed image or of a map."""
    return "desc" in entities(path) or suffix(path).endswith("map")


def subject_entity(path: Path) -> str | None:
    """The last sub-<label> in the name of an image or of the folders it is in; None without any."""
    matches = [SUBJECT.search(name) for name in path.absolute().parts[-DEPTH:]]
    return next((match[1] for match in reversed(matches) if match), None)


def folder_name(folder: Path) -> str:
    """The name of a subject's folder, with that of the subject if it is one of its sessions."""
    is_session = folder.name.startswith("ses-") and folder.parent.name.startswith("sub-")
    return f"{folder.parent.name}_{folder.name}" if is_session else folder.name
