"""Small lesions: how many are detected, and how many false ones appear."""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from eval.reporting.summaries.summary import NAN, Summary, mean_and_sd
from eval.reporting.table_layout import metric_table
from eval.results.rows import Results, Row, unique

# Metric -> (label, decimals).
METRICS = {
    "detected_percent": ("Lesions found, %", 0),
    "kept_percent": ("Contrast kept, %", 0),
    "false_foci_per_cm3": ("False foci per cm³", 2),
}
NOTE = (
    "Lesions are found by a matched filter that does not know the healthy knee. Its threshold, set "
    "for each method and size, gives 5 % false positives in the same cartilage without lesions. "
    "Below: Wilson's 95 % interval. Contrast: how much a lesion raises the filter's response, mean "
    "± SD over subjects. False foci: connected places where a method, without any lesion, responds "
    "by half a lesion more than the truth."
)


@dataclass(frozen=True)
class LesionRecord:
    """One cell of the table of lesions; NaN where there is no value.

    The SD (ddof 1) is over subjects; `low` and `high` bound Wilson's 95 % interval.
    """

    metric: str
    size_mm: float
    method: str
    value: float
    sd: float = NAN
    low: float = NAN
    high: float = NAN

    @property
    def label(self) -> str:
        """The label of its line in the table."""
        return f"{self.size_mm:g} mm"


def summarize(results: Results) -> Summary:
    """The table of an evaluation of lesions."""
    records = lesion_records(results)
    table = metric_table("Small lesions of cartilage", results, records, METRICS, NOTE)
    return Summary("lesions.csv", records, [table])


def lesion_records(results: Results) -> list[LesionRecord]:
    """Detection and false lesions, with the lesions of all subjects pooled."""
    return [
        record
        for size_mm in sorted(unique(row["size_mm"] for row in results.rows))
        for method in results.methods
        for record in _records(
            size_mm,
            method,
            [row for row in results.rows if (row["size_mm"], row["method"]) == (size_mm, method)],
        )
    ]


def _records(size_mm: float, method: str, rows: Sequence[Row]) -> list[LesionRecord]:
    """The records of one size and method, from a row per subject."""

    def total(column: str) -> float:
        return sum(row[column] for row in rows)

    detected, lesions = int(total("detected")), int(total("lesions"))
    interval = stats.binomtest(detected, lesions).proportion_ci(method="wilson")
    kept_percent, sd = mean_and_sd([100 * row["kept"] for row in rows])
    foci_per_cm3 = total("false_foci") / total("searched_cm3")
    return [
        LesionRecord(
            metric="detected_percent",
            size_mm=size_mm,
            method=method,
            value=100 * detected / lesions,
            low=100 * interval.low,
            high=100 * interval.high,
        ),
        LesionRecord("kept_percent", size_mm, method, kept_percent, sd),
        LesionRecord("false_foci_per_cm3", size_mm, method, foci_per_cm3),
    ]
