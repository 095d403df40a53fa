"""Which NIfTI files are one scan: an image for each echo, without the phase images beside them.

What tells the echoes of a scan apart is, in this order, echo-1 and echo-2 in names of BIDS;
sidecars of one series, as dcm2niix writes them, whatever the names; and without sidecars the
names NAME_e1 and NAME_e2 of dcm2niix, whose first may be only NAME.
"""

import os
import re
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.io import bids
from mrsr_tf.io.dess_series import NAMES
from mrsr_tf.io.dicom.complex_part import PART_OF_TYPE
from mrsr_tf.io.scan_format import Chosen
from mrsr_tf.io.sidecar import echo_times, is_slow, read_valid_keys
from mrsr_tf.mri.dess import is_dess_timing

ENDINGS = (".nii.gz", ".nii", ".hdr")
DCM2NIIX_ECHO = re.compile(r"_e(\d+)(?=_|$)")
ECHO_TOKEN = r"e\d+|echo-\d+|{}"  # of dcm2niix, of BIDS, and the number alone
DCM2NIIX_PART = re.compile(r"_(ph|real|imaginary)[a-z]?$")  # the magnitude is without it
OTHER_PARTS = {value for value, part in PART_OF_TYPE.items() if part != "magnitude"}
PARTS = {"phase", "real", "imag"}
# Suffixes of BIDS. A DESS has none of its own: it is named freely, or MEGRE.
OTHER_SEQUENCES = frozenset(
    "T1w T2w PDw T2starw FLAIR inplaneT1 inplaneT2 PDT2 UNIT1 angio bold sbref dwi asl MESE VFA "
    "IRT1 MP2RAGE MPM MTS MTR T1map T2map T2starmap R1map R2map R2starmap PDmap MTRmap".split()
)
PROTOCOL = "SeriesDescription RepetitionTime FlipAngle SliceThickness".split()


@dataclass(frozen=True, eq=False)
class EchoFile:
    """One NIfTI file, with what its name and its sidecar say about the echo in it."""

    path: Path

    @cached_property
    def sidecar(self) -> dict[str, Any]:
        """Its valid keys; the others are an error when this file is read."""
        return read_valid_keys(self.path)

    @property
    def entity(self) -> int | None:
        """The number in echo-1 of BIDS."""
        number = bids.entities(self.path).get("echo", "")
        return int(number) if number.isdecimal() else None

    @property
    def number(self) -> int | None:
        """The number of the echo by the sidecar, else in NAME_e1 of dcm2niix."""
        named = DCM2NIIX_ECHO.search(bids.stem(self.path))
        return self.sidecar.get("EchoNumber") or (int(named[1]) if named else None)

    @property
    def stem(self) -> str:
        """The name without what tells echoes apart: echo-1, e1, or the number in the sidecar."""
        number = self.sidecar.get("EchoNumber", "")
        tokens = bids.stem(self.path).split("_")
        return "_".join(
            token for token in tokens if not re.fullmatch(ECHO_TOKEN.format(number), token)
        )

    @property
    def series(self) -> Hashable:
        """What identifies its series; None if the sidecar does not."""
        values = tuple(self.sidecar.get(key) for key in ("SeriesNumber", "AcquisitionTime"))
        return self.sidecar.get("SeriesInstanceUID") or (None if None in values else values)

    @property
    def protocol(self) -> Hashable:
        """What two echoes of one scan share if they are no series by what identifies one."""
        start = re.split(r"[^A-Za-z0-9]", bids.stem(self.path))[0]
        return (start, *(self.sidecar.get(key) for key in PROTOCOL))

    @property
    def numbered_protocol(self) -> Hashable:
        """The same with the number of the series, which tells repeats apart."""
        return (self.protocol, self.sidecar.get("SeriesNumber"))

    @property
    def says_echo(self) -> bool:
        """Whether the sidecar says that the image is one echo."""
        return len(echo_times(self.sidecar)) == 1 or "EchoNumber" in self.sidecar

    @property
    def order(self) -> tuple[float, int]:
        """By which the echoes of one series are sorted; dcm2niix may not number the first."""
        times = echo_times(self.sidecar)
        return (times[0] if times else 0.0, self.number or 1)

    @property
    def is_magnitude(self) -> bool:
        """Whether nothing says that it is phase, or the real or imaginary part."""
        image_type = self.sidecar.get("ImageType", [])
        types = {image_type} if isinstance(image_type, str) else {*image_type}
        return bids.entities(self.path).get("part") not in PARTS and not types & OTHER_PARTS


