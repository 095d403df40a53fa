"""DICOM files as a GE scanner writes them: one per slice and echo, with interleaved numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from mrsr_tf.io.dicom.ge_private import acquisition_block, add_spoiler
from phantom.scanner.protocols import Protocol, Sequence

IMPLEMENTATION_UID = generate_uid(entropy_srcs=["mrsr-tf phantom implementation"])
# Further elements of GE's private acquisition block, which also holds the spoiler's.
SECOND_ECHO_TIME_US, ECHO_COUNT, PULSE_SEQUENCE = 0x7D, 0x7E, 0x9C
# The attributes that are the same in all files.
FIXED_ATTRIBUTES: dict[str, object] = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "OTHER"],
    "SOPClassUID": MRImageStorage,
    "Modality": "MR",
    "Manufacturer": "GE MEDICAL SYSTEMS",
    "ManufacturerModelName": "DIGITAL PHANTOM",
    "BodyPartExamined": "KNEE",
    "ScanningSequence": "RM",
    "SequenceVariant": "NONE",
    "ScanOptions": ["EDR_GEMS", "WE_GEMS"],
    "MRAcquisitionType": "3D",
    "AngioFlag": "N",
    "NumberOfAverages": 1,
    "ImagedNucleus": "1H",
    "MagneticFieldStrength": 3,
    "EchoTrainLength": 1,
    "InPlanePhaseEncodingDirection": "ROW",
    "PatientPosition": "FFS",
    "StudyID": "1",
    "AcquisitionNumber": 1,
    "StackID": "1",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "BitsAllocated": 16,
    "BitsStored": 16,
    "HighBit": 15,
    "PixelRepresentation": 1,
}
EMPTY_ATTRIBUTES = (
    "StudyDate", "StudyTime", "ContentDate", "ContentTime", "AccessionNumber",
    "ReferringPhysicianName", "PatientBirthDate", "PatientSex", "PositionReferenceIndicator",
)  # fmt: skip


@dataclass(frozen=True)
class Header:
    """The content of the files besides the image itself.

    Attributes:
        uid_seed: text from which the UIDs are derived.
        patient: identifies the knee; other scans of the same knee have the same.
        protocol: the scan protocol.
        sequence: as played, with the spoiler.
        affine: (4, 4), maps (row, col, slice, 1) to patient mm, LPS.
        laterality: "L" or "R".
        two_series: whether each echo is a series of its own.
        reversed_numbers: whether InstanceNumber decreases along the slices.
    """

    uid_seed: str
    patient: str
    protocol: Protocol
    sequence: Sequence
    affine: NDArray[np.float64]
    laterality: str
    two_series: bool
    reversed_numbers: bool

    def uid(self, *entropy: object) -> str:
        """A UID that depends on `uid_seed` and the given values."""
        return generate_uid(entropy_srcs=[self.uid_seed, *map(str, entropy)])


def write_study(images: NDArray[np.int16], header: Header, folder: Path) -> None:
    """Writes (rows, cols, slices, echoes) as one file per slice and echo into `folder`."""
    folder.mkdir(parents=True)
    common = _common_attributes(header, images.shape)
    slices, echoes = images.shape[2:]
    for index in range(slices):
        rank = slices - 1 - index if header.reversed_numbers else index
        for echo in range(echoes):
            number = rank * echoes + echo + 1
            image = _image(common, header, images[..., index, echo], index, echo, number)
            image.InStackPositionNumber = rank + 1
            image.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


def _common_attributes(header: Header, shape: tuple[int, ...]) -> Dataset:
    """The attributes that all images of a study share."""
    spacing = np.linalg.norm(header.affine[:3, :3], axis=0)
    down, right = (header.affine[:3, axis] / spacing[axis] for axis in (0, 1))
    ds = Dataset()
    for keyword, value in {**FIXED_ATTRIBUTES, **dict.fromkeys(EMPTY_ATTRIBUTES, "")}.items():
        setattr(ds, keyword, value)
    ds.SeriesDescription = f"Sag DESS {header.protocol.name} phantom"
    ds.PatientName = f"PHANTOM^SYNTHETIC {header.patient}"
    ds.PatientID = f"PHANTOM-{header.patient}"
    ds.Laterality = header.laterality
    ds.StudyInstanceUID = header.uid("study")
    ds.FrameOfReferenceUID = header.uid("frame")
    ds.RepetitionTime = _decimal(header.protocol.tr_ms)
    ds.FlipAngle = _decimal(header.protocol.flip_deg)
    ds.SliceThickness = ds.SpacingBetweenSlices = _decimal(spacing[2])
    ds.PixelSpacing = [_decimal(spacing[0]), _decimal(spacing[1])]
    ds.ImageOrientationPatient = [_decimal(value) for value in (*right, *down)]
    ds.Rows, ds.Columns = shape[:2]
    ds.AcquisitionMatrix = [shape[0], 0, 0, shape[1]]
    ds.ImagesInAcquisition = shape[2]
    _add_private_block(ds, header.sequence, echoes=shape[3])
    return ds


def _add_private_block(ds: Dataset, sequence: Sequence, echoes: int) -> None:
    block = acquisition_block(ds, create=True)
    if echoes == 2:
        block.add_new(SECOND_ECHO_TIME_US, "DS", str(round(sequence.te_ms[1] * 1000)))
    block.add_new(ECHO_COUNT, "SS", echoes)
    block.add_new(PULSE_SEQUENCE, "LO", "mfast")
    if sequence.spoiler_area:
        add_spoiler(ds, f"{sequence.spoiler_area:.6f}", f"{sequence.spoiler_duration_us:.6f}")


def _image(
    common: Dataset, header: Header, pixels: NDArray[np.int16], index: int, echo: int, number: int
) -> Dataset:
    """The image of one echo of the slice with the given index, and its InstanceNumber."""
    ds = Dataset()
    ds.update(common)
    position = header.affine @ (0, 0, index, 1)
    normal = header.affine[:3, 2] / np.linalg.norm(header.affine[:3, 2])
    ds.SOPInstanceUID = header.uid("image", number)
    ds.EchoTime = _decimal(header.protocol.te_ms[echo])
    ds.EchoNumbers = echo + 1
    series = echo if header.two_series else 0
    ds.SeriesInstanceUID = header.uid("series", series)
    ds.SeriesNumber = 5 + series
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [_decimal(value) for value in position[:3]]
    ds.SliceLocation = _decimal(float(position[:3] @ normal))
    ds.SmallestImagePixelValue = int(pixels.min())
    ds.LargestImagePixelValue = int(pixels.max())
    ds.WindowCenter = _decimal(float(pixels.max()) / 2)
    ds.WindowWidth = _decimal(max(float(pixels.max()), 1.0))
    ds.PixelData = np.ascontiguousarray(pixels, "<i2").tobytes()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    return ds


def _decimal(value: float) -> str:
    """A DICOM decimal string, which holds at most 16 characters."""
    text = f"{float(value):.10g}"
    return text if len(text) <= 16 else f"{float(value):.8g}"
