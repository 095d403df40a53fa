"""Writes a scan as a GE scanner does: DICOM files of both echoes with interleaved numbers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

IMPLEMENTATION_UID = generate_uid(entropy_srcs=["mrsr-tf phantom implementation"])


@dataclass(frozen=True)
class Header:
    """What the files say besides the image itself.

    Attributes:
        uid_seed: UIDs are made of it.
        person: whose knee it is; other scans of the same knee say the same.
        affine: (4, 4), (row, col, slice, 1) -> patient mm, LPS.
        laterality: "L" or "R".
        echo_times_ms: of the images written, one or two.
        spoiler: (area, duration in us) where spins diffuse.
        two_series: whether each echo is a series of its own.
        reversed_numbers: whether InstanceNumber falls along the slices.
    """

    uid_seed: str
    person: str
    protocol: str
    affine: NDArray[np.float64]
    laterality: str
    tr_ms: float
    echo_times_ms: tuple[float, ...]
    flip_deg: float
    spoiler: tuple[float, float] | None
    two_series: bool
    reversed_numbers: bool


def write_study(images: NDArray[np.int16], header: Header, folder: Path) -> None:
    """Writes (rows, cols, slices, echoes) as one file per slice and echo into `folder`."""
    folder.mkdir(parents=True)
    base = _common(header, images.shape)
    slices, echoes = images.shape[2:]
    for index in range(slices):
        rank = slices - 1 - index if header.reversed_numbers else index
        for echo in range(echoes):
            number = rank * echoes + echo + 1
            image = _image(base, header, images[..., index, echo], index, echo, number)
            image.save_as(folder / f"IM{number:04d}.dcm", enforce_file_format=True)


def _uid(header: Header, *what: object) -> str:
    return generate_uid(entropy_srcs=[header.uid_seed, *map(str, what)])


def _common(header: Header, shape: tuple[int, ...]) -> Dataset:
    spacing = np.linalg.norm(header.affine[:3, :3], axis=0)
    down, right = (header.affine[:3, axis] / spacing[axis] for axis in (0, 1))
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 100"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.SOPClassUID = MRImageStorage
    ds.StudyDate = ds.StudyTime = ds.ContentDate = ds.ContentTime = ds.AccessionNumber = ""
    ds.Modality = "MR"
    ds.Manufacturer = "GE MEDICAL SYSTEMS"
    ds.ManufacturerModelName = "DIGITAL PHANTOM"
    ds.ReferringPhysicianName = ""
    ds.SeriesDescription = f"Sag DESS {header.protocol} phantom"
    ds.PatientName = f"PHANTOM^SYNTHETIC {header.person}"
    ds.PatientID = f"PHANTOM-{header.person}"
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.BodyPartExamined = "KNEE"
    ds.ScanningSequence = "RM"
    ds.SequenceVariant = "NONE"
    ds.ScanOptions = ["EDR_GEMS", "WE_GEMS"]
    ds.MRAcquisitionType = "3D"
    ds.AngioFlag = "N"
    ds.SliceThickness = ds.SpacingBetweenSlices = _decimal(spacing[2])
    ds.RepetitionTime = _decimal(header.tr_ms)
    ds.NumberOfAverages = 1
    ds.ImagedNucleus = "1H"
    ds.MagneticFieldStrength = 3
    ds.EchoTrainLength = 1
    ds.AcquisitionMatrix = [shape[0], 0, 0, shape[1]]
    ds.InPlanePhaseEncodingDirection = "ROW"
    ds.FlipAngle = _decimal(header.flip_deg)
    ds.PatientPosition = "FFS"
    _private(ds, header, shape)
    ds.StudyInstanceUID = _uid(header, "study")
    ds.StudyID = "1"
    ds.AcquisitionNumber = 1
    ds.ImageOrientationPatient = [_decimal(value) for value in (*right, *down)]
    ds.FrameOfReferenceUID = _uid(header, "frame")
    ds.PositionReferenceIndicator = ""
    ds.Laterality = header.laterality
    ds.ImagesInAcquisition = shape[2]
    ds.StackID = "1"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = shape[:2]
    ds.PixelSpacing = [_decimal(spacing[0]), _decimal(spacing[1])]
    ds.BitsAllocated = ds.BitsStored = 16
    ds.HighBit = 15
    ds.PixelRepresentation = 1
    return ds


def _private(ds: Dataset, header: Header, shape: tuple[int, ...]) -> None:
    block = ds.private_block(0x0019, "GEMS_ACQU_01", create=True)
    if len(header.echo_times_ms) == 2:
        block.add_new(0x7D, "DS", str(round(header.echo_times_ms[1] * 1000)))
    block.add_new(0x7E, "SS", len(header.echo_times_ms))
    block.add_new(0x9C, "LO", "mfast")
    if header.spoiler is not None:
        block.add_new(0xB6, "DS", f"{header.spoiler[0]:.6f}")
        block.add_new(0xB7, "DS", f"{header.spoiler[1]:.6f}")


def _image(
    base: Dataset, header: Header, pixels: NDArray[np.int16], index: int, echo: int, number: int
) -> Dataset:
    ds = Dataset()
    ds.update(base)
    position = header.affine @ (0, 0, index, 1)
    normal = header.affine[:3, 2] / np.linalg.norm(header.affine[:3, 2])
    ds.SOPInstanceUID = _uid(header, "image", number)
    ds.EchoTime = _decimal(header.echo_times_ms[echo])
    ds.EchoNumbers = echo + 1
    series = echo if header.two_series else 0
    ds.SeriesInstanceUID = _uid(header, "series", series)
    ds.SeriesNumber = 5 + series
    ds.InstanceNumber = number
    ds.ImagePositionPatient = [_decimal(value) for value in position[:3]]
    ds.SliceLocation = _decimal(float(position[:3] @ normal))
    ds.InStackPositionNumber = (number - 1) // len(header.echo_times_ms) + 1
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
    """As many digits as a decimal string holds."""
    text = f"{float(value):.10g}"
    return text if len(text) <= 16 else f"{float(value):.8g}"
