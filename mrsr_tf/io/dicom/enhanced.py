"""Enhanced MR: many frames in one object. Each gets the header a file of its own would have."""

from itertools import chain

from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
LEGACY_ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.4"
# What a frame calls otherwise than an image does.
RENAMED = {"EffectiveEchoTime": "EchoTime", "FrameLaterality": "ImageLaterality"}


def frame_headers(header: Dataset) -> list[Dataset]:
    """One flat header for each frame: the object's, with the functional groups' elements in it.

    Raises:
        ValueError: the object tells another number of frames than it has groups for.
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
    for name, usual in RENAMED.items():
        if name in flat:
            value = flat[name].value
            number = isinstance(value, int | float)
            setattr(flat, usual, DSfloat(value, auto_format=True) if number else value)
    return flat
