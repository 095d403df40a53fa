"""Small lesions: how many are detected, and how many false ones appear."""

from dataclasses import dataclass

from scipy import stats

from eval.reporting.summaries.summary import NAN, Summary, mean_and_sd
from eval.reporting.table_layout import metric_table
from eval.results.rows import Results, unique

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


def summarize(results: Results) -> Summary:
    """The table of an evaluation of lesions."""
    records = lesion_records(results)
    lines = [(f"{record.size_mm:g} mm", record) for record in records]
    table = metric_table("Small lesions of cartilage", results, lines, METRICS, NOTE)
    return Summary("lesions.csv", records, [table])


def lesion_records(results: Results) -> list[LesionRecord]:
    """Detection and false lesions, with the lesions of all subjects pooled."""
    return [
        record
        for size_mm in sorted(unique(row["size_mm"] for row in results.rows))
        for method in results.methods
        for record in _records(results, size_mm, method)
    ]


def _records(results: Results, size_mm: float, method: str) -> list[LesionRecord]:
    def values(column: str) -> list[float]:
        return results.values(method, column, size_mm=size_mm)

    detected, lesions = int(sum(values("detected"))), int(sum(values("lesions")))
    interval = stats.binomtest(detected, lesions).proportion_ci(method="wilson")
    kept_percent, sd = mean_and_sd([100 * kept for kept in values("kept")])
    foci_per_cm3 = sum(values("false_foci")) / sum(values("searched_cm3"))
    low, high = 100 * interval.low, 100 * interval.high
    return [
        LesionRecord(
            "detected_percent", size_mm, method, 100 * detected / lesions, low=low, high=high
        ),
        LesionRecord("kept_percent", size_mm, method, kept_percent, sd),
        LesionRecord("false_foci_per_cm3", size_mm, method, foci_per_cm3),
    ]
