"""Private elements of vendors, in blocks that a private creator reserves."""

from typing import Any

from pydicom.dataset import Dataset


def private_value(header: Dataset, group: int, creator: str, element: int) -> Any:
    """The value of an element in the block of a private creator; None if there is none."""
    # pydicom needs longer to look for a block than to see that there is none of its group.
    tags = header.keys()
    if not any(tag >> 16 == group for tag in tags):
        return None
    try:
        return header.private_block(group, creator)[element].value
    except KeyError:
        return None
