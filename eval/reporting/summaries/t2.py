"""Table 2 of the paper: T2 of each subject, and each method's agreement with a reference."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eval import statistics
from eval.reporting import published_values
from eval.reporting.style import method_name
from eval.reporting.summaries.summary import NAN, Summary, compare, mean_and_sd
from eval.reporting.table_layout import Cell, Group, Line, Table, format_mean, why_untested
from eval.results.rows import Results, unique
from mrsr_tf.cli import counted

# Reference -> its column in the rows.
REFERENCES = {"thick": "t2_thick_ms", "truth": "t2_truth_ms"}
AGREEMENT = ("difference_ms", "cv_percent", "ccc", "limit_low_ms", "limit_high_ms")
# Quantity, which is also its column in the rows -> how it is summarized over subjects.
COUNTS: dict[str, Callable[[Sequence[float]], np.floating]] = {
    "pixel_cv_percent": np.mean,
    "pixel_cv_truth_percent": np.mean,
    "voxels": np.sum,
    "excluded": np.sum,
    "outliers": np.sum,
    "thick_excluded": np.sum,
}
# Quantity -> (label, decimals).
LAYOUT = {
    "average_t2_ms": ("Average T2, ms", 1),
    "difference_ms": ("Difference, ms", 1),
    "cv_percent": ("CV %", 1),
    "ccc": ("CCC", 2),
    "limit_low_ms": ("Limits of agreement, ms: from", 1),
    "limit_high_ms": ("to", 1),
    "mann_whitney_p": ("p, Mann-Whitney", 3),
    "paired_p": ("p, paired", 3),
    "pixel_cv_percent": ("Pixel-wise CV %", 1),
    "pixel_cv_truth_percent": ("Pixel-wise CV %, truth", 1),
    "voxels": ("Voxels", 0),
    "excluded": ("Voxels excluded", 0),
    "outliers": ("of these outliers", 0),
    "thick_excluded": ("Excluded in the thick scan", 0),
}
REFERENCE_HEADINGS = {
    "": "All subjects",
    "thick": "Against the thick scan",
    "truth": "Against the truth",
}
NOTE = (
    "Difference: mean ± SD over subjects. CV %: |difference| / (√2 x pair mean) per subject, mean "
    "± SD. CCC: Lin's. Limits of agreement (Bland and Altman): the mean difference ± 1.96 SD. The "
    "paper's values are below ours; they are of five other subjects."
)
TESTS_NOTE = (
    "The p-values are not adjusted; table2.csv also has Holm's adjustment. The paper used the "
    "Mann-Whitney test, which can hardly reject with five subjects."
)


@dataclass(frozen=True)
class T2Record:
    """One cell of Table 2; NaN where there is no value.

    Quantities are t2_ms of one subject and, over all subjects, average_t2_ms, those of `AGREEMENT`
    and `COUNTS`, and the p-values. The reference, which agreement and tests have, is "thick" (as in
    the paper) or "truth"; both also occur as methods. SDs have ddof 1.
    """

    roi: str = ""
    subject: str = ""
    quantity: str = ""
    reference: str = ""
    method: str = ""
    value: float = NAN
    sd: float = NAN
    paper_value: float = NAN
    paper_sd: float = NAN


def summarize(results: Results) -> Summary:
    """Table 2 of an evaluation of T2, of each region."""
    records = t2_records(results)
    regions = [[record for record in records if record.roi == roi] for roi in results.regions]
    return Summary("table2.csv", records, [t2_table(region) for region in regions])


def t2_records(results: Results) -> list[T2Record]:
    """The cells of Table 2, of each region.

    The truth is a reference where it is known for all subjects. The paper's values stand beside
    the first region only, which is the one that the paper measured.
    """
    records: list[T2Record] = []
    for position, roi in enumerate(results.regions):
        own = {"roi": roi} if position == 0 else {"roi": roi, "paper_value": NAN, "paper_sd": NAN}
        records += [replace(record, **own) for record in _region_records(results.within(roi))]
    return records


def _region_records(results: Results) -> list[T2Record]:
    references = measured_references(results)
    methods = {method: results.values(method, "t2_ms") for method in results.methods}
    maps = references | methods
    records = [
        T2Record(subject=subject, quantity="t2_ms", method=name, value=value)
        for name, values in maps.items()
        for subject, value in zip(results.subjects, values, strict=True)
    ]
    records += [_average(name, values) for name, values in maps.items()]
    for name, reference in references.items():
        records += _agreements(name, reference, methods)
        records += _tests(name, reference, methods)
    return records + _counts(results)


def measured_references(results: Results) -> dict[str, list[float]]:
    """Reference -> its T2 of each subject, in ms; the truth only if it is known for all."""
    references = {
        name: results.values(results.methods[0], column) for name, column in REFERENCES.items()
    }
    return {name: values for name, values in references.items() if np.isfinite(values).all()}


def _average(method: str, values: Sequence[float]) -> T2Record:
    published = {"thick": published_values.T2_THICK_MS, **published_values.T2_MS}.get(method)
    mean, sd = mean_and_sd(values)
    paper_mean, paper_sd = mean_and_sd(published) if published else (NAN, NAN)
    return T2Record(
        quantity="average_t2_ms",
        method=method,
        value=mean,
        sd=sd,
        paper_value=paper_mean,
        paper_sd=paper_sd,
    )


def _agreements(
    name: str, reference: Sequence[float], methods: Mapping[str, Sequence[float]]
) -> list[T2Record]:
    """Each method's agreement with one reference."""
    records = []
    for method, values in methods.items():
        published = published_values.T2_MS.get(method) if name == "thick" else None
        paper = _agreement(published_values.T2_THICK_MS, published) if published else {}
        for quantity, (value, sd) in _agreement(reference, values).items():
            record = T2Record("", "", quantity, name, method, value, sd)
            paper_value, paper_sd = paper.get(quantity, (NAN, NAN))
            records.append(replace(record, paper_value=paper_value, paper_sd=paper_sd))
    return records


