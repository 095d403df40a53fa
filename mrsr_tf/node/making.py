"""A received study to the images that go back: its DESS with finer slices, and their T2."""

import json
import os
from pathlib import Path
from typing import Any

from mrsr_tf import __version__
from mrsr_tf.errors import InputError
from mrsr_tf.inference.domain_check import out_of_range
from mrsr_tf.inference.methods import choose_upsampler
from mrsr_tf.inference.upsampling import Upsampler
from mrsr_tf.io import dicom, scans
from mrsr_tf.mri.dess import T2Method
from mrsr_tf.mri.t2 import CARTILAGE_T1_MS, scan_t2
from mrsr_tf.node.choosing import dess_scans
from mrsr_tf.node.settings import Settings
from mrsr_tf.node.spool import digest
from mrsr_tf.volume import Volume


def upsampler_of(settings: Settings) -> Upsampler:
    """The upsampler that the settings ask for; `InputError` if its model cannot be loaded."""
    return choose_upsampler(
        settings.method, model=settings.model, slice_factor=settings.slice_factor
    )


def choose(study: Path, folder: Path, *, largest_bytes: int) -> tuple[list[Path], list[str]]:
    """Links each DESS of a study into a folder of its own.

    Args:
        study: a folder of images for each series.
        folder: where to, on the same file system.
        largest_bytes: as for `dess_scans`.

    Returns:
        A folder for each scan, and what there is to say of the rest.

    Raises:
        InputError: a series that is called a DESS cannot be read, or a scan is too large.
    """
    series = sorted(entry for entry in study.iterdir() if entry.is_dir())
    found = dess_scans(series, largest_bytes=largest_bytes)
    chosen = []
    for number, parts in enumerate(found, 1):
        scan = folder / f"scan{number}"
        for part in parts:
            (scan / part.name).mkdir(parents=True)
            for image in part.iterdir():
                os.link(image, scan / part.name / image.name)
        chosen.append(scan)
    others = len(series) - sum(map(len, found))
    return chosen, [f"{others} other series left alone"] if others else []


def identity(chosen: list[Path], upsampler: Upsampler) -> str:
    """What the same scans, made in the same way, have in common, and no others."""
    how = json.dumps({"version": __version__, **upsampler.derivation}, sort_keys=True)
    return digest(how, *sorted(dicom.source_digest(scan) for scan in chosen))


def make(scan: Path, output: Path, upsampler: Upsampler) -> list[str]:
    """Writes the derived series of one scan: one for each echo, and the T2 map where there is one.

    Args:
        scan: a folder of one scan's images.
        output: the folder to write into.
        upsampler: the method.

    Returns:
        What there is to say: what is unlike the training, and why there is no T2 map.

    Raises:
        InputError: it is no whole scan, or is not for this way.
    """
    thick = scans.read_scan(scan)
    result = upsampler(thick, scan.name)
    derivation: dict[str, Any] = {"version": __version__, **upsampler.derivation}
    how: dict[str, Any] = derivation | result.residuals
    dicom.write_series(result.volume, output / scan.name, like=scan, derivation=how)
    findings = out_of_range(thick, upsampler.card, upsampler.factor)
    return findings + _write_t2(result.volume, scan, output, derivation)


def _write_t2(fine: Volume, scan: Path, output: Path, derivation: dict[str, Any]) -> list[str]:
    try:
        t2_ms, parameters = scan_t2(
            fine, method=T2Method.ANALYTIC, t1_ms=CARTILAGE_T1_MS, label=scan.name
        )
    except InputError as error:
        return [f"no T2 map: {error}"]
    how = {**derivation, "t2_method": parameters.pop("method"), **parameters}
    dicom.write_t2_map(t2_ms, fine, output / f"{scan.name}_t2", like=scan, derivation=how)
    unknown = "spoiler_area" not in parameters
    return ["T2 without diffusion: the spoiler is unknown"] if unknown else []
