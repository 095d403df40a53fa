"""The private scale slope of Philips, in group 2005 of the block Philips MR Imaging DD 001.

A file of one image has it beside its other attributes, a frame of Enhanced MR in a private
sequence, (2005,140F) in the block Philips MR Imaging DD 005, together with other attributes of a
file that the frame was made from.
"""

import math

from pydicom.dataset import Dataset

from mrsr_tf.io.dicom.private import private_value

GROUP, CREATOR, SCALE_SLOPE = 0x2005, "Philips MR Imaging DD 001", 0x0E
FRAME_CREATOR, FRAME_ATTRIBUTES = "Philips MR Imaging DD 005", 0x0F


def scale_slope(header: Dataset) -> float | None:
    """The scale slope of an image; None if there is none above 0."""
    value = private_value(header, GROUP, CREATOR, SCALE_SLOPE)
    slope = 0.0 if value is None else float(value)
    return slope if 0 < slope < math.inf else None


def copy_scale_slope(groups: Dataset, header: Dataset) -> None:
    """Copies the scale slope in the functional groups of a frame into the header of the frame."""
    attributes = private_value(groups, GROUP, FRAME_CREATOR, FRAME_ATTRIBUTES)
    slope = scale_slope(attributes[0]) if attributes else None
    if slope:
        block = header.private_block(GROUP, CREATOR, create=True)
        block.add_new(SCALE_SLOPE, "FL", slope)
