"""All derived series of one DICOM scan: the fine echoes and their T2 map, with notes on both."""

from collections.abc import Iterator
from contextlib import contextmanager
from logging import LogRecord
from pathlib import Path

from absl import logging

from mrsr_tf import __version__
from mrsr_tf.inference import batch
from mrsr_tf.inference.upsampling import Upsampler
from mrsr_tf.io import dicom
from mrsr_tf.io.scans import read_scan
from mrsr_tf.mri.dess import T2Method
from mrsr_tf.mri.t2 import CARTILAGE_T1_MS, scan_t2


def derive_series(source: Path, output: Path, upsampler: Upsampler) -> list[str]:
    """Writes the derived series of a scan, as `mrsr_tf.infer` and then `eval.t2map` do.

    Args:
        source: a folder with the DICOM images of one scan.
        output: the folder to make a folder of each kind of series in.
        upsampler: the method.

    Returns:
        Notes in plain words: warnings, and the error because of which series are missing, if any.
    """
    notes: list[str] = []
    with _noting_warnings(notes):
        try:
            for study in batch.find_studies(source, output / "fine"):
                batch.derive(study, upsampler)
            _write_t2_map(output / "fine", output / "t2")
        except Exception as error:
            notes.append(batch.error_message(error))
    return notes


def _write_t2_map(scan: Path, output: Path) -> None:
    volume = read_scan(scan)
    t2_ms, parameters = scan_t2(volume, method=T2Method.ANALYTIC, t1_ms=CARTILAGE_T1_MS, label=scan)
    derivation = {"version": __version__, **parameters}
    dicom.write_t2_map(t2_ms, volume, output, like=scan, derivation=derivation)


@contextmanager
def _noting_warnings(notes: list[str]) -> Iterator[None]:
    """Adds to `notes` what the block would log."""

    def note(record: LogRecord) -> bool:
        notes.append(record.getMessage())
        return False

    logging.get_absl_logger().addFilter(note)
    try:
        yield
    finally:
        logging.get_absl_logger().removeFilter(note)
