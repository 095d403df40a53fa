"""The acquisition beside an image that cannot carry it: NAME.json beside NAME.nii.gz.

BIDS names (EchoTime in seconds, a list for two echoes; RepetitionTime in seconds; FlipAngle in
degrees; SliceThickness in mm) and four of our own: SpoilerArea (as GE stores it),
SpoilerDurationUs, SliceAxis, and Derivation of a derived scan.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume

DERIVATION = "Derivation"
# No scan exceeds these; milliseconds taken for seconds do.
LARGEST = {"EchoTime": 1, "RepetitionTime": 20, "FlipAngle": 360}
ENDINGS = (".gz", ".nii", ".h5")


def sidecar_path(path: str | Path) -> Path:
    """NAME.json of NAME.nii, NAME.nii.gz or NAME.h5."""
    path = Path(path)
    name = path.name
    for ending in ENDINGS:
        name = name.removesuffix(ending)
    return path.with_name(name + ".json")


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The sidecar of the image at `path`; empty where there is none.

    Raises:
        InputError: it is there, but is no JSON object.
    """
    beside = sidecar_path(path)
    if not beside.exists():
        return {}
    try:
        sidecar = json.loads(beside.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        sidecar = None
    if not isinstance(sidecar, dict):
        raise InputError(f"expected a JSON object, got something else in {beside}")
    return sidecar


def acquisition(sidecar: Mapping[str, Any], beside: Path, *, echoes: int) -> dict[str, Any]:
    """What a sidecar tells, as keyword arguments of `Volume`.

    Args:
        sidecar: its content.
        beside: where it lies, for messages.
        echoes: how many the image has.

    Raises:
        InputError: a value is no number of its unit, or the echo times are not as many as echoes.
    """
    times = sidecar.get("EchoTime")
    if times is not None:
        times = [_number("EchoTime", time, beside) for time in np.ravel(times).tolist()]
        if len(times) != echoes or times != sorted(times):
            advice = ': write "EchoTime": [TE1, TE2], in seconds' if echoes == 2 else ""
            raise InputError(
                f"expected {echoes} EchoTime in ascending order, as many as echoes, got {times} "
                f"in {beside}{advice}"
            )
        times = tuple(_ms(time) for time in times)
    repetition_time, flip, area, duration, thickness = (
        None if sidecar.get(key) is None else _number(key, sidecar[key], beside)
        for key in "RepetitionTime FlipAngle SpoilerArea SpoilerDurationUs SliceThickness".split()
    )
    return {
        "echo_times_ms": times,
        "repetition_time_ms": None if repetition_time is None else _ms(repetition_time),
        "flip_angle_deg": flip,
        "spoiler_area": area,
        "spoiler_duration_us": duration,
        "slice_thickness_mm": thickness,
        "derived": DERIVATION in sidecar,
    }


def described(volume: Volume) -> dict[str, Any]:
    """The same the other way: what of a volume a sidecar tells."""
    times = volume.echo_times_ms and [round(time / 1000, 9) for time in volume.echo_times_ms]
    repetition_time = volume.repetition_time_ms and round(volume.repetition_time_ms / 1000, 9)
    told = {
        "EchoTime": times[0] if times and len(times) == 1 else times,
        "RepetitionTime": repetition_time,
        "FlipAngle": volume.flip_angle_deg,
        "SpoilerArea": volume.spoiler_area,
        "SpoilerDurationUs": volume.spoiler_duration_us,
        "SliceThickness": None if volume.derived else volume.slice_thickness_mm,
    }
    return {key: value for key, value in told.items() if value is not None}


def _number(key: str, value: Any, beside: Path) -> float:
    largest = LARGEST.get(key, np.inf)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= largest:
        unit = "seconds" if "Time" in key else "a number"
        raise InputError(f"expected {key} in {unit} above 0, got {value!r} in {beside}")
    return float(value)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 6)  # 0.00748 s are 7.48 ms, not 7.4799999999999995
