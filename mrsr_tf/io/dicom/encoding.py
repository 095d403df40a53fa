"""How a DICOM file is encoded: with or without preamble, file meta and transfer syntax."""

import struct

import pydicom
from pydicom.dataset import FileDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import VR

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File, opened

START = 132  # bytes: the preamble and the prefix
PREFIX = b"DICM"
ELEMENT = 8  # bytes of an element before its value
FIRST_GROUPS = (0x0002, 0x0008)  # of the file meta, of the data set
LONGEST_FIRST_VALUE = 64  # bytes: it is a length, a character set, an image type or a UID
VRS = {vr.value.encode() for vr in VR}
SYNTAXES = {
    (True, True): ImplicitVRLittleEndian,
    (False, True): ExplicitVRLittleEndian,
    (False, False): ExplicitVRBigEndian,
}


def is_dicom(path: File) -> bool:
    """Whether the file is DICOM: DICM after 128 bytes, or a data set without them."""
    with path.open("rb") as file:
        return starts_dicom(file.read(START))


def starts_dicom(start: bytes) -> bool:
    """Whether a file that starts with these bytes is DICOM."""
    return start[128:132] == PREFIX or _starts_data_set(start)


def read_header(path: File) -> FileDataset:
    """Everything before the pixels."""
    with opened(path) as stream:
        return pydicom.dcmread(stream, stop_before_pixels=True, force=True)


def sop_class(header: FileDataset) -> UID | None:
    """What the object is, by the file meta, else by the data set; None if neither says it."""
    # The file meta comes first: a file whose rest is cut short is still known.
    kind = header.file_meta.get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
    return UID(str(kind)) if kind else None


def transfer_syntax(header: FileDataset, path: File) -> UID:
    """How the pixels are encoded; without file meta, as the header is.

    Raises:
        InputError: the file does not say it and the pixels are compressed.
    """
    if "TransferSyntaxUID" in header.file_meta:
        return header.file_meta.TransferSyntaxUID
    if header["PixelData"].is_undefined_length:
        raise InputError(f"expected a TransferSyntaxUID of compressed pixels, got none in {path}")
    implicit, little_endian = header.original_encoding
    return SYNTAXES[bool(implicit), bool(little_endian)]


def _starts_data_set(start: bytes) -> bool:
    """Whether the bytes begin with a short element of the file meta or of the first group."""
    if len(start) < ELEMENT:
        return False
    group, length = struct.unpack_from("<H2xI", start)
    if group in FIRST_GROUPS and length <= LONGEST_FIRST_VALUE:  # implicit VR
        return True
    for byte_order in "<>":
        group, vr, length = struct.unpack_from(f"{byte_order}H2x2sH", start)
        if group in FIRST_GROUPS and vr in VRS and length <= LONGEST_FIRST_VALUE:
            return True
    return False
