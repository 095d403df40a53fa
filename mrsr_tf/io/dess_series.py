"""Which series of a study are a DESS: one series with both echoes, two of one each, or one echo.

A DESS is known by its echo times, which no other sequence has, or by its name in the header. Only
headers are needed; a header is a mapping from keywords to values, where a sequence is a list of
headers.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from mrsr_tf.io.dicom.files import positive
from mrsr_tf.io.discovery import is_dess
from mrsr_tf.mri.dess import is_dess_timing

Header = Mapping[str, Any]
GRID = "FrameOfReferenceUID Rows Columns".split()


@dataclass(frozen=True, eq=False)
class _Candidate:
    """An acquired MR series, which may be a DESS or one echo of it."""

    name: str
    called_dess: bool
    grid: tuple[object, ...]
    echo_times_ms: frozenset[float]
    tr_ms: float | None


def dess_scans(study: Mapping[str, list[Header]]) -> list[tuple[str, ...]]:
    """Finds the DESS scans of a study: the names of the series that each consists of.

    Derived series and other modalities are left out. `study` holds the headers of the images of
    each series, by a name for the series.
    """
    acquired = [_candidate(name, headers) for name, headers in study.items() if _acquired(headers)]
    single = [series for series in acquired if len(series.echo_times_ms) < 2]
    scans = [(series,) for series in acquired if series not in single and _has_echoes(series)]
    pairs = []
    for pair in combinations(single, 2):
        if set(pair) <= set(single) and pair[0].grid == pair[1].grid and _has_echoes(*pair):
            pairs.append(pair)
            single = [series for series in single if series not in pair]
    scans += [(series,) for series in single if series.called_dess]
    return [tuple(series.name for series in scan) for scan in [*scans, *pairs]]


def _acquired(headers: list[Header]) -> bool:
    first = headers[0]
    return first.get("Modality") == "MR" and "DERIVED" not in str(first.get("ImageType"))


def _candidate(name: str, headers: list[Header]) -> _Candidate:
    first = headers[0]
    return _Candidate(
        name=name,
        called_dess=is_dess(first),
        grid=(*(first.get(keyword) for keyword in GRID), len(headers)),
        echo_times_ms=frozenset(_numbers(headers, "EchoTime", "EffectiveEchoTime")),
        tr_ms=next(_numbers(headers, "RepetitionTime"), None),
    )


def _numbers(headers: Iterable[Header], *keywords: str) -> Iterator[float]:
    """The values of an attribute, also inside sequences, where Enhanced MR keeps its timing."""
    for header in headers:
        for keyword, value in header.items():
            if isinstance(value, list):
                yield from _numbers(value, *keywords)
            elif keyword in keywords and (number := positive(value)):
                yield number


def _has_echoes(*scan: _Candidate) -> bool:
    """Whether one or two series have several echoes, and these are those of a DESS."""
    times = sorted({time for series in scan for time in series.echo_times_ms})
    called_dess = len(times) > 1 and all(series.called_dess for series in scan)
    return called_dess or is_dess_timing(times, scan[0].tr_ms)
