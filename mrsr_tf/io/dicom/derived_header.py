"""The header of a derived image: attributes of its source that still hold, and new ones.

Nothing is copied blindly: of each module of the MR Image IOD (DICOM PS3.3 A.4), only the
attributes that hold for the derived image are copied; the others are omitted or replaced.
"""

from collections.abc import Iterable
from copy import copy
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pydicom.valuerep import DSfloat, validate_value

import mrsr_tf
from mrsr_tf.io.dicom.files import MR_IMAGE, Image

# Type 2 attributes: present in every image, empty if unknown.
REQUIRED = """
    PatientName PatientID PatientBirthDate PatientSex
    StudyDate StudyTime ReferringPhysicianName StudyID AccessionNumber
    Laterality PatientPosition PositionReferenceIndicator Manufacturer
    ScanOptions MRAcquisitionType RepetitionTime EchoTime EchoTrainLength
""".split()
COPIED = """
    SpecificCharacterSet TimezoneOffsetFromUTC
    IssuerOfPatientID OtherPatientIDs PatientComments PatientIdentityRemoved DeidentificationMethod
    StudyDescription PatientAge PatientSize PatientWeight
    ImageLaterality BodyPartExamined ProtocolName
    InstitutionName InstitutionAddress StationName InstitutionalDepartmentName
    ManufacturerModelName DeviceSerialNumber SoftwareVersions
    AcquisitionNumber AcquisitionDate AcquisitionTime BurnedInAnnotation
    LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
    SequenceName InversionTime AngioFlag NumberOfAverages ImagingFrequency ImagedNucleus
    MagneticFieldStrength NumberOfPhaseEncodingSteps PercentSampling PercentPhaseFieldOfView
    PixelBandwidth ReconstructionDiameter ReceiveCoilName TransmitCoilName AcquisitionMatrix
    InPlanePhaseEncodingDirection FlipAngle VariableFlipAngleFlag SAR dBdt WindowCenter WindowWidth
""".split()


def derived_header(
    source: Image, affine: NDArray[np.float64], index: int, covering: Iterable[Image]
) -> Dataset:
    """The header of one slice of a derived volume, without attributes of its series and pixels.

    Args:
        source: the nearest image that it was derived from.
        affine: (4, 4), (row, col, slice, 1) -> mm, of the derived volume.
        index: the index of the slice in that volume.
        covering: the source images to refer to.
    """
    header = _copied(source.header)
    now = datetime.now()
    header.SOPClassUID = MR_IMAGE
    header.InstanceCreationDate = header.ContentDate = now.strftime("%Y%m%d")
    header.InstanceCreationTime = header.ContentTime = now.strftime("%H%M%S")
    header.Modality = "MR"
    header.InstanceNumber = index + 1
    referable = [image for image in covering if has_valid_uid(image.header, "SOPInstanceUID")]
    if referable:
        header.SourceImageSequence = [_reference(image) for image in referable]
    header.ContributingEquipmentSequence = [_this_program()]
    _place(header, source, affine, index)
    return header


def has_valid_uid(header: Dataset, keyword: str) -> bool:
    """Whether an attribute is one UID as DICOM allows it: numbers and dots, at most 64 of them."""
    return UID(str(header.get(keyword) or "")).is_valid


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """A coded concept."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def decimal(value: float) -> DSfloat:
    """A number as a DICOM decimal string with as many digits as fit into 16 characters."""
    return DSfloat(float(value), auto_format=True)


def _copied(source: Dataset) -> Dataset:
    header = Dataset()
    for keyword in REQUIRED:
        setattr(header, keyword, None)
    header.ScanningSequence, header.SequenceVariant = "RM", "NONE"
    for keyword in [*REQUIRED, *COPIED, "ScanningSequence", "SequenceVariant"]:
        if _is_valid(source, keyword):
            header[keyword] = copy(source[keyword])  # setting its value must not change the source
    if "ImageLaterality" in header:
        del header.Laterality
    if not {"WindowCenter", "WindowWidth"} <= set(header.dir("Window")):  # each requires the other
        header.pop("WindowCenter", None)
        header.pop("WindowWidth", None)
    return header


def _is_valid(source: Dataset, keyword: str) -> bool:
    """Whether the source has a value of this attribute, and DICOM allows it."""
    try:
        element = source[keyword]
        for value in element.value if element.VM > 1 else [element.value]:
            plain = value if type(value) in (int, float) else str(value)
            validate_value(element.VR, plain, config.RAISE)
        return element.VM > 0 and dictionary_VR(keyword) == element.VR
    except Exception:  # a damaged element is omitted, whatever pydicom raises on it
        return False


def _reference(source: Image) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = MR_IMAGE if source.frame is None else source.header.SOPClassUID
    item.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
    if source.frame is not None:
        item.ReferencedFrameNumber = source.frame
    purpose = code("121322", "DCM", "Source image for image processing operation")
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _this_program() -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
    item.Manufacturer = item.ManufacturerModelName = "MRSR-TF"
    item.SoftwareVersions = mrsr_tf.__version__
    return item


def _place(header: Dataset, source: Image, affine: NDArray[np.float64], index: int) -> None:
    position = affine[:3, 3] + index * affine[:3, 2]
    # Software takes the geometry from the positions; the spacing is for readers, so it is 0.75 and
    # not 0.74999787 if the positions of the source have few digits.
    spacing = round(float(np.linalg.norm(affine[:3, 2])), 4)
    header.ImagePositionPatient = [decimal(coordinate) for coordinate in position]
    header.ImageOrientationPatient = source.header.ImageOrientationPatient
    header.PixelSpacing = source.header.PixelSpacing
    header.SliceThickness = header.SpacingBetweenSlices = decimal(spacing)
    header.SliceLocation = decimal(np.dot(position, source.normal))
