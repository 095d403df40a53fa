"""The registry of formats.

A new format is one class that implements `scan_format.Format`, and one entry in `FORMATS`.
"""

from pathlib import Path

from mrsr_tf.io.dicom import Dicom
from mrsr_tf.io.nifti import Nifti
from mrsr_tf.io.scan_format import Format
from mrsr_tf.io.skm_tea import SkmTea
from mrsr_tf.io.zipped_nifti import ZippedNifti

# The first that matches reads the scan. DICOM is last: it matches any path.
FORMATS: tuple[Format, ...] = (Nifti(), ZippedNifti(), SkmTea(), Dicom())


def format_of(path: Path) -> Format:
    """The format of the scan, or of the derived scan, at `path`."""
    return next(scan_format for scan_format in FORMATS if scan_format.matches(path))
