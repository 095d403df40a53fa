"""A T2 map as a DICOM Parametric Map (PS3.3 A.75): one object of float32 milliseconds.

A voxel without T2 is NaN, which FloatPixelPaddingValue declares (PS3.3 C.7.6.24): unlike 0, it
cannot be taken for a measured value. highdicom lays out the frames; attributes of patient and study
come from the headers of the slices, which hold no others than a derived series does.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid

import mrsr_tf
from mrsr_tf.io.dicom.derived_header import code, has_valid_uid
from mrsr_tf.io.dicom.highdicom_package import check_highdicom
from mrsr_tf.io.dicom.series import Series

if TYPE_CHECKING:
    from highdicom.pm import ParametricMap, RealWorldValueMapping

PROGRAM = "MRSR-TF"
DISPLAYED_MS = (50, 100)  # centre and width
# What highdicom takes from the images that a map is derived from.
PLACE = """
    StudyInstanceUID SeriesInstanceUID SeriesNumber SOPClassUID FrameOfReferenceUID
    PixelSpacing SliceThickness SpacingBetweenSlices
    ImagePositionPatient ImageOrientationPatient
""".split()
# highdicom would refuse an unusual sex or character set, and quote an unusual name.
PATIENT = "PatientID PatientName PatientBirthDate PatientSex".split()
STUDY = "AccessionNumber StudyID StudyDate StudyTime".split()
COPIED = """
    SpecificCharacterSet TimezoneOffsetFromUTC
    IssuerOfPatientID OtherPatientIDs PatientComments PatientIdentityRemoved DeidentificationMethod
    ReferringPhysicianName StudyDescription PatientAge PatientSize PatientWeight
    SeriesDescription Modality ProtocolName BodyPartExamined PatientPosition
    AcquisitionDate AcquisitionTime PositionReferenceIndicator
    LossyImageCompression LossyImageCompressionRatio LossyImageCompressionMethod
    DerivationDescription ContributingEquipmentSequence InstitutionName InstitutionAddress
