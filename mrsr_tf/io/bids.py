"""BIDS: JSON sidecars of images, and the sub- and echo- entities in their names.

A sidecar, NAME.json beside NAME.nii.gz, holds the acquisition that the image cannot carry. It has
BIDS keys (EchoTime in seconds, a list for two echoes; RepetitionTime in seconds; FlipAngle in
degrees; SliceThickness in mm) and four of this package: SpoilerArea (as GE stores it),
SpoilerDurationUs, SliceAxis, and Derivation of a derived scan.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume

DERIVATION = "Derivation"
# No scan exceeds these; values in milliseconds do.
LARGEST = {"EchoTime": 1, "RepetitionTime": 20, "FlipAngle": 360}
ECHO = r"(^|_)echo-(0*){}(?=[_.])"
# The deepest path is sub-01/ses-1/anat/sub-01_ses-1_qdess.nii.gz.
SUBJECT, DEPTH = re.compile(r"(?:^|_)(sub-[A-Za-z0-9]+)"), 4


def sidecar_path(path: str | Path) -> Path:
    """NAME.json for NAME.nii, NAME.nii.gz or NAME.h5."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The sidecar of the image at `path`; empty if there is none.

    Raises:
        InputError: the sidecar is not a JSON object.
    """
    file = sidecar_path(path)
    if not file.exists():
        return {}
    try:
        sidecar = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        sidecar = None
    if not isinstance(sidecar, dict):
        raise InputError(f"expected a JSON object, got something else in {file}")
    return sidecar


def acquisition(sidecar: Mapping[str, Any], file: Path, *, echoes: int) -> dict[str, Any]:
    """The acquisition in a sidecar, whose path is `file`, as keyword arguments of `Volume`.

    Raises:
        InputError: a value is not a number of its unit, or there are more or fewer echo times than
            echoes.
    """
    tr, flip_deg, area, duration_us, thickness_mm = (
        None if sidecar.get(key) is None else _number(key, sidecar[key], file)
        for key in "RepetitionTime FlipAngle SpoilerArea SpoilerDurationUs SliceThickness".split()
    )
    return {
        "echo_times_ms": _echo_times_ms(sidecar.get("EchoTime"), file, echoes),
        "repetition_time_ms": None if tr is None else _ms(tr),
        "flip_angle_deg": flip_deg,
        "spoiler_area": area,
        "spoiler_duration_us": duration_us,
        "slice_thickness_mm": thickness_mm,
        "derived": DERIVATION in sidecar,
    }


def acquisition_sidecar(volume: Volume) -> dict[str, Any]:
    """The acquisition of a volume as a sidecar has it; the inverse of `acquisition`."""
    times = volume.echo_times_ms and [round(time / 1000, 9) for time in volume.echo_times_ms]
    sidecar = {
        "EchoTime": times[0] if times and len(times) == 1 else times,
        "RepetitionTime": volume.repetition_time_ms and round(volume.repetition_time_ms / 1000, 9),
        "FlipAngle": volume.flip_angle_deg,
        "SpoilerArea": volume.spoiler_area,
        "SpoilerDurationUs": volume.spoiler_duration_us,
        "SliceThickness": None if volume.derived else volume.slice_thickness_mm,
    }
    return {key: value for key, value in sidecar.items() if value is not None}


def subject_entity(path: Path) -> str | None:
    """The last sub-<label> in the name of an image or of the folders it is in; None without any."""
    matches = [SUBJECT.search(name) for name in path.absolute().parts[-DEPTH:]]
    return next((match[1] for match in reversed(matches) if match), None)


def second_echo(path: Path) -> Path | None:
    """NAME_echo-2.nii.gz for NAME_echo-1.nii.gz if it exists; else None."""
    return _other_echo(path, 1, 2)


def first_echo(path: Path) -> Path | None:
    """NAME_echo-1.nii.gz for NAME_echo-2.nii.gz if it exists; else None."""
    return _other_echo(path, 2, 1)


def without_echo(name: str) -> str:
    """NAME.nii.gz for NAME_echo-1.nii.gz; other names unchanged."""
    return re.sub(ECHO.format(1), "", name) or name


def _other_echo(path: Path, this: int, other: int) -> Path | None:
    name = re.sub(ECHO.format(this), rf"\1echo-\g<2>{other}", path.name)
    other_path = path.with_name(name)
    return other_path if name != path.name and other_path.exists() else None


def _echo_times_ms(value: Any, file: Path, echoes: int) -> tuple[float, ...] | None:
    if value is None:
        return None
    times = [_number("EchoTime", time, file) for time in np.ravel(value).tolist()]
    if len(times) != echoes or times != sorted(times):
        advice = ': write "EchoTime": [TE1, TE2], in seconds' if echoes == 2 else ""
        raise InputError(
            f"expected {echoes} EchoTime in ascending order, as many as echoes, got {times} "
            f"in {file}{advice}"
        )
    return tuple(_ms(time) for time in times)


def _number(key: str, value: Any, file: Path) -> float:
    largest = LARGEST.get(key, np.inf)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= largest:
        unit = "seconds" if "Time" in key else "a number"
        raise InputError(f"expected {key} in {unit} above 0, got {value!r} in {file}")
    return float(value)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 6)  # 0.00748 s are 7.48 ms, not 7.4799999999999995
