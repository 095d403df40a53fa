"""Small DICOM studies for tests, built by hand from the standard and not with the package."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
SECRETS = ("Doe^Jane", "PAT-4711", "19601224", "2.25.")

# Sagittal, as GE lays out a knee: rows run down, columns to the back, slices to the left.
SAGITTAL = np.array(
    [[0, 0, -1.5, 35.25], [0, 0.5, 0, -68.125], [-0.5, 0, 0, 79.75], [0, 0, 0, 1]], float
)
Change = Callable[[Dataset, int, int], None]


def write_study(
    folder: Path,
    array: np.ndarray,
    *,
    affine: np.ndarray = SAGITTAL,
    one_series: bool = True,
    spoiler: tuple[str, str] | None = ("3132.000000", "1560.000000"),
    name: str = "slice{slice:03d}_echo{echo}.dcm",
    change: Change = lambda header, index, echo: None,
) -> Path:
    """Writes (rows, cols, slices[, echoes]) as a GE-like DESS study; one file an image.

    Args:
        folder: where to.
        array: stored values, integers of 8 or 16 bits.
        affine: (row, col, slice, 1) -> mm, LPS; slices may run either way along the normal.
        one_series: both echoes in one series, or one each.
        spoiler: what GE keeps of area and duration; None leaves the private block out.
        name: of a file; may hold folders.
        change: called with each header, slice index and echo index just before it is saved;
            a header without Rows is not saved.
    """
    array = array if array.ndim == 4 else array[..., None]
    study, frame, series = generate_uid(None), generate_uid(None), [generate_uid(None)] * 2
    if not one_series:
        series[1] = generate_uid(None)
    for index in range(array.shape[2]):
        for echo in range(array.shape[3]):
            header = _header(array[:, :, index, echo], affine, index, echo, array.shape[3])
            header.StudyInstanceUID, header.FrameOfReferenceUID = study, frame
            header.SeriesInstanceUID = series[echo % 2]
            if spoiler:
                block = header.private_block(0x0019, "GEMS_ACQU_01", create=True)
                block.add_new(0xB6, "DS", spoiler[0])
                block.add_new(0xB7, "DS", spoiler[1])
            change(header, index, echo)
            if "Rows" in header:
                save(header, folder / name.format(slice=index, echo=echo + 1))
    return folder


def save(header: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta = meta
    header.save_as(path, enforce_file_format=True)


def _header(image: np.ndarray, affine: np.ndarray, index: int, echo: int, echoes: int) -> Dataset:
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    header.SOPClassUID, header.SOPInstanceUID = MR_IMAGE, generate_uid(None)
    header.StudyDate = header.StudyTime = header.AccessionNumber = header.StudyID = ""
    header.Modality, header.Manufacturer = "MR", "GE MEDICAL SYSTEMS"
    header.SeriesDescription, header.SeriesNumber = "Sag DESS", 7
    header.PatientName, header.PatientID = "Doe^Jane", "PAT-4711"
    header.PatientBirthDate, header.PatientSex = "19601224", "F"
    header.ReferringPhysicianName = header.PositionReferenceIndicator = ""
    header.Laterality, header.PatientPosition = "R", "FFS"
    header.ScanningSequence, header.SequenceVariant, header.ScanOptions = "RM", "NONE", ""
    header.MRAcquisitionType, header.EchoTrainLength = "3D", 1
    header.RepetitionTime, header.FlipAngle = "23", "20"
    header.EchoTime, header.EchoNumbers = ["7", "39", "71"][echo], echo + 1
    header.SliceThickness = "9"  # wrong on purpose: positions count
    header.InstanceNumber = echoes * index + echo + 1
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    down, along = affine[:3, 0] / lengths[0], affine[:3, 1] / lengths[1]
    header.ImageOrientationPatient = [f"{cosine:.9f}" for cosine in (*along, *down)]
    header.ImagePositionPatient = [f"{x:.6f}" for x in affine[:3, 3] + index * affine[:3, 2]]
    header.PixelSpacing = [f"{lengths[0]:.9f}", f"{lengths[1]:.9f}"]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows, header.Columns = image.shape
    header.BitsAllocated = header.BitsStored = 8 * image.itemsize
    header.HighBit = header.BitsStored - 1
    header.PixelRepresentation = int(image.dtype.kind == "i")
    header.PixelData = image.astype(image.dtype.newbyteorder("<")).tobytes()
    if len(header.PixelData) % 2:
        header.PixelData += b"\0"
    header["PixelData"].VR = "OW"
    return header


def write_enhanced(
    folder: Path,
    array: np.ndarray,
    *,
    affine: np.ndarray = SAGITTAL,
    one_object: bool = True,
    spoiler: tuple[str, str] | None = ("3132.000000", "1560.000000"),
    change: Callable[[Dataset], None] = lambda header: None,
) -> Path:
    """Writes (rows, cols, slices, echoes) as Enhanced MR: one object, or one for each echo.

    Frames come slice by slice with the echoes inside, and slices backwards: their place counts.
    """
    slices, echoes = array.shape[2:]
    frames = [(index, echo) for index in reversed(range(slices)) for echo in range(echoes)]
    objects = [frames] if one_object else [[f for f in frames if f[1] == e] for e in range(echoes)]
    study, frame_of_reference, series = (generate_uid(None) for _ in range(3))
    for number, frames in enumerate(objects, 1):
        header = _header(array[:, :, 0, 0], affine, 0, 0, echoes)
        for keyword in (
            "ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness EchoTime "
            "EchoNumbers RepetitionTime FlipAngle ScanningSequence SequenceVariant"
        ).split():
            delattr(header, keyword)
        header.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
        header.StudyInstanceUID, header.SeriesInstanceUID = study, series
        header.FrameOfReferenceUID, header.NumberOfFrames = frame_of_reference, len(frames)
        header.SharedFunctionalGroupsSequence = [_shared_groups(affine)]
        header.PerFrameFunctionalGroupsSequence = [
            _frame_groups(affine, *frame) for frame in frames
        ]
        header.PixelData = b"".join(
            array[:, :, index, echo].astype(array.dtype.newbyteorder("<")).tobytes()
            for index, echo in frames
        )
        if spoiler:
            block = header.private_block(0x0019, "GEMS_ACQU_01", create=True)
            block.add_new(0xB6, "DS", spoiler[0])
            block.add_new(0xB7, "DS", spoiler[1])
        change(header)
        save(header, folder / f"object{number}")
    return folder


def _item(**values: object) -> list[Dataset]:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return [item]


def _shared_groups(affine: np.ndarray) -> Dataset:
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    down, along = affine[:3, 0] / lengths[0], affine[:3, 1] / lengths[1]
    groups = Dataset()
    groups.PixelMeasuresSequence = _item(
        PixelSpacing=[f"{lengths[0]:.9f}", f"{lengths[1]:.9f}"], SliceThickness=f"{lengths[2]:.9f}"
    )
    groups.PlaneOrientationSequence = _item(
        ImageOrientationPatient=[f"{cosine:.9f}" for cosine in (*along, *down)]
    )
    groups.MRTimingAndRelatedParametersSequence = _item(RepetitionTime="23", FlipAngle="20")
    groups.FrameAnatomySequence = _item(FrameLaterality="R")
    groups.PixelValueTransformationSequence = _item(
        RescaleSlope="1", RescaleIntercept="0", RescaleType="US"
    )
    return groups


def _frame_groups(affine: np.ndarray, index: int, echo: int) -> Dataset:
    groups = Dataset()
    groups.PlanePositionSequence = _item(
        ImagePositionPatient=[f"{x:.6f}" for x in affine[:3, 3] + index * affine[:3, 2]]
    )
    groups.MREchoSequence = _item(EffectiveEchoTime=[7.0, 39.0, 71.0][echo])
    groups.FrameContentSequence = _item(InStackPositionNumber=index + 1)
    return groups