""".split()


def parametric_map(
    t2_ms: NDArray[np.floating], headers: Sequence[Dataset], source: Series, uid: str
) -> Dataset:
    """The Parametric Map of a T2 map.

    Args:
        t2_ms: (rows, cols, slices) in ms; NaN where there is no T2.
        headers: of a derived series with these slices, see `derived_header`.
        source: the scan that they refer to.
        uid: its SOPInstanceUID.

    Raises:
        InputError: highdicom is not installed.
    """
    check_highdicom("to write a Parametric Map")
    frames = np.moveaxis(t2_ms, 2, 0).astype(np.float32)
    dataset = _laid_out(frames, headers, uid)
    for keyword in (*PATIENT, *STUDY, *COPIED):
        if keyword in headers[0]:
            dataset[keyword] = headers[0][keyword]
    dataset.ContentCreatorName = None  # type 2, which highdicom leaves out
    dataset.FloatPixelPaddingValue = dataset.FloatPixelPaddingRangeLimit = np.nan
    dataset.ReferencedSeriesSequence = _referenced_series(headers, source)
    _set_dimension_uid(dataset)
    dataset.pop("SourceImageSequence")  # each frame has its own
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.FrameAnatomySequence = [_knee(headers[0])]
    for frame, header in zip(dataset.PerFrameFunctionalGroupsSequence, headers, strict=True):
        frame.DerivationImageSequence = _derivation(header)
    return dataset


def _laid_out(frames: NDArray[np.float32], headers: Sequence[Dataset], uid: str) -> "ParametricMap":
    """The map with everything but what follows from the source."""
    import highdicom

    centre, width = DISPLAYED_MS
    place = _place(headers[0], frames, uid)
    # highdicom sorts frames against row direction x column direction.
    positions = [header.ImagePositionPatient for header in headers[::-1]]
    dataset = highdicom.pm.ParametricMap(
        source_images=[place],
        pixel_array=frames[::-1],
        plane_positions=[highdicom.PlanePositionSequence("PATIENT", xyz) for xyz in positions],
        series_instance_uid=place.SeriesInstanceUID,
        series_number=place.SeriesNumber,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=PROGRAM,
        manufacturer_model_name=PROGRAM,
        software_versions=mrsr_tf.__version__,
        device_serial_number=mrsr_tf.__version__,  # must not be empty, and a program has none
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[_milliseconds(frames)],
        voi_lut_transformations=[
            highdicom.VOILUTTransformation(window_center=centre, window_width=width)
        ],
        content_label="T2",
        content_description="T2 in ms; NaN is invalid",
    )
    # In the order of the slices: 3D Slicer takes frames for slices along row x column direction,
    # wherever they say that they are.
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[::-1]
    dataset.FloatPixelData = frames.tobytes()
    return dataset


def _set_dimension_uid(dataset: Dataset) -> None:
    """Replaces highdicom's random UID, so that the same map has the same UIDs."""
    uid = generate_uid(entropy_srcs=[dataset.SOPInstanceUID, "dimensions"])
    for item in (*dataset.DimensionOrganizationSequence, *dataset.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid


def _place(header: Dataset, frames: NDArray[np.float32], uid: str) -> Dataset:
    """An image at the place of a slice, without the patient."""
    place = Dataset()
    for keyword in (*PATIENT, *STUDY):
        setattr(place, keyword, None)
    for keyword in PLACE:
        if keyword in header:
            place[keyword] = header[keyword]
    place.SOPInstanceUID = uid
    place.Rows, place.Columns = frames.shape[1:]
    return place


def _milliseconds(frames: NDArray[np.float32]) -> "RealWorldValueMapping":
    """Stored values are the real ones, up to the largest."""
    import highdicom

    largest = np.nanmax(frames, initial=0)
    return highdicom.pm.RealWorldValueMapping(
        lut_label="T2",
        lut_explanation="T2 in ms; NaN is invalid",
        unit=codes.UCUM.Millisecond,
        value_range=(0.0, float(largest)),
        quantity_definition=codes.DCM.T2,
    )


def _referenced_series(headers: Sequence[Dataset], source: Series) -> list[Dataset]:
    """The images that the headers refer to, by their series."""
    series_uids = {str(image.header.get("SOPInstanceUID")): image.header for image in source.images}
    references = {
        reference.ReferencedSOPInstanceUID: reference.ReferencedSOPClassUID
        for header in headers
        for reference in header.get("SourceImageSequence", ())
    }
    instances: dict[str, list[Dataset]] = defaultdict(list)
    for uid, sop_class in references.items():
        if has_valid_uid(series_uids[uid], "SeriesInstanceUID"):
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
            instances[series_uids[uid].SeriesInstanceUID].append(item)
    return [_series_item(uid, items) for uid, items in instances.items()]


def _series_item(uid: str, instances: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID, item.ReferencedInstanceSequence = uid, instances
    return item


def _knee(header: Dataset) -> Dataset:
    """The anatomy of each frame, which is a knee in all scans that this package is for."""
    item = Dataset()
    # A value is required; "unpaired" is the only one that names no side.
    item.FrameLaterality = header.get("ImageLaterality") or header.get("Laterality") or "U"
    item.AnatomicRegionSequence = [_code(codes.SCT.Knee)]
    return item


def _derivation(header: Dataset) -> list[Dataset]:
    """The images that a frame is derived from; none if none has a valid UID."""
    if "SourceImageSequence" not in header:
        return []
    item = Dataset()
    item.DerivationDescription = header.DerivationDescription
    item.DerivationCodeSequence = [_code(codes.DCM.UnspecifiedMethodOfCalculation)]
    item.SourceImageSequence = header.SourceImageSequence
    return [item]


def _code(concept: Code) -> Dataset:
    return code(concept.value, concept.scheme_designator, concept.meaning)
