"""Table 1 of the paper: image quality of each method and its tests against MRSR."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eval import statistics
from eval.methods import NETWORK
from eval.metrics import METRICS
from eval.reporting import published_values
from eval.reporting.published_values import Published
from eval.reporting.style import method_name
from eval.reporting.summaries.summary import NAN, Summary, compare, mean_and_sd
from eval.reporting.table_layout import (
    Cell,
    Line,
    Table,
    format_interval,
    format_mean,
    why_untested,
)
from eval.results.rows import Results, unique
from mrsr_tf.cli import counted

SIGNIFICANT = 0.05
# Region of image quality -> (suffix of its columns in the rows, heading).
REGIONS = {
    "whole": ("", "Whole image"),
    "body": ("_body", "Body only"),
    "whole_inner": ("_inner", "Whole image, without the outer slices"),
    "body_inner": ("_body_inner", "Body only, without the outer slices"),
}
NOTE = (
    "Mean ± SD over subjects; below it the 95 % bootstrap interval of the mean, and the value of "
    "the paper. What the paper prints as “RMSE x 10³” is MSE x 10³ (37.7 dB is an MSE of "
    "0.17 x 10⁻³)."
)
TESTS_NOTE = (
    "* p < 0.05 against MRSR in the Mann-Whitney test, as in the paper, not adjusted; table1.csv "
    "also has a paired test (Wilcoxon) and Holm's adjustment."
)


@dataclass(frozen=True)
class QualityRecord:
    """One cell of Table 1; NaN where there is no value.

    SDs have ddof 1, and `mean_low` and `mean_high` bound the 95 % bootstrap interval of the mean.
    The p-values (see `compare`) are against MRSR, and Holm's adjustment is over the methods and
    echoes of one metric in one region.
    """

    metric: str
    region: str
    echo: int
    method: str
    subjects: int
    mean: float
    sd: float
    mean_low: float
    mean_high: float
    mann_whitney_p: float
    paired_p: float
    paper_mean: float
    paper_sd: float
    paper_starred: bool
    mann_whitney_p_holm: float
    paired_p_holm: float


def summarize(results: Results) -> Summary:
    """Table 1 of an evaluation of image quality."""
    records = quality_records(results)
    return Summary("table1.csv", records, [quality_table(records)])


def quality_records(results: Results) -> list[QualityRecord]:
    """The cells of Table 1; regions for which the scans have no slices are left out."""
    return [
        record
        for region, (suffix, _) in REGIONS.items()
        if not any(math.isnan(row["ssim" + suffix]) for row in results.rows)
        for metric in METRICS
        for record in _records(results, metric, region)
    ]


def _records(results: Results, metric: str, region: str) -> list[QualityRecord]:
    """The cells of one metric in one region, whose tests are one family."""
    column = metric + REGIONS[region][0]
    echoes = sorted(unique(row["echo"] for row in results.rows))
    keys = [(echo, method) for echo in echoes for method in results.methods]
    samples = [results.values(method, column, echo=echo) for echo, method in keys]
    ours = [
        [] if method == NETWORK else results.values(NETWORK, column, echo=echo)
        for echo, method in keys
    ]
    compared = zip(keys, samples, compare(samples, ours), strict=True)
    return [
        _record(metric, region, int(echo), method, values, tests)
        for (echo, method), values, tests in compared
    ]


def _record(
    metric: str,
    region: str,
    echo: int,
    method: str,
    values: Sequence[float],
    tests: Mapping[str, Any],
) -> QualityRecord:
    mean, sd = mean_and_sd(values)
    low, high = statistics.mean_interval(values) if len(values) > 1 else (NAN, NAN)
    # The paper measured whole images only.
    paper = published_values.TABLE_1.get((metric, echo), {}) if region == "whole" else {}
    return QualityRecord(
        metric=metric,
        region=region,
        echo=echo,
        method=method,
        subjects=len(values),
        mean=mean,
        sd=sd,
        mean_low=low,
        mean_high=high,
        **paper.get(method, Published(NAN, NAN, False))._asdict(),
        **tests,
    )


def quality_table(records: Sequence[QualityRecord]) -> Table:
    """Table 1, laid out as in the paper."""
    methods = unique(record.method for record in records)
    groups = []
    for region, (_, heading) in REGIONS.items():
        lines: dict[tuple[str, int], list[QualityRecord]] = {}
        for record in records:
            if record.region == region:
                lines.setdefault((record.metric, record.echo), []).append(record)
        if lines:
            groups.append((heading, tuple(map(_line, lines.values()))))
    subjects = records[0].subjects
    tested = subjects > 1 and NETWORK in methods
    return Table(
        f"Table 1. Image quality, {counted(subjects, 'subject')}",
        ("Metric", "Image", *map(method_name, methods)),
        tuple(groups),
        (NOTE, TESTS_NOTE if tested else why_untested(subjects)),
    )


def _line(records: Sequence[QualityRecord]) -> Line:
    metric = METRICS[records[0].metric]
    factor, decimals = metric.factor, metric.decimals
    best = metric.best([record.mean for record in records])
    cells = [
        Cell(
            format_mean(r.mean * factor, r.sd * factor, decimals)
            + ("*" if r.mann_whitney_p < SIGNIFICANT else ""),
            format_mean(r.paper_mean * factor, r.paper_sd * factor, min(decimals, 2))
            + ("*" if r.paper_starred else ""),
            r.mean == best,
            format_interval(r.mean_low * factor, r.mean_high * factor, decimals),
        )
        for r in records
    ]
    return Line((metric.label, f"S{records[0].echo}"), tuple(cells))
