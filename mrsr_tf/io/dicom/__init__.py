"""DICOM in and out: a scan's files to a `Volume`, a `Volume` to derived series of its study."""

from mrsr_tf.io.dicom.provenance import read_derivation, source_digest
from mrsr_tf.io.dicom.read import read_series
from mrsr_tf.io.dicom.write import write_series, write_t2_map

__all__ = [
    "read_derivation",
    "read_series",
    "source_digest",
    "write_series",
    "write_t2_map",
]
