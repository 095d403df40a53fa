"""How the two tables are laid out for reading: on the terminal and in the report."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eval.reporting import limits, summaries
from eval.reporting.summaries import SIGNIFICANT, Record
from eval.results.rows import Results, method_name, unique
from mrsr_tf.cli import counted

# metric -> (name, factor to print it by, decimals, which way is better)
METRICS: dict[str, tuple[str, float, int, Callable[[Sequence[float]], float]]] = {
    "ssim": ("SSIM", 1, 3, max),
    "psnr_db": ("pSNR, dB", 1, 1, max),
    "mse": ("MSE x 10³", 1e3, 2, min),
    "rmse": ("RMSE x 10³", 1e3, 1, min),
}
REGIONS = {
    "whole": "Whole image",
    "body": "Body only",
    "whole_inner": "Whole image, without the outer slices",
    "body_inner": "Body only, without the outer slices",
}


@dataclass(frozen=True)
class Cell:
    """Our value, the paper's and ours' interval ("" without), whether ours is the row's best."""

    ours: str
    paper: str = ""
    best: bool = False
    interval: str = ""


@dataclass(frozen=True)
class Line:
    """A row: what it is (one label per label column) and a cell per method."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table as it is read; `groups` are its row groups, each with a heading ("" for none)."""

    title: str
    columns: tuple[str, ...]
    groups: tuple[tuple[str, tuple[Line, ...]], ...]
    notes: tuple[str, ...]


def tabulate(results: Results) -> tuple[str, list[Record], list[Table]]:
    """The table of an evaluation: its file's name, its records, and how they are read.

    That is one table per region of T2, and one of any other cohort.
    """
    if results.cohort in LIMITS:
        records = {"lesions": limits.lesions, "resolution": limits.resolution}[results.cohort](
            results
        )
        return f"{results.cohort}.csv", records, [what_is_not(results, records)]
    if results.cohort == "image_quality":
        records = summaries.table1(results)
        return "table1.csv", records, [image_quality(records)]
    records = summaries.table2(results)
    regions = unique(record["roi"] for record in records)
    return "table2.csv", records, [t2([r for r in records if r["roi"] == one]) for one in regions]


def image_quality(records: list[Record]) -> Table:
    """Table 1 in the paper's shape, from `tables.table1`."""
    methods = unique(record["method"] for record in records)
    groups = []
    for region, heading in REGIONS.items():
        by_line: dict[tuple[str, int], list[Record]] = {}
        for record in records:
            if record["region"] == region:
                by_line.setdefault((record["metric"], record["echo"]), []).append(record)
        if by_line:
            groups.append((heading, tuple(map(_quality_line, by_line.values()))))
    subjects = records[0]["subjects"]
    notes = [
        "Mean ± SD over subjects; below it the 95 % bootstrap interval of the mean, and the "
        "paper's. Its “RMSE x 10³” is MSE x 10³ (37.7 dB is an MSE of 0.17 x 10⁻³).",
        "* p < 0.05 against MRSR by the Mann-Whitney test, as in the paper, not adjusted; "
        "table1.csv has a paired test (Wilcoxon) and Holm's adjustment beside it."
        if subjects > 1 and "mrsr" in methods
        else _why_untested(subjects),
    ]
    return Table(
        f"Table 1. Image quality, {counted(subjects, 'subject')}",
        ("Metric", "Image", *(method_name(method) for method in methods)),
        tuple(groups),
        tuple(notes),
    )


def _why_untested(subjects: int) -> str:
    if subjects < 2:
        return "One subject only: no SD and no test possible."
    return "No test: MRSR was not evaluated."


def _quality_line(records: list[Record]) -> Line:
    label, factor, decimals, better = METRICS[records[0]["metric"]]
    best = better([record["mean"] for record in records])
    cells = [
        Cell(
            _mean_sd(r["mean"] * factor, r["sd"] * factor, decimals)
            + ("*" if r["mann_whitney_p"] < SIGNIFICANT else ""),
            _mean_sd(r["paper_mean"] * factor, r["paper_sd"] * factor, min(decimals, 2))
            + ("*" if r["paper_starred"] else ""),
            r["mean"] == best,
            _interval(r["mean_low"] * factor, r["mean_high"] * factor, decimals),
        )
        for r in records
    ]
    return Line((label, f"S{records[0]['echo']}"), tuple(cells))


def _mean_sd(mean: float, sd: float, decimals: int) -> str:
    """`mean ± sd`; without the SD where there is none; "" without a mean."""
    if math.isnan(mean):
        return ""
    return f"{mean:.{decimals}f}" + ("" if math.isnan(sd) else f" ± {sd:.{decimals}f}")


def _interval(low: float, high: float, decimals: int) -> str:
    return "" if math.isnan(low) else f"[{low:.{decimals}f}, {high:.{decimals}f}]"


