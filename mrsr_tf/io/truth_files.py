"""The true maps of a phantom, in the folder truth/ of its subject."""

import json
from pathlib import Path

from mrsr_tf.errors import InputError

FOLDER = "truth"
T1, T2, M0, LABELS = "t1_ms.nii.gz", "t2_ms.nii.gz", "m0.nii.gz", "labels.nii.gz"
ACQUISITION = "acquisition.json"


def truth_path(subject: Path, name: str) -> Path:
    """The path of one of the files above."""
    return subject / FOLDER / name


def label_names(subject: Path) -> dict[str, int]:
    """The labels of the subject's tissues by name.

    Raises:
        InputError: nothing names them.
    """
    path = truth_path(subject, ACQUISITION)
    try:
        return json.loads(path.read_text(encoding="utf-8"))["labels"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"expected the names of the labels under “labels” in {path}") from None
