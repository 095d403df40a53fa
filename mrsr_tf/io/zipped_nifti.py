"""NIfTI in a zip archive: one image with both echoes, or one for each, and their sidecars."""

import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from mrsr_tf.errors import InputError
from mrsr_tf.io import nifti
from mrsr_tf.io.archives import File, files_at, is_zip
from mrsr_tf.io.echo_files import first_echo
from mrsr_tf.volume import Volume

SIDECAR = ".json"
HIDDEN = "."  # and what macOS puts beside each file it zips


def holds_nifti(path: Path) -> bool:
    """Whether the path is a zip archive that holds NIfTI."""
    return path.suffix == ".zip" and is_zip(path) and any(_packed_in(path, nifti.ENDINGS))


def read_packed(path: str | Path, *, slice_axis: int = 2) -> Volume:
    """`nifti.read_nifti` of the one image, or the two echoes, in a zip archive.

    nibabel reads files, so these lie in a temporary folder meanwhile.

    Raises:
        InputError: as `read_nifti`, and for an archive of several images or made to swell.
    """
    path = Path(path)
    files = _packed_in(path, (*nifti.ENDINGS, SIDECAR))
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            _unpack(file, Path(folder), path)
        images = [file.name for file in files if not file.name.endswith(SIDECAR)]
        first = [name for name in images if first_echo(Path(folder) / name) is None]
        if len(first) != 1:
            raise InputError(
                f"expected one NIfTI, or one for each echo, in a zip archive, got "
                f"{len(images)}: {path}"
            )
        try:
            return nifti.read_nifti(Path(folder) / first[0], slice_axis=slice_axis)
        except InputError as error:
            raise InputError(str(error).replace(folder, str(path))) from None


def _packed_in(path: Path, endings: tuple[str, ...]) -> list[File]:
    named = [file for file in files_at(path) if not file.name.startswith(HIDDEN)]
    return [file for file in named if file.name.endswith(endings)]


def _unpack(file: File, folder: Path, archive: Path) -> None:
    try:
        with file.open("rb") as packed, (folder / file.name).open("wb") as target:
            shutil.copyfileobj(packed, target)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(
            f"expected a whole zip archive, got a {type(error).__name__} in reading {archive}"
        ) from error