@dataclass(frozen=True, eq=False)
class EchoGroup:
    """The files of one scan, by ascending echo; one file may have all echoes."""

    files: tuple[EchoFile, ...]

    @property
    def paths(self) -> list[Path]:
        """The files of the scan; the first is that by which the scan is known."""
        return [file.path for file in self.files]

    @property
    def name(self) -> str:
        """What the names of the files have in common, without ending."""
        names = [bids.stem(path) for path in self.paths]
        first, *others = [name.split("_") for name in names]
        common = [token for token in first if all(token in other for other in others)]
        same = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
        return "_".join(common) or "".join(letter for letter, *_ in same).rstrip("-.") or names[0]

    @property
    def echo_times_ms(self) -> list[float]:
        """Those in the sidecars of all files."""
        return [1000 * time for file in self.files for time in echo_times(file.sidecar)]

    @property
    def tr_ms(self) -> float | None:
        """The repetition time in the sidecar of the first file."""
        tr = self.files[0].sidecar.get("RepetitionTime")
        return None if tr is None else 1000 * tr

    @property
    def is_dess(self) -> bool:
        """Whether a name says so, or the times do, which no other sequence has."""
        sidecar = self.files[0].sidecar
        names = [self.name, *(str(sidecar.get(key)) for key in NAMES)]
        return self.has_dess_times or any("DESS" in name.upper() for name in names)

    @property
    def has_dess_times(self) -> bool:
        """Whether the sidecars have the times of both echoes of a DESS."""
        return is_dess_timing(self.echo_times_ms, self.tr_ms)

    @property
    def other_sequence(self) -> str:
        """Why it is no DESS in a few words; "" if it may be one."""
        if self.is_dess:
            return ""
        if len(self.files) > 2:
            return f"{len(self.files)} echoes"
        if is_slow(self.files[0].sidecar):
            return f"TR {self.tr_ms:g} ms"
        if self.tr_ms and len(self.echo_times_ms) > 1:
            return f"TE {' and '.join(f'{time:g}' for time in self.echo_times_ms)} ms"
        suffix = bids.suffix(self.paths[0])
        return suffix if suffix in OTHER_SEQUENCES else ""

    @property
    def repeat(self) -> Hashable:
        """What tells it from a repeat of the same scan: its series, or the entities of BIDS."""
        file = self.files[0]
        entities = bids.entities(file.path)
        return file.sidecar.get("SeriesNumber") or (file.stem if "sub" in entities else None)

    @property
    def is_told_apart(self) -> bool:
        """Whether BIDS names or sidecars say which echo is which, and not only names."""
        return all(file.entity is not None or file.says_echo for file in self.files)

    @property
    def is_described(self) -> bool:
        """Whether the sidecar names the sequence."""
        return any(key in self.files[0].sidecar for key in NAMES)


def group_of(path: Path) -> EchoGroup:
    """The scan whose first file is `path`, with those of the folder that are its other echoes.

    Another echo than the first is a scan by itself, if it is asked for.

    Raises:
        InputError: the scan has more than two echoes.
    """
    file = EchoFile(path)
    may_be_part = file.entity is not None or file.number is not None or file.says_echo
    if not may_be_part or not path.exists():
        return EchoGroup((file,))
    groups = _groups_in(path.parent, _state(path.parent))
    group = groups.get(path, EchoGroup((file,)))
    if len(group.files) > 2:
        names = ", ".join(path.name for path in group.paths)
        raise InputError(
            f"expected one or two echoes, got {len(group.files)}: {names} in {path.parent}"
        )
    return group if path == group.paths[0] else EchoGroup((file,))


