"""Private elements in which GE stores the spoiler of a DESS, in group 0019 of GEMS_ACQU_01.

GE keeps them as "user data 15" and "16" of whatever sequence ran.
"""

from pydicom.dataset import Dataset, PrivateBlock
from pydicom.valuerep import DSfloat

from mrsr_tf.io.dicom.private import private_value

GROUP, CREATOR = 0x0019, "GEMS_ACQU_01"
SPOILER_AREA, SPOILER_DURATION = 0xB6, 0xB7


def acquisition_block(header: Dataset, *, create: bool = False) -> PrivateBlock:
    """The private elements of the acquisition; raises `KeyError` if there are none."""
    return header.private_block(GROUP, CREATOR, create=create)


def add_spoiler(header: Dataset, area: str | DSfloat, duration_us: str | DSfloat) -> None:
    """Adds area (in GE's unit) and duration of the spoiler as decimal strings."""
    block = acquisition_block(header, create=True)
    block.add_new(SPOILER_AREA, "DS", area)
    block.add_new(SPOILER_DURATION, "DS", duration_us)


def complex_part_number(header: Dataset) -> int | None:
    """0 for magnitude, 1 for phase, 2 for the real and 3 for the imaginary part; None if unknown.

    GE keeps it as "private image type", (0043,xx2F) of GEMS_PARM_01.
    """
    value = private_value(header, 0x0043, "GEMS_PARM_01", 0x2F)
    return int(value) if isinstance(value, int | float) else None
