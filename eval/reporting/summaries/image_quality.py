"""Table 1 of the paper: image quality of each method and its tests against MRSR."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from eval import statistics
from eval.methods import NETWORK
from eval.reporting import published_values
from eval.reporting.published_values import Published
from eval.reporting.summaries.summary import NAN, Summary, holm, mean_and_sd, p_values
from eval.reporting.table_layout import (
    Cell,
    Line,
    Table,
    format_interval,
    format_mean,
    why_untested,
)
from eval.results.rows import QUALITIES, Results, method_name, unique
from mrsr_tf.cli import counted

SIGNIFICANT = 0.05
# Region of image quality -> (suffix of its columns in the rows, heading).
REGIONS = {
    "whole": ("", "Whole image"),
    "body": ("_body", "Body only"),
    "whole_inner": ("_inner", "Whole image, without the outer slices"),
    "body_inner": ("_body_inner", "Body only, without the outer slices"),
}
# Metric -> (label, factor to print it with, decimals, which value is best).
LAYOUT: dict[str, tuple[str, float, int, Callable[[Sequence[float]], float]]] = {
    "ssim": ("SSIM", 1, 3, max),
    "psnr_db": ("pSNR, dB", 1, 1, max),
    "mse": ("MSE x 10³", 1e3, 2, min),
    "rmse": ("RMSE x 10³", 1e3, 1, min),
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
    Both tests compare with MRSR: Mann-Whitney's, as in the paper, ignores that the methods share
    their subjects; the paired test is Wilcoxon's. Holm's adjustment is over the methods and echoes
    of one metric in one region.
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
    mann_whitney_p_holm: float = NAN
    paired_p_holm: float = NAN


def summarize(results: Results) -> Summary:
    """Table 1 of an evaluation of image quality."""
    records = quality_records(results)
    return Summary("table1.csv", records, [quality_table(records)])


def quality_records(results: Results) -> list[QualityRecord]:
    """The cells of Table 1; regions for which the scans have no slices are left out."""
    records: list[QualityRecord] = []
    for region, (suffix, _) in REGIONS.items():
        if any(math.isnan(row[QUALITIES[0] + suffix]) for row in results.rows):
            continue
        for metric in QUALITIES:
            family = [
                _record(results, metric, region, int(echo), method)
                for echo in sorted(unique(row["echo"] for row in results.rows))
                for method in results.methods
            ]
            records += _with_holm(family)
    return records


def _record(results: Results, metric: str, region: str, echo: int, method: str) -> QualityRecord:
    column = metric + REGIONS[region][0]
    values = results.values(method, column, echo=echo)
    ours = results.values(NETWORK, column, echo=echo)
    mean, sd = mean_and_sd(values)
    mean_low, mean_high = statistics.mean_interval(values) if len(values) > 1 else (NAN, NAN)
    mann_whitney_p, paired_p = (NAN, NAN) if method == NETWORK else p_values(values, ours)
    published = _published(metric, region, echo, method)
    return QualityRecord(
        metric=metric,
        region=region,
        echo=echo,
        method=method,
        subjects=len(values),
        mean=mean,
        sd=sd,
        mean_low=mean_low,
        mean_high=mean_high,
        mann_whitney_p=mann_whitney_p,
        paired_p=paired_p,
        paper_mean=published.mean,
        paper_sd=published.sd,
        paper_starred=published.starred,
    )


def _published(metric: str, region: str, echo: int, method: str) -> Published:
    """The paper's value; it measured whole images only."""
    row = published_values.TABLE_1.get((metric, echo), {}) if region == "whole" else {}
    return row.get(method, Published(NAN, NAN, False))


def _with_holm(family: Sequence[QualityRecord]) -> list[QualityRecord]:
    mann_whitney = holm([record.mann_whitney_p for record in family])
    paired = holm([record.paired_p for record in family])
    return [
        replace(record, mann_whitney_p_holm=unpaired_p, paired_p_holm=paired_p)
        for record, unpaired_p, paired_p in zip(family, mann_whitney, paired, strict=True)
    ]


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
    label, factor, decimals, best_of = LAYOUT[records[0].metric]
    best = best_of([record.mean for record in records])
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
    return Line((label, f"S{records[0].echo}"), tuple(cells))