def group_echoes(paths: Sequence[Path]) -> list[EchoGroup]:
    """The scans among some NIfTI files of one folder, in the order of their names."""
    rest = [EchoFile(path) for path in sorted(paths)]
    groups = []
    for rule in RULES:
        together: dict[Hashable, list[EchoFile]] = {}
        for file in rest:
            if (key := rule.key(file)) is not None:
                together.setdefault((key, file.is_magnitude), []).append(file)
        echoes = [sorted(files, key=rule.order) for files in together.values()]
        groups += [EchoGroup(tuple(files)) for files in echoes if rule.are_one_scan(files)]
        rest = [file for file in rest if not any(file in group.files for group in groups)]
    groups += [EchoGroup((file,)) for file in rest]
    return sorted(groups, key=lambda group: group.paths[0])


def choose_scans(paths: Sequence[Path]) -> Chosen:
    """The scans among the NIfTI files of one folder, each by the path of its first file.

    Phase images are left out, scans that cannot be a DESS and, beside one that is a DESS, those
    whose sidecar describes another sequence.

    Raises:
        InputError: there are scans, and none of them can be a DESS.
    """
    groups = group_echoes(paths)
    scans = [group for group in groups if not _is_part(group.files[0], paths)]
    may_be_dess = [scan for scan in scans if not scan.other_sequence]
    if scans and not may_be_dess:
        names = ", ".join(f"{scan.name} ({scan.other_sequence})" for scan in scans)
        raise InputError(f"expected a DESS, got {names} in {paths[0].parent}")
    if any(scan.is_dess for scan in may_be_dess):
        may_be_dess = [scan for scan in may_be_dess if scan.is_dess or not scan.is_described]
    left_out = [path.name for group in groups if group not in may_be_dess for path in group.paths]
    return Chosen([scan.paths[0] for scan in may_be_dess], left_out)


@lru_cache(maxsize=4)
def _groups_in(folder: Path, state: Hashable) -> dict[Path, EchoGroup]:
    """The scan of each NIfTI file in a folder, whose `state` tells whether it is still the same."""
    groups = group_echoes([path for path in folder.iterdir() if _is_finished_image(path)])
    return {path: group for group in groups for path in group.paths}


def _state(folder: Path) -> Hashable:
    with os.scandir(folder) as entries:
        return tuple(
            (entry.name, entry.stat().st_mtime_ns if entry.name.endswith(".json") else 0)
            for entry in entries
            if not entry.name.endswith(".json") or entry.is_file()
        )


def _is_finished_image(path: Path) -> bool:
    is_unfinished = path.name.startswith((".", "partial."))
    return path.name.lower().endswith(ENDINGS) and not is_unfinished


def _is_part(file: EchoFile, paths: Sequence[Path]) -> bool:
    """Whether it is phase, or a real or imaginary part, by its sidecar or by the file beside it."""
    name = bids.stem(file.path)
    magnitude = DCM2NIIX_PART.sub("", name)
    return not file.is_magnitude or (
        magnitude != name and any(bids.stem(path) == magnitude for path in paths)
    )


@dataclass(frozen=True)
class _Rule:
    """One way to tell which files are echoes of one scan.

    Attributes:
        key: what echoes of one scan share; None for a file to which the rule does not apply.
        order: what sorts the echoes, and differs between them.
        by_times: whether the echo times must also be those of a DESS.
    """

    key: Callable[[EchoFile], Hashable]
    order: Callable[[EchoFile], Any]
    by_times: bool = False

    def are_one_scan(self, files: Sequence[EchoFile]) -> bool:
        """Whether files that share the key are the echoes of one scan."""
        has_times = not self.by_times or EchoGroup(tuple(files)).has_dess_times
        return has_times and 1 < len(files) == len({self.order(file) for file in files})


def _if_echo(key: Callable[[EchoFile], Hashable]) -> Callable[[EchoFile], Hashable]:
    """The key of files whose sidecar says that they are one echo."""
    return lambda file: key(file) if file.says_echo else None


BY_ORDER = attrgetter("order")
RULES = (
    _Rule(lambda file: None if file.entity is None else file.stem, attrgetter("entity")),
    _Rule(_if_echo(attrgetter("series")), BY_ORDER),
    _Rule(_if_echo(attrgetter("stem")), BY_ORDER),
    _Rule(_if_echo(attrgetter("numbered_protocol")), BY_ORDER, by_times=True),
    _Rule(_if_echo(attrgetter("protocol")), BY_ORDER, by_times=True),  # a series for each echo
    _Rule(lambda file: None if file.number is None else file.stem, BY_ORDER),
)
