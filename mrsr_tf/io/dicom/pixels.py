"""Reads the stored values of images."""

from collections.abc import Sequence

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels import get_decoder

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File, opened
from mrsr_tf.io.dicom.files import Image, readable

DECODERS = "python-gdcm pylibjpeg pylibjpeg-openjpeg"


def read_pixels(images: Sequence[Image]) -> NDArray[np.number]:
    """Reads the stored values of images of one file: (images, rows, cols).

    Raises:
        InputError: the pixels cannot be decoded, are cut short or are not grey images of the size
            in their header.
    """
    with readable(images[0].path):
        return _decode(images)


def _decode(images: Sequence[Image]) -> NDArray[np.number]:
    path, (rows, cols) = images[0].path, images[0].matrix
    with opened(path) as stream:
        dataset = pydicom.dcmread(stream)
    frames = int(dataset.get("NumberOfFrames") or 1)
    if dataset.get("SamplesPerPixel", 1) != 1 or (images[0].frame is None and frames != 1):
        raise InputError(f"expected one grey image in each file, got more in {path}")
    _check_decodable(dataset, path)
    whole = frames * rows * cols * dataset.BitsAllocated // 8
    available = len(dataset.get("PixelData") or b"")
    if not dataset.file_meta.TransferSyntaxUID.is_compressed and available < whole:
        raise InputError(f"expected {whole} bytes of pixels, got {available}: {path} is cut short")
    stored = dataset.pixel_array.reshape(frames, rows, cols)
    return stored[[(image.frame or 1) - 1 for image in images]]


def _check_decodable(dataset: Dataset, path: File) -> None:
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise InputError(
            f"expected images in a transfer syntax that pydicom reads, got {syntax.name} in {path}"
        ) from None
    if not available:
        raise InputError(
            f"expected pixels that can be decoded here, got {syntax.name}, which `pip install "
            f"{DECODERS}` makes readable: {path}"
        )
