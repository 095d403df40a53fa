"""Upsampling of one study or of a folder of studies; each output has the format of its input.

While one study is computed, the previous one is written and the next one is read. One thread does
all reading and writing, because pydicom's warnings, which quote headers, can be silenced only for a
whole process.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from logging import LogRecord
from pathlib import Path
from typing import Any

from absl import logging
from tqdm import tqdm

from mrsr_tf import __version__
from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.inference.data_consistency import measure_residual
from mrsr_tf.inference.domain_check import out_of_range
from mrsr_tf.inference.upsampling import Upsampler, UpsamplingResult
from mrsr_tf.io import bids_dataset, derived_scans, dicom
from mrsr_tf.io.scans import Scan, find_scans, read_scan
from mrsr_tf.mri.t2 import scan_t2
from mrsr_tf.volume import Volume

EXPECTED_ERRORS = (InputError, OSError, MemoryError)


@dataclass(frozen=True)
class Study:
    """A scan, and where its upsampled version goes: a folder for DICOM, otherwise a NIfTI file."""

    source: Scan
    output: Path


def find_studies(
    source: Path,
    output: Path,
    series: str | None = None,
    onerror: Callable[[Path, InputError], object] | None = None,
    participants: Sequence[str] = (),
) -> list[Study]:
    """Finds the study at `source`, or all studies in that folder.

    If `find_scans` finds several scans in a folder, each is a study and its output has the
    same name in the folder `output`; of a BIDS dataset it has its place in a derivative dataset.
    Anything else is one study with the output `output`. The other arguments are those of
    `find_scans`.

    Raises:
        InputError: there is nothing at `source`, or the output of several studies would be one
            file.
    """
    failed: list[Path] = []

    def fail(subject: Path, error: InputError) -> None:
        if onerror is None:
            raise error
        onerror(subject, error)
        failed.append(subject)

    subjects = find_scans(source, series, fail, participants)
    if bids_dataset.has_derivative(source, output):
        return [Study(scan, _derivative_path(output, scan)) for scan in subjects.values()]
    if len(subjects) == 1 and not failed:
        return [Study(scan, output) for scan in subjects.values()]
    if derived_scans.is_file_name(output):
        raise InputError(
            f"expected a folder for the output of the {len(subjects)} studies in {source}, got "
            f"{output}"
        )
    return [
        Study(scan, output / (name + scan.format.output_ending)) for name, scan in subjects.items()
    ]


def _derivative_path(output: Path, scan: Scan) -> Path:
    return bids_dataset.derivative_path(output, scan.path, desc=bids_dataset.SUPER_RESOLVED)


def derive(
    study: Study, upsampler: Upsampler, *, slice_axis: int = 2, overwrite: bool = False
) -> str:
    """Upsamples one study and writes it, together with maps of its uncertainty if there are any.

    Args:
        study: where the scan is read and written.
        upsampler: the method.
        slice_axis: slice axis of a NIfTI file.
        overwrite: replace a derived scan of another configuration.

    Returns:
        One line that sums up the output.

    Raises:
        AlreadyDone: the same output exists.
        InputError: the study cannot be read or upsampled, or other data is at its output.
        OSError: the output cannot be written.
        MemoryError: the scan is too large for this machine.
    """
    thick = _read(study, upsampler, slice_axis, overwrite)
    return _write(study, upsampler, slice_axis, thick, upsampler(thick, study.source))


def derive_all(
    studies: Sequence[Study],
    upsampler: Upsampler,
    *,
    slice_axis: int = 2,
    overwrite: bool = False,
) -> list[Study]:
    """Upsamples many studies; a study that fails causes a warning and does not stop the others.

    Three scans are in memory at a time: one being read, one being computed, one being written. A
    line is printed for each output, above a progress bar. Arguments are as for `derive`.

    Returns:
        The studies that failed.
    """
    failed: list[Study] = []
    if not studies:
        return failed

    def fail(study: Study, error: Exception) -> None:
        logging.warning("%s failed: %s", study.source, error_message(error))
        failed.append(study)
        bar.update()

    def write(study: Study, thick: Volume, result: UpsamplingResult) -> None:
        try:
            tqdm.write(_write(study, upsampler, slice_axis, thick, result))
            bar.update()
        except Exception as error:
            fail(study, error)

    with (
        tqdm(total=len(studies), desc="studies", unit="study", disable=None) as bar,
        ThreadPoolExecutor(1) as disk,
    ):
        read = partial(_read, upsampler=upsampler, slice_axis=slice_axis, overwrite=overwrite)
        reads = (disk.submit(read, study) for study in studies)
        following = next(reads)
        for study in studies:
            thick, following = following, next(reads, following)
            try:
                result = upsampler(thick.result(), study.source)
                disk.submit(write, study, thick.result(), result)
            except AlreadyDone as done:
                tqdm.write(str(done))
                bar.update()
            except Exception as error:
                fail(study, error)
    return failed


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
            for study in find_studies(source, output / "fine"):
                derive(study, upsampler)
            scan = output / "fine"
            volume = read_scan(scan)
            t2_ms, parameters = scan_t2(volume, label=scan)
            derivation = {"version": __version__, **parameters, "source": volume.identity}
            dicom.write_t2_map(t2_ms, volume, output / "t2", like=scan, derivation=derivation)
        except Exception as error:
            notes.append(error_message(error))
    return notes


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


def error_message(error: Exception) -> str:
    """The message of an expected error; of any other only its type, as it may quote a header."""
    if isinstance(error, EXPECTED_ERRORS):
        return str(error) or type(error).__name__
    if logging.level_debug():
        traceback.print_exception(error)
    return f"{type(error).__name__} (a defect of this package; --v=1 shows where)"


def _read(study: Study, upsampler: Upsampler, slice_axis: int, overwrite: bool) -> Volume:
    """Reads the scan, and warns of what is unusual about it, unless its output is finished."""
    derived_scans.check_replaceable(study.output, study.source)
    thick = study.source.read(slice_axis)
    if not overwrite:
        derived_scans.check_unfinished(study.output, _derivation(upsampler, thick))
    for finding in out_of_range(thick, upsampler.card, upsampler.factor):
        logging.warning("%s: %s", study.source, finding)
    return thick


def _derivation(upsampler: Upsampler, thick: Volume) -> dict[str, Any]:
    """What determines the output."""
    return {"version": __version__, **upsampler.derivation, "source": thick.identity}


def _write(
    study: Study, upsampler: Upsampler, slice_axis: int, thick: Volume, result: UpsamplingResult
) -> str:
    """Writes the output; returns the line that sums it up."""
    fine = study.source.format.as_stored(result.volume, study.source)
    residual = measure_residual(fine, thick, profile=upsampler.profile)
    derived_scans.write(
        fine,
        study.output,
        source=study.source,
        derivation={**_derivation(upsampler, thick), **residual.rounded()},
        slice_axis=slice_axis,
        uncertainty=result.uncertainty,
        t2_uncertainty_ms=result.t2_uncertainty_ms,
    )
    before, after = (
        f"{volume.array.shape[2]} of {volume.spacing_mm[2]:.3g} mm" for volume in (thick, fine)
    )
    return (
        f"{thick.echoes} x {before} slices -> {after}: {study.output} (thickened again, it differs "
        f"from the input by {residual})"
    )
