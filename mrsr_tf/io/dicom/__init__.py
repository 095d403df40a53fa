"""DICOM: a scan's files as a `Volume`, and a `Volume` as derived series of its study."""

from mrsr_tf.io.dicom.dicom_format import Dicom
from mrsr_tf.io.dicom.provenance import read_derivation, read_patient
from mrsr_tf.io.dicom.read import read_series
from mrsr_tf.io.dicom.write import write_series, write_t2_map

__all__ = [
    "Dicom",
    "read_derivation",
    "read_patient",
    "read_series",
    "write_series",
    "write_t2_map",
]
