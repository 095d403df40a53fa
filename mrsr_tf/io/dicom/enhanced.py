"""Enhanced MR: objects of many frames, each of which gets a header as of a single image."""

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from mrsr_tf.io.dicom.philips_private import copy_scale_slope

# Enhanced MR and Legacy Converted Enhanced MR.
MULTI_FRAME = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
# The functional groups that describe a frame (DICOM PS3.3 C.7.6.16 and C.8.13.5), with those of
# their attributes that a single image has too. All else in a group is about something else: private
# and reference sequences repeat positions and UIDs, of other objects.
CONVERTED = """
    EchoTime EchoNumbers RepetitionTime FlipAngle EchoTrainLength ScanningSequence SequenceVariant
    ScanOptions SequenceName InversionTime NumberOfAverages PixelBandwidth ImageType
    ImageLaterality RescaleSlope RescaleIntercept
"""
FUNCTIONAL_GROUPS = {
    "UnassignedSharedConvertedAttributesSequence": CONVERTED,
    "UnassignedPerFrameConvertedAttributesSequence": CONVERTED,
    "PixelMeasuresSequence": "PixelSpacing SliceThickness SpacingBetweenSlices",
    "PlanePositionSequence": "ImagePositionPatient",
    "PlaneOrientationSequence": "ImageOrientationPatient",
    "FrameAnatomySequence": "FrameLaterality",
    "PixelValueTransformationSequence": "RescaleSlope RescaleIntercept RescaleType",
    "FrameVOILUTSequence": "WindowCenter WindowWidth",
    "MRImageFrameTypeSequence": "FrameType ComplexImageComponent",
    "MRTimingAndRelatedParametersSequence": "RepetitionTime FlipAngle EchoTrainLength",
    "MRFOVGeometrySequence": "InPlanePhaseEncodingDirection PercentSampling",
    "MREchoSequence": "EffectiveEchoTime",
    "MRImagingModifierSequence": "PixelBandwidth",
    "MRReceiveCoilSequence": "ReceiveCoilName",
    "MRTransmitCoilSequence": "TransmitCoilName",
    "MRAveragesSequence": "NumberOfAverages",
}
# Attributes that have another name in a frame than in a single image.
RENAMED = {
    "EffectiveEchoTime": "EchoTime",
    "FrameLaterality": "ImageLaterality",
    "FrameType": "ImageType",
}


def frame_headers(header: Dataset) -> list[Dataset]:
    """A flat header for each frame: that of the object with the elements of its functional groups.

    Raises:
        ValueError: NumberOfFrames differs from the number of functional groups.
    """
    frames = header.PerFrameFunctionalGroupsSequence
    if len(frames) != int(header.NumberOfFrames):
        raise ValueError("NumberOfFrames")
    shared = header.get("SharedFunctionalGroupsSequence") or [Dataset()]
    common = _flat(header, shared[0])
    del common["PerFrameFunctionalGroupsSequence"]
    return [_flat(common, groups) for groups in frames]


def _flat(header: Dataset, groups: Dataset) -> Dataset:
    flat = Dataset()
    flat.update(header)
    for name, keywords in FUNCTIONAL_GROUPS.items():
        for item in groups.get(name) or ():
            for keyword in filter(item.__contains__, keywords.split()):
                _copy(item[keyword], flat)
    if "RealWorldValueMappingSequence" in groups:
        flat["RealWorldValueMappingSequence"] = groups["RealWorldValueMappingSequence"]
    copy_scale_slope(groups, flat)
    return flat


def _copy(element: DataElement, header: Dataset) -> None:
    name, value = RENAMED.get(element.keyword), element.value
    if name is None:
        header[element.tag] = element
    elif isinstance(value, int | float):
        setattr(header, name, DSfloat(value, auto_format=True))
    else:
        setattr(header, name, value)
