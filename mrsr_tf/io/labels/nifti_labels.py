"""NIfTI label maps, whose names are in a table beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.io import nifti, nifti_file, nifti_grid
from mrsr_tf.io.labels.label_map import LabelMap, as_labels
from mrsr_tf.io.labels.names import read_names


@dataclass(frozen=True)
class NiftiLabels:
    """A NIfTI label map."""

    endings: ClassVar[tuple[str, ...]] = nifti.ENDINGS

    def matches(self, path: Path) -> bool:
        """Whether the name ends as that of a NIfTI file."""
        return nifti.is_nifti(path)

    def read(self, path: Path) -> LabelMap:
        """Reads the map and the table of names beside it."""
        labels, affine = read_placed(path)
        return LabelMap([labels], affine, read_names(path))


def read_placed(path: Path) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Labels in the axis order of the file, and the affine from its axes to patient mm, LPS.

    Further axes of one element, which ANTs, FSL and ITK write, are dropped.

    Raises:
        InputError: the file is missing or damaged, has more axes, or holds no labels.
    """
    image = nifti_file.load(path)
    values: NDArray[Any] = nifti_file.stored_values(image, path)
    spatial = (*values.shape, 1, 1)[:3]
    if values.size != np.prod(spatial):
        raise InputError(f"expected a 3-D label map, got shape {values.shape} in {path}")
    return as_labels(values.reshape(spatial), path), nifti_grid.lps(image, path)
