"""NIfTI in a zip archive: one image with both echoes, or one for each, and their sidecars."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from mrsr_tf.errors import InputError
from mrsr_tf.io import nifti
from mrsr_tf.io.archives import File, files_at, is_zip
from mrsr_tf.io.bids import first_echo
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.volume import Volume

SIDECAR = ".json"
HIDDEN = "."  # also the names of the files that macOS adds to an archive


@dataclass(frozen=True)
class ZippedNifti(nifti.NiftiDerived):
    """One NIfTI image, or one for each echo, in a zip archive."""

    name, endings = "zipped NIfTI", (".zip",)

    def matches(self, path: Path) -> bool:
        """Whether it is a zip archive that holds NIfTI."""
        try:
            return path.suffix == ".zip" and is_zip(path) and any(_files_in(path, nifti.ENDINGS))
        except InputError:  # unreadable, whatever it holds
            return False

    def read(self, path: Path, slice_axis: int = 2) -> Volume:
        """Reads the image, or both echoes, in the archive."""
        return read_zipped(path, slice_axis=slice_axis)


def read_zipped(path: str | Path, *, slice_axis: int = 2) -> Volume:
    """`nifti.read_nifti` of the one image, or the two echoes, in a zip archive.

    nibabel reads files, so the images are unpacked into a temporary folder.

    Raises:
        InputError: as `read_nifti`, or the archive has several images or is a decompression bomb.
    """
    path = Path(path)
    files = _files_in(path, (*nifti.ENDINGS, SIDECAR))
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            with refuse_damaged(path, "a whole zip archive"):
                content = file.read_bytes()
            (Path(folder) / file.name).write_bytes(content)
        images = [Path(folder) / file.name for file in files if not file.name.endswith(SIDECAR)]
        first = [image for image in images if first_echo(image) is None]
        if len(first) != 1:
            raise InputError(
                f"expected one NIfTI, or one for each echo, in a zip archive, got "
                f"{len(images)}: {path}"
            )
        try:
            return nifti.read_nifti(first[0], slice_axis=slice_axis)
        except InputError as error:
            raise InputError(str(error).replace(folder, str(path))) from None


def _files_in(path: Path, endings: tuple[str, ...]) -> list[File]:
    visible = [file for file in files_at(path) if not file.name.startswith(HIDDEN)]
    return [file for file in visible if file.name.endswith(endings)]
