"""Which part of the complex signal an image shows: magnitude, phase, real or imaginary."""

from pydicom.dataset import Dataset

from mrsr_tf.io.dicom.ge_private import complex_part_number

PARTS = ("magnitude", "phase", "real", "imaginary")  # in the order of GE's numbers
# Values of ImageType as Siemens, Philips and others write them.
PART_OF_TYPE = {
    "M": "magnitude",
    "MAGNITUDE": "magnitude",
    "P": "phase",
    "PHASE": "phase",
    "PHASE MAP": "phase",
    "R": "real",
    "REAL": "real",
    "I": "imaginary",
    "IMAGINARY": "imaginary",
}


def complex_part(header: Dataset) -> str:
    """The part by ComplexImageComponent, by GE's number or by ImageType; else "magnitude"."""
    component = str(header.get("ComplexImageComponent") or "").lower()
    if component in PARTS:
        return component
    number = complex_part_number(header)
    if number is not None and 0 <= number < len(PARTS):
        return PARTS[number]
    parts = (PART_OF_TYPE.get(value) for value in image_type(header)[2:])
    return next(filter(None, parts), "magnitude")


def image_type(header: Dataset) -> list[str]:
    """The values of ImageType: pixels, examination, and what makers add."""
    values = header.get("ImageType") or []
    return [values] if isinstance(values, str) else [str(value) for value in values]
