"""One HTML page that shows a scan and what was derived from it, with T2 and uncertainty over it.

The page states technical facts only: no name, date, path or other text of a header.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from numpy.typing import NDArray

from mrsr_tf import __version__
from mrsr_tf.errors import AlreadyDone, InputError, naming
from mrsr_tf.inference.batch import EXPECTED_ERRORS, Study
from mrsr_tf.inference.upsampling import Method
from mrsr_tf.io import derived_scans
from mrsr_tf.io.scans import Scan
from mrsr_tf.mri.dess import t2_map
from mrsr_tf.mri.t2 import sequence
from mrsr_tf.outputs import check_configuration, output_file
from mrsr_tf.viewing.boxes import GAMMA, Box, box_around
from mrsr_tf.viewing.comparison import Comparison, compare
from mrsr_tf.viewing.facts import facts
from mrsr_tf.viewing.html import environment
from mrsr_tf.viewing.overlays import Overlay, deviation_overlay, t2_overlay
from mrsr_tf.viewing.viewer import Viewer, build_viewer
from mrsr_tf.volume import Volume, intensity_scale

INTERPOLATED, DERIVED = "interpolated", "derived"  # the keys of the two images
SAMPLES = 4 * 416 * 416 * 160  # two images of two echoes of a knee, in full
WHITE = 255
JPEG_QUALITY = 85
OPACITY = 60
DEVIATION_PERCENTILE = 99.9
PART = "Only the middle of the scan is shown, to keep the page small. "
ENDING = ".html"
HEAD = 4096  # characters in which the configuration of a page is found
CONFIGURATION = re.compile(r'<meta name="mrsr-tf" content="(.*?)">')


def write_page(
    scan: Scan,
    fine: Scan,
    path: Path,
    *,
    with_t2: bool = False,
    slice_axis: int = 2,
    overwrite: bool = False,
) -> str:
    """Writes the page; returns a line that sums it up.

    Args:
        scan: thick slices.
        fine: what was derived from it; maps of its uncertainty beside it are shown, too.
        path: the page.
        with_t2: compute T2 of both and show it.
        slice_axis: the slice axis of NIfTI files.
        overwrite: replace a page of other scans or settings.

    Raises:
        AlreadyDone: the same page is there.
        InputError: another file is at `path`, a scan cannot be read, the two do not belong
            together, or have no T2.
    """
    _check_replaceable(path)
    comparison = compare(scan, fine, slice_axis)
    configuration = {
        "version": __version__,
        "scan": comparison.thick.identity,
        "fine": comparison.fine.identity,
        "t2": with_t2,
    }
    if not overwrite:
        _check_unfinished(path, configuration)
    page = environment().get_template("look.html.jinja")
    content = page.render(
        configuration=json.dumps(configuration, allow_nan=False),
        viewer=_viewer(comparison, fine, with_t2, slice_axis),
        facts=facts(comparison),
    )
    with output_file(path) as partial:
        partial.write_text(content, encoding="utf-8")
    return f"{path} ({path.stat().st_size / 1e6:.3g} MB)"


def write_pages(studies: Iterable[Study], **options: Any) -> list[Study]:
    """Writes NAME_look.html beside the output of each study, and prints a line for each.

    `options` are those of `write_page`. A page that fails causes a warning.

    Returns:
        The studies whose page failed.
    """
    failed = []
    for study in studies:
        path = derived_scans.beside(study.output, "_look.html")
        try:
            print(
                write_page(study.source, derived_scans.find_derived(study.output), path, **options)
            )
        except AlreadyDone as done:
            print(done)
        except EXPECTED_ERRORS as error:
            logging.warning("no page to look at %s: %s", study.source, error)
            failed.append(study)
    return failed


def _check_replaceable(path: Path) -> None:
    if path.suffix != ENDING:
        raise InputError(f"expected a name ending in {ENDING} for the page, got {path}")
    if path.exists() and _read_configuration(path) is None:
        raise InputError(f"expected a new name or a page of this command, found another: {path}")


def _check_unfinished(path: Path, configuration: Mapping[str, Any]) -> None:
    if path.exists():
        check_configuration(path, _read_configuration(path) or {}, configuration)
        raise AlreadyDone(path)


def _read_configuration(path: Path) -> dict[str, Any] | None:
    """The configuration of a page; None for anything else."""
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="replace") as stream:
        match = CONFIGURATION.search(stream.read(HEAD))
    return json.loads(html.unescape(match[1])) if match else None


def _viewer(comparison: Comparison, fine: Scan, with_t2: bool, slice_axis: int) -> Viewer:
    volume = comparison.fine
    shape = volume.array.shape[:3]
    box = box_around(volume, tuple(size // 2 for size in shape), 2, SAMPLES)
    images = {INTERPOLATED: comparison.interpolated, DERIVED: volume.array}
    overlays = [_t2(comparison, box, fine)] if with_t2 else []
    overlays += _uncertainties(volume, box, fine, slice_axis)
    is_whole = box.cut(volume.array).size == volume.array.size
    method = comparison.derivation.get("method", Method.MRSR)
    return build_viewer(
        "look",
        {
            INTERPOLATED: "Interpolated",
            DERIVED: "Super-resolved" if method == Method.MRSR else f"Output of {method}",
        },
        {name: box.images(image, WHITE) for name, image in images.items()},
        overlays,
        spacing_mm=box.spacing_mm,
        white=WHITE,
        selected=DERIVED,
        caption=f"{'' if is_whole else PART}Interpolated is the scan with a cubic "
        f"spline along its slices. All images of an echo share one window (gamma {GAMMA:g}); white "
        "is the 99.9th percentile.",
        opacity=OPACITY,
        jpeg_quality=JPEG_QUALITY,
    )


def _t2(comparison: Comparison, box: Box, label: Scan) -> Overlay:
    """T2 of both images where there is tissue."""
    with naming(label):
        parameters: dict[str, Any] = sequence(comparison.fine, label)
    images = {INTERPOLATED: comparison.interpolated, DERIVED: comparison.fine.array}
    tissue = comparison.tissue
    maps = {}
    for name, image in images.items():
        t2_ms = t2_map(image[..., 0], image[..., 1], **parameters)
        maps[name] = box.t2(np.where(tissue, t2_ms, np.nan))
    return t2_overlay(maps)


def _uncertainties(volume: Volume, box: Box, fine: Scan, slice_axis: int) -> Iterator[Overlay]:
    """The maps beside the derived scan."""
    image, t2_ms = derived_scans.read_uncertainty(fine.path, volume, slice_axis)
    if image is not None:
        percent = 100 * image.array / intensity_scale(volume.array)
        yield _deviation("Uncertainty", "% of the scale", percent, box)
    if t2_ms is not None:
        yield _deviation("T2 uncertainty", "ms", t2_ms[..., None], box)


def _deviation(name: str, unit: str, values: NDArray[np.floating], box: Box) -> Overlay:
    """An overlay of (rows, cols, slices, echoes), or one echo for all."""
    values = np.nan_to_num(np.moveaxis(box.cut(values), 3, 0))
    longest = float(np.percentile(values, DEVIATION_PERCENTILE)) or 1.0
    levels = np.rint(255 * np.clip(values / longest, 0, 1)).astype(np.uint8)
    return deviation_overlay(name, unit, longest, {DERIVED: levels})
