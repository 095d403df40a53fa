"""What the stored values of an image mean: their scale, and those that are padding."""

from typing import Any

from pydicom.dataset import Dataset

from mrsr_tf.errors import InputError
from mrsr_tf.io.archives import File
from mrsr_tf.io.dicom.philips_private import scale_slope


def rescale(header: Dataset, path: File) -> tuple[float, float]:
    """Slope and intercept from the stored values of an image to its intensities.

    They are RescaleSlope and RescaleIntercept; where these are missing or empty, 1 and 0, or those
    of the only linear real-world value mapping.

    Philips chooses RescaleSlope RS and RescaleIntercept RI for display, image by image. Its private
    scale slope SS makes images comparable: intensity = (stored RS + RI) / (RS SS), the "floating
    point value" (Chenevert et al. 2014, PMC3998685; `-p y` of dcm2niix).

    Raises:
        InputError: a lookup table gives the intensities.
    """
    if header.get("ModalityLUTSequence"):
        raise InputError(f"expected a RescaleSlope, got a ModalityLUTSequence in {path}")
    slope, intercept = header.get("RescaleSlope"), header.get("RescaleIntercept")
    if slope in (None, "") and (mapping := _linear_mapping(header)):
        return mapping
    slope = 1.0 if slope in (None, "") else float(slope)
    intercept = 0.0 if intercept in (None, "") else float(intercept)
    philips = scale_slope(header)
    return (1 / philips, intercept / (slope * philips)) if philips and slope else (slope, intercept)


def padding_range(header: Dataset) -> tuple[int, int] | None:
    """The lowest and the highest stored value that fill pixels outside the image; None without."""
    value = header.get("PixelPaddingValue")
    if value in (None, ""):
        return None
    limit = header.get("PixelPaddingRangeLimit")
    ends = [_stored(header, end) for end in (value, value if limit in (None, "") else limit)]
    return min(ends), max(ends)


def _linear_mapping(header: Dataset) -> tuple[float, float] | None:
    mappings = header.get("RealWorldValueMappingSequence") or []
    if len(mappings) != 1 or not mappings[0].get("RealWorldValueSlope"):
        return None
    return float(mappings[0].RealWorldValueSlope), float(
        mappings[0].get("RealWorldValueIntercept") or 0
    )


def _stored(header: Dataset, value: Any) -> int:
    """A stored value from an attribute; many files write that of signed pixels as unsigned."""
    values = 2 ** int(header.BitsAllocated)
    value = int(value) % values
    return value - values if header.PixelRepresentation == 1 and 2 * value >= values else value
