"""NIfTI in a zip archive: one image with both echoes, or one for each, and their sidecars."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mrsr_tf.errors import InputError
from mrsr_tf.io import nifti
from mrsr_tf.io.archives import File, files_at, is_zip
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.io.echo_files import choose_scans
from mrsr_tf.io.scan_format import Scan
from mrsr_tf.volume import Volume


@dataclass(frozen=True)
class ZippedNifti(nifti.NiftiDerived):
    """One NIfTI image, or one for each echo, in a zip archive."""

    endings = (".zip",)

    def matches(self, path: Path) -> bool:
        """Whether it is a zip archive that holds NIfTI."""
        try:
            return path.suffix == ".zip" and is_zip(path) and any(_files_in(path, nifti.ENDINGS))
        except InputError:  # unreadable, whatever it holds
            return False

    def read(self, scan: Scan, slice_axis: int = 2) -> Volume:
        """Reads the image or the two echoes, unpacked into a temporary folder for nibabel."""
        path = scan.path
        with tempfile.TemporaryDirectory() as folder:
            files = _files_in(path, (*nifti.ENDINGS, ".img", ".json"))
            for file in files:
                with refuse_damaged(path, "a whole zip archive"):
                    content = file.read_bytes()
                (Path(folder) / file.name).write_bytes(content)
            try:
                first = _first_image([Path(folder) / file.name for file in files], path)
                return nifti.read_nifti(first, slice_axis=slice_axis)
            except InputError as error:
                raise InputError(str(error).replace(folder, str(path))) from None


def _first_image(files: list[Path], path: Path) -> Path:
    """The one image in the archive at `path`, or the first of two echoes."""
    images = [file for file in files if file.name.lower().endswith(nifti.ENDINGS)]
    scans = choose_scans(images).scans
    if len(scans) != 1:
        raise InputError(
            f"expected one NIfTI, or one for each echo, in a zip archive, got {len(scans)}: {path}"
        )
    return scans[0]


def _files_in(path: Path, endings: tuple[str, ...]) -> list[File]:
    # The names of files that macOS adds to an archive start with a dot.
    files = [file for file in files_at(path) if not file.name.startswith(".")]
    return [file for file in files if file.name.lower().endswith(endings)]