def _agreement(
    reference: Sequence[float], estimate: Sequence[float]
) -> dict[str, tuple[float, float]]:
    """Quantity -> its value and SD; of one subject, what needs no second subject."""
    if len(reference) == 1:
        alone = statistics.agreement([*reference] * 2, [*estimate] * 2)
        return dict.fromkeys(AGREEMENT, (NAN, NAN)) | {
            "difference_ms": (alone["difference"], NAN),
            "cv_percent": (alone["cv_percent"], NAN),
        }
    agreement = statistics.agreement(reference, estimate)
    low, high = statistics.limits_of_agreement(reference, estimate)
    return {
        "difference_ms": (agreement["difference"], agreement["difference_sd"]),
        "cv_percent": (agreement["cv_percent"], agreement["cv_percent_sd"]),
        "ccc": (agreement["ccc"], NAN),
        "limit_low_ms": (low, NAN),
        "limit_high_ms": (high, NAN),
    }


def _tests(
    name: str, reference: Sequence[float], methods: Mapping[str, Sequence[float]]
) -> list[T2Record]:
    """The tests of each method against one reference, also adjusted over the methods."""
    compared = compare(list(methods.values()), [reference] * len(methods))
    return [
        T2Record(quantity=test, reference=name, method=method, value=p_value)
        for method, tests in zip(methods, compared, strict=True)
        for test, p_value in tests.items()
    ]


def _counts(results: Results) -> list[T2Record]:
    return [
        T2Record(
            quantity=column,
            method=method,
            value=float(over_subjects(results.values(method, column))),
        )
        for column, over_subjects in COUNTS.items()
        for method in results.methods
    ]


def t2_table(records: Sequence[T2Record]) -> Table:
    """Table 2 of one region, laid out as in the paper."""
    methods = unique(record.method for record in records)
    subjects = unique(record.subject for record in records if record.subject)
    subject_lines = tuple(
        _line(subject, 1, [r for r in records if r.subject == subject], methods)
        for subject in subjects
    )
    return Table(
        f"Table 2. T2, {region_name(records[0].roi)}, {counted(len(subjects), 'subject')}",
        ("", *map(method_name, methods)),
        (("T2 of each subject, ms", subject_lines), *_groups(records, methods)),
        (NOTE, TESTS_NOTE if len(subjects) > 1 else why_untested(len(subjects))),
    )


def region_name(roi: str) -> str:
    """The display name of a region; medial_femoral_cartilage:deep is a layer."""
    whole, _, layer = roi.replace("_", " ").partition(":")
    return f"{whole}, {layer} layer" if layer else whole


def _groups(records: Sequence[T2Record], methods: Sequence[str]) -> list[Group]:
    """A group for each reference, with the quantities that have a value."""
    groups = []
    for reference, heading in REFERENCE_HEADINGS.items():
        lines = []
        for quantity, (label, decimals) in LAYOUT.items():
            cells = [
                record
                for record in records
                if (record.reference, record.quantity) == (reference, quantity)
                and not math.isnan(record.value)
            ]
            if cells and (quantity != "outliers" or any(record.value for record in cells)):
                lines.append(_line(label, decimals, cells, methods))
        if lines:
            groups.append((heading, tuple(lines)))
    return groups


def _line(label: str, decimals: int, records: Sequence[T2Record], methods: Sequence[str]) -> Line:
    cells = {
        record.method: Cell(
            format_mean(record.value, record.sd, decimals),
            format_mean(record.paper_value, record.paper_sd, decimals),
        )
        for record in records
    }
    return Line((label,), tuple(cells.get(method, Cell("")) for method in methods))