# quantity -> (name, decimals)
SUMMARIES = {
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
REFERENCES = {"": "All subjects", "thick": "Against the thick scan", "truth": "Against the truth"}


def t2(records: list[Record]) -> Table:
    """Table 2 of one region in the paper's shape, from `tables.table2`."""
    methods = unique(record["method"] for record in records)
    subjects = unique(record["subject"] for record in records if record["subject"])
    of_subjects = tuple(
        _t2_line(subject, 1, [r for r in records if r["subject"] == subject], methods)
        for subject in subjects
    )
    tested = (
        "Neither p is adjusted here; table2.csv has Holm's adjustment beside them. The paper used "
        "Mann-Whitney, which at five subjects can hardly reject."
    )
    notes = [
        "Difference: mean ± SD over subjects. CV %: |difference| / (√2 x pair mean) per subject, "
        "mean ± SD. CCC: Lin's. Limits of agreement, Bland and Altman's: the mean difference "
        "± 1.96 SD. The paper's below ours; its five subjects are other ones.",
        tested if len(subjects) > 1 else _why_untested(len(subjects)),
    ]
    return Table(
        f"Table 2. T2, {region_name(records[0]['roi'])}, {counted(len(subjects), 'subject')}",
        ("", *(method_name(method) for method in methods)),
        (("T2 of each subject, ms", of_subjects), *_t2_summaries(records, methods)),
        tuple(notes),
    )


# cohort -> (title, notes)
LIMITS = {
    "lesions": (
        "Small lesions of cartilage",
        "Found by a matched filter that does not know the healthy knee, at a threshold of 5 % "
        "false positives in the same cartilage without lesions, of each method and size its own; "
        "below it Wilson's 95 % interval. Contrast: what a lesion adds to the filter's response, "
        "mean ± SD over subjects. False foci: connected places where a method, without any lesion, "
        "responds by half a lesion more than the truth.",
    ),
    "resolution": (
        "Resolution along the slices, and false structure",
        "Mean ± SD over subjects; none where a transfer never falls so low. False "
        "power is what is there and incoherent with the truth. Worse and better: voxels of the "
        "body that are further from the truth than TCI, or nearer, by more than three standard "
        "deviations of the noise.",
    ),
}
# metric -> (name, decimals)
OF_LIMITS = {
    "detected_percent": ("Lesions found, %", 0),
    "kept_percent": ("Contrast kept, %", 0),
    "false_foci_per_cm3": ("False foci per cm³", 2),
    "mtf50_per_mm": ("Transfer falls to 0.5 at, cycles per mm", 3),
    "mtf10_per_mm": ("Transfer falls to 0.1 at, cycles per mm", 3),
    "edge_mm": ("Edge, 10 to 90 %, mm", 2),
    "false_percent": ("False power, % of the truth's", 2),
    "worse_percent": ("Worse than TCI, % of voxels", 2),
    "better_percent": ("Better than TCI, % of voxels", 2),
}


def what_is_not(results: Results, records: list[Record]) -> Table:
    """The table of lesions or resolution, from what `limits` has of it."""
    title, note = LIMITS[results.cohort]
    key, written = ("echo", "S{:g}") if results.cohort == "resolution" else ("size_mm", "{:g} mm")
    groups = []
    for metric, (heading, decimals) in OF_LIMITS.items():
        of_metric = [record for record in records if record["metric"] == metric]
        lines = []
        for at in unique(record[key] for record in of_metric):
            cells = {
                record["method"]: Cell(
                    _mean_sd(record["value"], record["sd"], decimals),
                    interval=_interval(record["low"], record["high"], decimals),
                )
                for record in of_metric
                if record[key] == at
            }
            ordered = tuple(cells.get(method, Cell("")) for method in results.methods)
            lines.append(Line((written.format(at),), ordered))
        if lines:
            groups.append((heading, tuple(lines)))
    columns = ("", *(method_name(method) for method in results.methods))
    subjects = counted(len(results.subjects), "subject")
    return Table(f"{title}, {subjects}", columns, tuple(groups), (note,))


def region_name(roi: str) -> str:
    """What a region is called in tables: medial_femoral_cartilage:deep is its deep layer."""
    whole, _, layer = roi.replace("_", " ").partition(":")
    return f"{whole}, {layer} layer" if layer else whole


def _t2_summaries(records: list[Record], methods: list[str]) -> list[tuple[str, tuple[Line, ...]]]:
    """A row group per reference that there is, with the rows that have a value."""
    groups = []
    for reference, heading in REFERENCES.items():
        lines = []
        for quantity, (label, decimals) in SUMMARIES.items():
            found = [
                record
                for record in records
                if (record["reference"], record["quantity"]) == (reference, quantity)
                and not math.isnan(record["value"])
            ]
            if found and (quantity != "outliers" or any(record["value"] for record in found)):
                lines.append(_t2_line(label, decimals, found, methods))
        if lines:
            groups.append((heading, tuple(lines)))
    return groups


def _t2_line(label: str, decimals: int, records: list[Record], methods: list[str]) -> Line:
    cells = {
        record["method"]: Cell(
            _mean_sd(record["value"], record["sd"], decimals),
            _mean_sd(record["paper_value"], record["paper_sd"], decimals),
        )
        for record in records
    }
    return Line((label,), tuple(cells.get(method, Cell("")) for method in methods))


def text(table: Table) -> str:
    """The table for a terminal, our intervals and the paper's values in brackets below ours."""
    rows: list[tuple[str, ...]] = [table.columns]
    labels = len(table.columns) - len(table.groups[0][1][0].cells)
    for heading, lines in table.groups:
        rows += [("",), (heading,)]
        for line in lines:
            blank = ("",) * labels
            rows.append((*line.labels, *(cell.ours for cell in line.cells)))
            if any(cell.interval for cell in line.cells):
                rows.append((*blank, *(cell.interval for cell in line.cells)))
            if any(cell.paper for cell in line.cells):
                rows.append((*blank, *(_bracketed(cell.paper) for cell in line.cells)))
    widths = [
        max(len(row[column]) for row in rows if len(row) > 1)
        for column in range(len(table.columns))
    ]
    aligned = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    )
    return "\n".join([table.title, "", *aligned, "", *table.notes])


def _bracketed(value: str) -> str:
    return f"({value})" if value else ""
