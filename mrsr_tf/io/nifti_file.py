"""A NIfTI file: loaded by its content with all checks, and saved whole.

Content counts, not the ending: a .nii.gz may be uncompressed and a .nii compressed. A pair is
NAME.hdr with NAME.img.
"""

import gzip
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from logging import LogRecord
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.fileholders import FileHolder
from nibabel.imageglobals import logger
from numpy.typing import NDArray

from mrsr_tf import outputs
from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import LARGEST_BYTES, LARGEST_RATIO
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.io.nifti_grid import RAS_LPS, axes, nearest_qform, same_grid

WHOLE = "a whole NIfTI file"
BLOCK = 2**22
# Label maps of up to this size, nearly all zeros, compress as well as a decompression bomb.
HARMLESS_BYTES = 2**31
GZIP = b"\x1f\x8b"
COMPRESSED = (".gz", ".bz2", ".zst")  # endings by which nibabel decompresses
# The size of its header, in either byte order, tells NIfTI-1 from NIfTI-2.
SINGLE = {348: nib.Nifti1Image, 540: nib.Nifti2Image}
PAIRS = {348: nib.Nifti1Pair, 540: nib.Nifti2Pair}
MAGIC = {348: slice(344, 348), 540: slice(4, 8)}
PLACE_CODES = range(6)


def load(path: Path) -> nib.Nifti1Pair:
    """The image, whose voxels are not converted yet; `path` may be either file of a pair.

    Raises:
        InputError: the file is missing, damaged, a decompression bomb, plain ANALYZE, empty, or
            not of real numbers.
    """
    header_path, image_path = pair(path)
    for file in (header_path, image_path):
        if not file.is_file():
            raise InputError(f"expected a NIfTI file, found nothing at {file}")
    with refuse_damaged(path, WHOLE), _without_messages():
        kinds: Mapping[int, type[nib.Nifti1Pair]] = SINGLE if header_path == image_path else PAIRS
        kind = _kind(header_path, kinds)
        header = _checked_header(header_path, kind)
        files = {"image": _content(image_path, header)}
        if header_path != image_path:
            files["header"] = FileHolder(filename=str(header_path))
        return kind.from_file_map(files)


def pair(path: Path) -> tuple[Path, Path]:
    """The files with the header and with the voxels, which are one file unless NAME.hdr, .img."""
    ending = path.suffix
    if ending.lower() not in (".hdr", ".img"):
        return path, path
    other = {".hdr": ".img", ".img": ".hdr"}[ending.lower()]
    other_path = path.with_suffix(other.upper() if ending.isupper() else other)
    return (path, other_path) if ending.lower() == ".hdr" else (other_path, path)


def stored_values(image: nib.Nifti1Pair, path: Path) -> NDArray[Any]:
    """The voxels in the type of the file, scaled as its header says."""
    with refuse_damaged(path, WHOLE):
        return np.asanyarray(image.dataobj)


def save(array: NDArray[Any], affine: NDArray[np.float64], path: Path, slice_axis: int) -> None:
    """Saves (rows, cols, slices[, echoes]) and its affine to LPS; the file appears once whole.

    A sheared grid has no qform, which cannot hold it.
    """
    order = np.argsort([*axes(slice_axis), 3])
    stored = array.transpose(order[: array.ndim])
    image = nib.Nifti1Image(stored, (RAS_LPS @ affine)[:, order])
    has_qform = same_grid(image.affine, nearest_qform(image.affine), image.shape[:3])
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine if has_qform else None, code=int(has_qform))
    image.header.set_xyzt_units("mm", "sec")
    with outputs.output_file(path) as partial:
        nib.save(image, partial)


@contextmanager
def _without_messages() -> Iterator[None]:
    """Keeps nibabel from printing what it mends in a header, which `_checked_header` judges."""

    def is_shown(record: LogRecord) -> bool:
        return False

    logger.addFilter(is_shown)
    try:
        yield
    finally:
        logger.removeFilter(is_shown)


def _kind(path: Path, kinds: Mapping[int, type[nib.Nifti1Pair]]) -> type[nib.Nifti1Pair]:
    start = _first_bytes(path)
    sizes = [int.from_bytes(start[:4], order) for order in ("little", "big")]
    size = next((size for size in sizes if size in kinds), None)
    if size is None:
        raise InputError(f"expected {WHOLE}, got another or a damaged one: {path}")
    if not start[MAGIC[size]].startswith((b"n+", b"ni")):
        raise InputError(
            f"expected a NIfTI file, got plain ANALYZE, which has no orientation: {path}"
        )
    return kinds[size]


def _first_bytes(path: Path) -> bytes:
    with gzip.open(path) if _is_compressed(path) else path.open("rb") as stream:
        return stream.read(max(SINGLE))


def _checked_header(path: Path, kind: type[nib.Nifti1Pair]) -> nib.Nifti1Header:
    """The header as it is stored, before nibabel mends what it finds wrong."""
    header = kind.header_class.from_fileobj(BytesIO(_first_bytes(path)), check=False)
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise InputError(f"expected a NIfTI of real numbers, got another image: {path}")
    if min(shape, default=0) < 1:
        raise InputError(f"expected a NIfTI with voxels, got shape {shape} in {path}")
    codes = [int(header[f"{name}form_code"]) for name in "qs"]
    spacings = header["pixdim"][1:4]
    if int(header["bitpix"]) not in (0, 8 * dtype.itemsize) or {*codes} - {*PLACE_CODES}:
        raise InputError(f"expected {WHOLE}, got a header that contradicts itself: {path}")
    if codes[1] == 0 and not (spacings > 0).all():
        raise InputError(f"expected spacings above 0, got {spacings.tolist()} mm in {path}")
    return header


def _content(path: Path, header: nib.Nifti1Header) -> FileHolder:
    """The file with the voxels: by its name, or in memory if nibabel would not read it by that.

    Raises:
        InputError: the file is larger than its header tells, or a decompression bomb, which is
            found before its image is in memory.
    """
    shape = [int(size) for size in header.get_data_shape()]
    voxel_bytes = math.prod(shape) * header.get_data_dtype().itemsize
    size = header.get_data_offset() + voxel_bytes
    # A size of the matrix that is wrong by one changes that of the file by so much at least.
    largest = size + voxel_bytes // max(shape) - 1
    if _is_compressed(path):
        _refuse_bomb(path, size)
        return FileHolder(fileobj=_decompressed(path, largest))
    if path.stat().st_size > largest:
        raise InputError(f"expected a NIfTI as large as its header tells, got more: {path}")
    if path.suffix.lower() in COMPRESSED:
        return FileHolder(fileobj=BytesIO(path.read_bytes()))
    return FileHolder(filename=str(path))


def _is_compressed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(GZIP)) == GZIP


def _refuse_bomb(path: Path, size: int) -> None:
    compressed = path.stat().st_size
    if size > LARGEST_BYTES or (size > HARMLESS_BYTES and size > LARGEST_RATIO * compressed):
        raise InputError(
            f"expected the NIfTI of one scan, got {size / 2**30:.1f} GiB in "
            f"{compressed / 2**20:.1f} MiB: {path}"
        )


def _decompressed(path: Path, largest: int) -> BytesIO:
    """The content, read to the end of the file, where its checksum is."""
    content = BytesIO()
    with gzip.open(path) as stream:
        while block := stream.read(BLOCK):
            content.write(block)
            if content.tell() > largest:
                raise InputError(f"expected a NIfTI as large as its header tells, got more: {path}")
    content.seek(0)
    return content
