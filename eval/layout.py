"""How the two tables are laid out for reading: on the terminal and in the report."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from eval import tables
from eval.results import Results, method_name, unique
from eval.tables import SIGNIFICANT, Record

# metric -> (name, factor to print it by, decimals, which way is better)
METRICS: dict[str, tuple[str, float, int, Callable[[Sequence[float]], float]]] = {
    "ssim": ("SSIM", 1, 3, max),
    "psnr_db": ("pSNR, dB", 1, 1, max),
    "mse": ("MSE x 10³", 1e3, 2, min),
    "rmse": ("RMSE x 10³", 1e3, 1, min),
}
REGIONS = {"whole": "Whole image", "body": "Body only"}


@dataclass(frozen=True)
class Cell:
    """Our value, the paper's ("" where it has none), and whether ours is the row's best."""

    ours: str
    paper: str = ""
    best: bool = False


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


def tabulate(results: Results) -> tuple[str, list[Record], Table]:
    """The table of an evaluation: its file's name, its records, and how it is read."""
    if results.cohort == "image_quality":
        records = tables.table1(results)
        return "table1.csv", records, image_quality(records)
    records = tables.table2(results)
    return "table2.csv", records, t2(records)


def image_quality(records: list[Record]) -> Table:
    """Table 1 in the paper's shape, from `tables.table1`."""
    methods = unique(record["method"] for record in records)
    groups = []
    for region, heading in REGIONS.items():
        keys = unique((r["metric"], r["echo"]) for r in records if r["region"] == region)
        lines = [
            _quality_line(
                [r for r in records if (r["region"], r["metric"], r["echo"]) == (region, *key)]
            )
            for key in keys
        ]
        groups.append((heading, tuple(lines)))
    subjects = records[0]["subjects"]
    notes = [
        "Mean ± SD over subjects; the paper's below ours. Its “RMSE x 10³” is MSE x 10³ "
        "(37.7 dB is an MSE of 0.17 x 10⁻³) and stands there.",
        "* p < 0.05 against MRSR by the Mann-Whitney test, as in the paper, not adjusted; "
        "table1.csv has a paired test (Wilcoxon) and Holm's adjustment beside it."
        if subjects > 1 and "mrsr" in methods
        else _why_untested(subjects, "MRSR"),
    ]
    return Table(
        f"Table 1. Image quality, {_count(subjects, 'subject')}",
        ("Metric", "Image", *(method_name(method) for method in methods)),
        tuple(groups),
        tuple(notes),
    )


def _why_untested(subjects: int, against: str) -> str:
    if subjects < 2:
        return "One subject only: no SD and no test possible."
    return f"No test: {against} was not evaluated."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


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
        )
        for r in records
    ]
    return Line((label, f"S{records[0]['echo']}"), tuple(cells))


def _mean_sd(mean: float, sd: float, decimals: int) -> str:
    """`mean ± sd`; without the SD where there is none; "" without a mean."""
    if mean != mean:
        return ""
    return f"{mean:.{decimals}f}" + (f" ± {sd:.{decimals}f}" if sd == sd else "")


# quantity -> (name, decimals)
SUMMARIES = {
    "average_t2_ms": ("Average T2, ms", 1),
    "difference_ms": ("Difference, ms", 1),
    "cv_percent": ("CV %", 1),
    "ccc": ("CCC", 2),
    "mann_whitney_p": ("p, Mann-Whitney", 3),
    "paired_p": ("p, paired", 3),
    "pixel_cv_percent": ("Pixel-wise CV %", 1),
    "voxels": ("Voxels", 0),
    "excluded": ("Voxels excluded", 0),
}
REFERENCES = {"": "", "thick": "Against the thick scan", "truth": "Against the truth"}


def t2(records: list[Record]) -> Table:
    """Table 2 in the paper's shape, from `tables.table2`."""
    methods = unique(record["method"] for record in records)
    subjects = unique(record["subject"] for record in records if record["subject"])
    by_subject = [
        _t2_line(subject, 1, [r for r in records if r["subject"] == subject], methods)
        for subject in subjects
    ]
    groups = [("T2 of each subject, ms", tuple(by_subject))]
    summaries = [record for record in records if not record["subject"]]
    for reference, heading in REFERENCES.items():
        of_reference = [r for r in summaries if r["reference"] == reference]
        lines = [
            _t2_line(label, decimals, found, methods)
            for quantity, (label, decimals) in SUMMARIES.items()
            if (found := [r for r in of_reference if r["quantity"] == quantity])
            and any(r["value"] == r["value"] for r in found)
        ]
        if lines:
            groups.append((heading or "All subjects", tuple(lines)))
    notes = [
        "Difference: mean ± SD over subjects. CV %: |difference| / (√2 x pair mean) per subject, "
        "mean ± SD. CCC: Lin's. The paper's below ours; its five subjects are other ones.",
        "Neither p is adjusted here; table2.csv has Holm's adjustment beside them. The paper used "
        "Mann-Whitney, which at five subjects can hardly reject."
        if len(subjects) > 1
        else _why_untested(len(subjects), ""),
    ]
    return Table(
        f"Table 2. Cartilage T2, {_count(len(subjects), 'subject')}",
        ("", *(method_name(method) for method in methods)),
        tuple(groups),
        tuple(notes),
    )


def _t2_line(label: str, decimals: int, records: list[Record], methods: list[str]) -> Line:
    by_method = {record["method"]: record for record in records}
    cells = []
    for method in methods:
        record = by_method.get(method)
        if record is None:
            cells.append(Cell("", ""))
            continue
        cells.append(
            Cell(
                _mean_sd(record["value"], record["sd"], decimals),
                _mean_sd(record["paper_value"], record["paper_sd"], decimals),
            )
        )
    return Line((label,), tuple(cells))


def text(table: Table) -> str:
    """The table for a terminal, the paper's values in brackets below ours."""
    rows: list[tuple[str, ...]] = [table.columns]
    labels = len(table.columns) - len(table.groups[0][1][0].cells)
    for heading, lines in table.groups:
        rows += [("",), (heading,)]
        for line in lines:
            rows.append((*line.labels, *(cell.ours for cell in line.cells)))
            if any(cell.paper for cell in line.cells):
                blank = ("",) * labels
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
