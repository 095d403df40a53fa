"""A NIfTI file, loaded with all checks and saved whole."""

import gzip
import math
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from mrsr_tf import outputs
from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import LARGEST_BYTES, LARGEST_RATIO
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.io.nifti_grid import RAS_LPS, axes

WHOLE = "a whole NIfTI file"
BLOCK = 2**22
# Label maps of up to this size, nearly all zeros, compress as well as a decompression bomb.
HARMLESS_BYTES = 2**31


def load(path: Path) -> nib.Nifti1Image:
    """The image, whose voxels are not read yet.

    Raises:
        InputError: the file is missing, damaged, a decompression bomb, or not of real numbers.
    """
    if not path.exists():
        raise InputError(f"expected a NIfTI file, found nothing at {path}")
    with refuse_damaged(path, WHOLE):
        image = nib.load(path)
        if not isinstance(image, nib.Nifti1Image) or image.get_data_dtype().kind not in "iuf":
            raise InputError(f"expected a NIfTI of real numbers, got another image: {path}")
        if path.suffix == ".gz":
            _check_whole(path, image)
    return image


def stored_values(image: nib.Nifti1Image, path: Path) -> NDArray[Any]:
    """The voxels in the type of the file, scaled as its header says."""
    with refuse_damaged(path, WHOLE):
        return np.asanyarray(image.dataobj)


def save(array: NDArray[Any], affine: NDArray[np.float64], path: Path, slice_axis: int) -> None:
    """Saves (rows, cols, slices[, echoes]) and its affine to LPS; the file appears once whole."""
    order = np.argsort([*axes(slice_axis), 3])
    image = nib.Nifti1Image(array.transpose(order[: array.ndim]), (RAS_LPS @ affine)[:, order])
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm", "sec")
    with outputs.output_file(path) as partial:
        nib.save(image, partial)


def _check_whole(path: Path, image: nib.Nifti1Image) -> None:
    """Reads a compressed file to its end, where the checksum is: nibabel stops before.

    Raises `InputError` for a decompression bomb, before its image is in memory.
    """
    voxel_bytes = math.prod(map(int, image.shape)) * image.get_data_dtype().itemsize
    size, compressed = image.header.get_data_offset() + voxel_bytes, path.stat().st_size
    if size > LARGEST_BYTES or (size > HARMLESS_BYTES and size > LARGEST_RATIO * compressed):
        raise InputError(
            f"expected the NIfTI of one scan, got {size / 2**30:.1f} GiB in "
            f"{compressed / 2**20:.1f} MiB: {path}"
        )
    with gzip.open(path) as stream:
        while block := stream.read(BLOCK):
            size -= len(block)
            if size < -BLOCK:
                raise InputError(f"expected a NIfTI as large as its header tells, got more: {path}")
