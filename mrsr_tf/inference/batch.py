"""One study, or a folder of them: read, made fine, and written as what it came in.

While one study is computed, the one before it is written and the next one read. All reading and
writing is done by one thread, since pydicom is kept from quoting headers for a whole process.
"""

import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from absl import logging

from mrsr_tf import __version__
from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.inference.domain_check import unlike_training
from mrsr_tf.inference.upsampling import Resolved, Way, resolved
from mrsr_tf.io import derived_scans, scans
from mrsr_tf.io.nifti import is_nifti
from mrsr_tf.volume import Volume

Item = TypeVar("Item")
FORESEEN = (InputError, OSError, MemoryError)


@dataclass(frozen=True)
class Study:
    """A scan, and where what is made of it goes.

    Attributes:
        source: a file or a folder, as `scans.read_scan` takes it.
        output: a folder for DICOM, else a NIfTI file.
    """

    source: Path
    output: Path


def find_studies(source: Path, output: Path) -> list[Study]:
    """The one study at `source`, or all that lie in it.

    A folder of several scans, as `scans.find_subjects` tells them apart, is a folder of studies:
    each goes to its name in the folder `output`. All else is one study, and goes to `output`.

    Raises:
        InputError: nothing is there, or several studies shall go into one file or among
            themselves.
    """
    if not source.exists():
        raise InputError(f"expected a scan or a folder of scans, found nothing at {source}")
    found = scans.find_subjects(source)
    if len(found) == 1:
        return [Study(source, output)]
    if is_nifti(output):
        raise InputError(
            f"expected a folder for the output of the {len(found)} studies in {source}, got "
            f"{output}"
        )
    if output.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"expected an output outside {source}, where it would be taken for a study, got "
            f"{output}"
        )
    return [Study(path, output / _output_name(name, path)) for name, path in found.items()]


def derive(study: Study, way: Way, *, slice_axis: int = 2, overwrite: bool = False) -> str:
    """Makes one study fine and writes it, with maps of its uncertainty where there are any.

    Args:
        study: which, and where to.
        way: how.
        slice_axis: of a NIfTI file.
        overwrite: replace a derived scan that was made otherwise.

    Returns:
        What was made, in one line.

    Raises:
        AlreadyDone: it is there.
        InputError: the study cannot be read or is not for this way, or other data is at its output.
        OSError: it cannot be written.
        MemoryError: it is too large for this machine.
    """
    thick = _read(study, way, slice_axis, overwrite)
    return _write(study, way, slice_axis, thick, resolved(thick, way, study.source))


def derive_all(
    studies: Sequence[Study],
    way: Way,
    *,
    slice_axis: int = 2,
    overwrite: bool = False,
    tell: Callable[[str], object] = print,
    advance: Callable[[], object] = lambda: None,
) -> list[Study]:
    """Makes many studies fine; one that fails is warned of, and stops no other.

    Three of them are in memory at a time: one that is read, one computed and one written.

    Args:
        studies: which.
        way: how.
        slice_axis: of NIfTI files.
        overwrite: as for `derive`.
        tell: is given what was made of each, in one line, from another thread.
        advance: is called as each is written, found done or failed.

    Returns:
        Those that failed.
    """
    failed: list[Study] = []

    def fail(study: Study, error: Exception) -> None:
        logging.warning("%s failed: %s", study.source, _said(error))
        failed.append(study)
        advance()

    def write(study: Study, thick: Volume, fine: Resolved) -> None:
        try:
            tell(_write(study, way, slice_axis, thick, fine))
            advance()
        except Exception as error:
            fail(study, error)

    with ThreadPoolExecutor(1) as disk:
        read = partial(_read, way=way, slice_axis=slice_axis, overwrite=overwrite)
        for study, thick in _one_ahead((study, disk.submit(read, study)) for study in studies):
            try:
                fine = resolved(thick.result(), way, study.source)
                disk.submit(write, study, thick.result(), fine)
            except AlreadyDone as done:
                tell(str(done))
                advance()
            except Exception as error:
                fail(study, error)
    return failed


def _one_ahead(items: Iterator[Item]) -> Iterator[Item]:
    """The items, each taken from their source when the one before it is given."""
    for current in items:
        for following in items:
            yield current
            current = following
        yield current


def _said(error: Exception) -> str:
    """A foreseen error as it is; another's words are not repeated, for they may quote a header."""
    if isinstance(error, FORESEEN):
        return str(error) or type(error).__name__
    if logging.level_debug():
        traceback.print_exception(error)
    return f"{type(error).__name__} (a defect of this package; --v=1 shows where)"


def _read(study: Study, way: Way, slice_axis: int, overwrite: bool) -> Volume:
    """The scan, if there is anything to do; what is unusual of it is said before it is done."""
    derivation = {"version": __version__, **way.derivation}
    derived_scans.check_new(study.output, study.source, derivation, overwrite=overwrite)
    thick = scans.read_scan(study.source, slice_axis=slice_axis)
    for unusual in unlike_training(thick, way.card, way.slice_factor):
        logging.warning("%s: %s", study.source, unusual)
    return thick


def _write(study: Study, way: Way, slice_axis: int, thick: Volume, made: Resolved) -> str:
    derived_scans.write(
        made.fine,
        study.output,
        source=study.source,
        derivation={"version": __version__, **way.derivation, **made.residuals},
        slice_axis=slice_axis,
        uncertainty=made.uncertainty,
        t2_uncertainty_ms=made.t2_uncertainty_ms,
    )
    before, after = (
        f"{volume.array.shape[2]} of {volume.spacing_mm[2]:.3g} mm" for volume in (thick, made.fine)
    )
    noise = made.residual_of_noise
    beside = "" if noise is None else f", {noise:.2g} of the noise"
    return (
        f"{thick.echoes} x {before} slices -> {after}: {study.output} (thick again, it is the "
        f"input within {made.residual_of_scale:.2%} of the intensity scale{beside})"
    )


def _output_name(name: str, source: Path) -> str:
    return name if scans.is_dicom_scan(scans.scan_path(source)) else f"{name}.nii.gz"
