"""Enhanced MR: objects of many frames, each of which gets a header as of a single image."""

from itertools import chain

from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

# Enhanced MR and Legacy Converted Enhanced MR.
MULTI_FRAME = ("1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
# Attributes that have another name in a frame than in a single image.
RENAMED = {"EffectiveEchoTime": "EchoTime", "FrameLaterality": "ImageLaterality"}


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
    items = (group.value for group in groups if group.VR == "SQ" and group.value)
    for item in chain.from_iterable(items):
        flat.update(item)
    for name, image_name in RENAMED.items():
        if name in flat:
            value = flat[name].value
            is_number = isinstance(value, int | float)
            setattr(flat, image_name, DSfloat(value, auto_format=True) if is_number else value)
    return flat
