"""JSON sidecars: the acquisition that an image cannot carry, in a file beside it.

NAME.json beside NAME.nii.gz has BIDS keys (EchoTime in seconds, a list for two echoes;
RepetitionTime in seconds; FlipAngle in degrees; SliceThickness in mm), those by which dcm2niix
tells images apart, and four of this package: SpoilerArea (as GE stores it), SpoilerDurationUs,
SliceAxis, and Derivation of a derived scan.
"""

import reprlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mrsr_tf.errors import InputError
from mrsr_tf.io import bids
from mrsr_tf.io.json_object import read_object
from mrsr_tf.mri.dess import LONGEST_TR_MS
from mrsr_tf.volume import Volume

DERIVATION = "Derivation"
SMALLEST = 1e-6


class Field(NamedTuple):
    """What a key of a sidecar may hold, in words and as a test."""

    expected: str
    holds: Callable[[Any], bool]


def _number(unit: str, largest: float) -> Field:
    """A number that no scan exceeds, while values in another unit often do."""

    def holds(value: Any) -> bool:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return is_number and SMALLEST <= value <= largest

    return Field(f"{unit} from {SMALLEST:g} to {largest:g}", holds)


def _list_of(field: Field, *, alone: bool = False) -> Field:
    """A list of values of a field, which may also stand `alone`."""

    def holds(value: Any) -> bool:
        in_list = isinstance(value, list) and bool(value) and all(map(field.holds, value))
        return in_list or (alone and field.holds(value))

    return Field(field.expected if alone else f"a list of {field.expected}", holds)


def _of_type(expected: str, *types: type) -> Field:
    return Field(expected, lambda value: isinstance(value, types) and not isinstance(value, bool))


TEXT, LABEL = _of_type("text", str), _of_type("text or a number", str, int, float)
# Null means that a key is absent.
SCHEMA = {
    "EchoTime": _list_of(_number("in seconds", 1), alone=True),
    "RepetitionTime": _number("in seconds", 20),
    "FlipAngle": _number("in degrees", 360),
    "SliceThickness": _number("in mm", 100),
    "SpacingBetweenSlices": _number("in mm", 100),
    "SpoilerArea": _number("as GE stores it", 1e6),
    "SpoilerDurationUs": _number("in microseconds", 1e6),
    "SliceAxis": Field("0, 1 or 2", lambda value: type(value) is int and value in (0, 1, 2)),
    DERIVATION: _of_type("as a JSON object", dict),
    "EchoNumber": Field("a whole number above 0", lambda value: type(value) is int and value > 0),
    "ImageType": _list_of(TEXT, alone=True),
    "SeriesInstanceUID": TEXT,
    "SeriesNumber": LABEL,
    "AcquisitionTime": LABEL,
    "SeriesDescription": TEXT,
    "ProtocolName": TEXT,
    "SequenceName": TEXT,
}


def sidecar_path(path: str | Path) -> Path:
    """NAME.json for NAME.nii, NAME.nii.gz, NAME.hdr or NAME.h5."""
    path = Path(path)
    name = path.name[:-3] if path.suffix.lower() == ".gz" else path.name
    return path.with_name(name).with_suffix(".json")


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The sidecar of the image at `path`, without keys that are null; empty if there is none.

    In a BIDS dataset it adds to, and replaces, the keys of those in the folders above.

    Raises:
        InputError: the sidecar is not a JSON object, or a key holds another kind of value than
            `SCHEMA` says.
    """
    sidecar: dict[str, Any] = {}
    for file in _files(path):
        content = read_object(file)
        for key, field in SCHEMA.items():
            if content.get(key) is not None and not field.holds(content[key]):
                value = reprlib.repr(content[key])
                raise InputError(f"expected {key} {field.expected}, got {value} in {file}")
        sidecar |= content
    return {key: value for key, value in sidecar.items() if value is not None}


def read_valid_keys(path: Path) -> dict[str, Any]:
    """Those keys of a sidecar that hold what they may; empty if it is missing or unreadable."""
    sidecar: dict[str, Any] = {}
    for file in _files(path):
        with suppress(InputError):
            sidecar |= read_object(file)
    values = {key: sidecar[key] for key in SCHEMA if key in sidecar}
    return {key: value for key, value in values.items() if SCHEMA[key].holds(value)}


def _files(path: str | Path) -> list[Path]:
    """The sidecar of an image, after those that it inherits in a BIDS dataset."""
    names = sidecar_path(path), sidecar_path(path).with_suffix(".JSON")
    own = [name for name in names if name.is_file() or name.is_symlink()]  # also a broken link
    return [*bids.inherited_sidecars(Path(path)), *own[:1]]


def acquisition(sidecar: Mapping[str, Any], file: Path, *, echoes: int) -> dict[str, Any]:
    """The acquisition in a sidecar, whose path is `file`, as keyword arguments of `Volume`.

    Raises:
        InputError: there are more or fewer echo times than echoes, they do not ascend, or the
            repetition time is too long for a steady state.
    """
    tr = sidecar.get("RepetitionTime")
    if is_slow(sidecar):
        raise InputError(
            f"expected RepetitionTime of a DESS, at most {LONGEST_TR_MS:g} ms, got {tr} s in {file}"
        )
    return {
        "echo_times_ms": _echo_times_ms(echo_times(sidecar), file, echoes),
        "repetition_time_ms": None if tr is None else _ms(tr),
        "flip_angle_deg": _float(sidecar.get("FlipAngle")),
        "spoiler_area": _float(sidecar.get("SpoilerArea")),
        "spoiler_duration_us": _float(sidecar.get("SpoilerDurationUs")),
        "slice_thickness_mm": _float(sidecar.get("SliceThickness")),
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


def echo_times(sidecar: Mapping[str, Any]) -> list[float]:
    """The echo times in a sidecar, in seconds; empty if there are none."""
    value = sidecar.get("EchoTime", [])
    return value if isinstance(value, list) else [value]


def is_slow(sidecar: Mapping[str, Any]) -> bool:
    """Whether pulses are too far apart for a steady state, as in most sequences but DESS."""
    return 1000 * sidecar.get("RepetitionTime", 0) > LONGEST_TR_MS


def _echo_times_ms(times: list[float], file: Path, echoes: int) -> tuple[float, ...] | None:
    if not times:
        return None
    if len(times) != echoes or times != sorted(set(times)):
        advice = ': write "EchoTime": [TE1, TE2], in seconds' if echoes == 2 else ""
        raise InputError(
            f"expected {echoes} EchoTime in ascending order, as many as echoes, got {times} "
            f"in {file}{advice}"
        )
    return tuple(_ms(time) for time in times)


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 6)  # 0.00748 s are 7.48 ms, not 7.4799999999999995
