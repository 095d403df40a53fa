"""Which series of a study are a DESS: one series with both echoes, two of one each, or one echo.

A DESS is known by its echo times, which no other sequence has, or by its name in the header. Only
headers are needed; a header is a mapping from keywords to values, where a sequence is a list of
headers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from mrsr_tf.io.header_numbers import positive
from mrsr_tf.mri.dess import LONGEST_TR_MS, is_dess_timing

Header = Mapping[str, Any]
NAMES = "SeriesDescription ProtocolName SequenceName".split()
MATRIX = "Rows Columns".split()
PLACE = "FrameOfReferenceUID StudyInstanceUID".split()
# The attributes that count here, of the first image of a series and of each.
OF_SERIES = (
    *NAMES, *MATRIX, *PLACE,
    "Modality", "ImageType", "RepetitionTime", "AcquisitionTime", "SeriesNumber",
)  # fmt: skip
OF_IMAGE = ("EchoNumbers", "EchoTime")
SAME_ECHO_MS = 0.02  # headers of one echo may print its time with differing last digits


@dataclass(frozen=True, eq=False)
class _Series:
    """An MR series, which may be a DESS or one echo of it."""

    name: str
    images: int
    image_type: str
    called_dess: bool
    matrix: tuple[str, ...]
    frame: str
    study: str
    echo_times_ms: tuple[float, ...]
    echo_numbers: tuple[float, ...]
    tr_ms: float | None

    @property
    def has_echoes(self) -> bool:
        """Whether it has several echoes."""
        return len(self.echo_times_ms or self.echo_numbers) > 1


def dess_scans(
    study: Mapping[str, list[Header]], *, derived: bool = False
) -> list[tuple[str, ...]]:
    """Finds the DESS scans of a study: the names of the series that each consists of.

    Derived series, unless `derived`, maps and other modalities are left out. `study` holds the
    headers of the images of each series, by a name for the series.
    """
    candidates = [
        series
        for series in _candidates(study)
        if "MAP" not in series.image_type and (derived or "DERIVED" not in series.image_type)
    ]
    whole = [series for series in candidates if series.has_echoes and _is_dess(series)]
    single = [series for series in candidates if not series.has_echoes]
    by_timing, single = _pairs(single, _have_timing)
    by_name, single = _pairs(single, _are_called_dess)
    whole += [series for series in single if series.called_dess]
    scans = [*((series,) for series in whole), *by_timing, *by_name]
    return [tuple(series.name for series in scan) for scan in scans]


def could_be_dess(study: Mapping[str, list[Header]]) -> bool:
    """Whether all series together could be one DESS although neither name nor timing says so.

    One series of one echo could, and two echoes whose times are unknown. What is repeated after
    more than a second could not.
    """
    candidates = _candidates(study)
    tr_ms = max((series.tr_ms or 0 for series in candidates), default=0)
    is_one_grid = len({(series.frame, series.matrix) for series in candidates}) == 1
    if not is_one_grid or len(candidates) > 2 or tr_ms > LONGEST_TR_MS:
        return False
    times = _distinct(time for series in candidates for time in series.echo_times_ms)
    if len(times) < 2:
        return len(candidates) == 1 or not times
    return len(times) == 2 and not tr_ms


def is_derived(header: Header) -> bool:
    """Whether a series was computed from another one, by its ImageType."""
    return "DERIVED" in str(header.get("ImageType"))


def _candidates(study: Mapping[str, list[Header]]) -> list[_Series]:
    """The MR series in the order of their acquisition, in which the echoes of one scan follow."""
    in_order = sorted(study.items(), key=lambda item: _order(item[1][0]))
    return [
        _series(name, headers) for name, headers in in_order if headers[0].get("Modality") == "MR"
    ]


def _order(header: Header) -> tuple[str, float]:
    return str(header.get("AcquisitionTime") or ""), positive(header.get("SeriesNumber")) or 0


def _series(name: str, headers: list[Header]) -> _Series:
    first, tr_ms = headers[0], next(_numbers(headers, "RepetitionTime"), None)
    names = " ".join(str(first.get(keyword)) for keyword in NAMES).upper()
    return _Series(
        name=name,
        images=len(headers),
        image_type=str(first.get("ImageType")),
        called_dess="DESS" in names and (tr_ms or 0) <= LONGEST_TR_MS,
        matrix=tuple(str(first.get(keyword)) for keyword in MATRIX),
        frame=str(first.get("FrameOfReferenceUID")),
        study=str(first.get("StudyInstanceUID") or ""),
        echo_times_ms=_distinct(_numbers(headers, "EchoTime", "EffectiveEchoTime")),
        echo_numbers=_distinct(_numbers(headers, "EchoNumbers")),
        tr_ms=tr_ms,
    )


def _numbers(headers: Iterable[Header], *keywords: str) -> Iterator[float]:
    """The values of an attribute, also inside sequences, where Enhanced MR keeps its timing."""
    for header in headers:
        for keyword, value in header.items():
            if isinstance(value, list):
                yield from _numbers(filter(_is_header, value), *keywords)
            elif keyword in keywords and (number := positive(value)):
                yield number


def _is_header(value: object) -> bool:
    return isinstance(value, Mapping)


def _distinct(times_ms: Iterable[float]) -> tuple[float, ...]:
    distinct: list[float] = []
    for time_ms in sorted(times_ms):
        if not distinct or time_ms - distinct[-1] > SAME_ECHO_MS:
            distinct.append(time_ms)
    return tuple(distinct)


def _is_dess(series: _Series) -> bool:
    """Whether a series of several echoes is a DESS."""
    return series.called_dess or is_dess_timing(series.echo_times_ms, series.tr_ms)


def _have_timing(first: _Series, second: _Series) -> bool:
    times = _distinct([*first.echo_times_ms, *second.echo_times_ms])
    return is_dess_timing(times, first.tr_ms)


def _are_called_dess(first: _Series, second: _Series) -> bool:
    """Whether both are, unless they are known to be of one echo."""
    times = [*first.echo_times_ms, *second.echo_times_ms]
    numbers = [*first.echo_numbers, *second.echo_numbers]
    is_one_echo = len(_distinct(times or numbers)) == 1
    return first.called_dess and second.called_dess and not is_one_echo


def _pairs(
    series: list[_Series], are_echoes: Callable[[_Series, _Series], bool]
) -> tuple[list[tuple[_Series, ...]], list[_Series]]:
    """The pairs that are both echoes of a scan, and the series in none of them.

    Echoes of one study but two frames of reference are a pair, too, which is refused when it is
    read: each alone would be taken for a scan of one echo.
    """
    pairs: list[tuple[_Series, ...]] = []
    rest = series
    # Of a scan that was repeated, series of one frame and of as many images belong together.
    for pair in sorted(combinations(series, 2), key=_differences):
        if set(pair) <= set(rest) and _are_at_one_place(*pair) and are_echoes(*pair):
            pairs.append(pair)
            rest = [other for other in rest if other not in pair]
    return pairs, rest


def _differences(pair: tuple[_Series, _Series]) -> tuple[bool, bool]:
    first, second = pair
    return first.frame != second.frame, first.images != second.images


def _are_at_one_place(first: _Series, second: _Series) -> bool:
    is_one_study = first.study == second.study != ""
    return first.matrix == second.matrix and (first.frame == second.frame or is_one_study)
