"""Tables 1 and 2 of the paper from an evaluation's rows, as records: one per cell, tidy.

How they are laid out for reading is `layout`'s part.
"""

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval import statistics
from eval.reporting import published_values
from eval.results.rows import QUALITIES, Results, Row, unique
from mrsr_tf.outputs import output_file

SIGNIFICANT = 0.05
OURS = "mrsr"
NAN = float("nan")
# Region of image quality -> how the columns of its rows end.
REGIONS = {
    "whole": "",
    "body": "_body",
    "whole_inner": "_inner",
    "body_inner": "_body_inner",
}

Record = dict[str, Any]


def table1(results: Results) -> list[Record]:
    """Image quality: mean, SD (ddof 1) and 95 % bootstrap interval of the mean, and the tests.

    Each method is tested against MRSR over the subjects: Mann-Whitney (the paper's; it ignores
    that the subjects are the same) and Wilcoxon's signed ranks (paired). Holm's adjustment is over
    the comparisons of one metric in one region: methods times echoes.

    Returns:
        Records of metric, region (of `REGIONS`, without those that a scan has no slices for),
        echo, method, subjects, mean, sd, mean_low, mean_high, mann_whitney_p, mann_whitney_p_holm,
        paired_p, paired_p_holm, paper_mean, paper_sd, paper_starred; NaN where there is no value.
    """
    records: list[Record] = []
    for region, suffix in REGIONS.items():
        if any(math.isnan(row[QUALITIES[0] + suffix]) for row in results.rows):
            continue
        for metric in QUALITIES:
            family = [
                _quality(results, metric, region, metric + suffix, echo, method)
                for echo in sorted(unique(row["echo"] for row in results.rows))
                for method in results.methods
            ]
            records += _with_holm(family)
    return records


def _quality(
    results: Results, metric: str, region: str, column: str, echo: float, method: str
) -> Record:
    of_echo = [row for row in results.rows if row["echo"] == echo]
    values = _values(of_echo, method, column)
    reported = (
        published_values.TABLE_1.get((metric, int(echo)), {}).get(method)
        if region == "whole"
        else None
    )
    mean, sd, starred = reported or (NAN, NAN, False)
    return {
        "metric": metric,
        "region": region,
        "echo": int(echo),
        "method": method,
        "subjects": len(values),
        **_mean_and_sd(values),
        **_interval(values),
        **_tests(values, _values(of_echo, OURS, column), method),
        "paper_mean": mean,
        "paper_sd": sd,
        "paper_starred": starred,
    }


def _values(rows: Iterable[Row], method: str, column: str) -> list[float]:
    return [row[column] for row in rows if row["method"] == method]


def _mean_and_sd(values: Sequence[float]) -> Record:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else NAN
    return {"mean": float(np.mean(values)), "sd": sd}


def _interval(values: Sequence[float]) -> Record:
    low, high = statistics.mean_interval(values) if len(values) > 1 else (NAN, NAN)
    return {"mean_low": low, "mean_high": high}


def _tests(values: Sequence[float], ours: Sequence[float], method: str) -> Record:
    """The two p-values of `values` against `ours`; NaN with fewer than two subjects."""
    if method == OURS or min(len(values), len(ours)) < 2:
        return {"mann_whitney_p": NAN, "paired_p": NAN}
    return {
        "mann_whitney_p": statistics.mann_whitney(values, ours),
        "paired_p": statistics.wilcoxon(values, ours),
    }


def _with_holm(family: list[Record]) -> list[Record]:
    """Each record with both of its p-values adjusted over the family."""
    for test in ("mann_whitney_p", "paired_p"):
        tested = [record for record in family if record[test] == record[test]]
        adjusted = statistics.holm([record[test] for record in tested])
        for record in family:
            record[f"{test}_holm"] = NAN
        for record, p in zip(tested, adjusted, strict=True):
            record[f"{test}_holm"] = float(p)
    return family


def table2(results: Results) -> list[Record]:
    """Cartilage T2: each subject's, then every method's agreement with a reference.

    The references are the thick scan (the paper's) and, where it is known, the truth. The paper's
    values stand beside the first region alone, which is to be what the paper measured.

    Returns:
        Records of roi, subject ("" for a summary), quantity, reference ("", "thick" or "truth"),
        method (also "thick" and "truth"), value, sd, paper_value, paper_sd. Quantities: t2_ms,
        average_t2_ms, difference_ms, cv_percent (see `statistics.agreement`), ccc, limit_low_ms and
        limit_high_ms (`statistics.limits_of_agreement`), pixel_cv_percent and
        pixel_cv_truth_percent (means over subjects), voxels, excluded, outliers, thick_excluded,
        mann_whitney_p, paired_p and both with _holm.
    """
    records: list[Record] = []
    for place, region in enumerate(results.regions):
        for record in _table2(results.within(region)):
            paper_values = {} if place == 0 else {"paper_value": NAN, "paper_sd": NAN}
            records.append({"roi": region} | record | paper_values)
    return records


def _table2(results: Results) -> list[Record]:
    """Of one region."""
    columns = {"thick": "t2_thick_ms", "truth": "t2_truth_ms"}
    measured = {name: _per_subject(results, column) for name, column in columns.items()}
    references = {name: values for name, values in measured.items() if np.isfinite(values).all()}
    methods = {method: _values(results.rows, method, "t2_ms") for method in results.methods}
    maps = references | methods
    records = [
        _record(quantity="t2_ms", subject=subject, method=method, value=values[index])
        for method, values in maps.items()
        for index, subject in enumerate(results.subjects)
    ]
    records += [_average(method, values) for method, values in maps.items()]
    for name, reference in references.items():
        records += _agreements(name, reference, methods)
    return records + _counts(results)


def _per_subject(results: Results, column: str) -> list[float]:
    return _values(results.rows, results.methods[0], column)


def _record(**values: Any) -> Record:
    blank = {"subject": "", "quantity": "", "reference": "", "method": ""}
    return blank | {"value": NAN, "sd": NAN, "paper_value": NAN, "paper_sd": NAN} | values


def _average(method: str, values: Sequence[float]) -> Record:
    ours = _mean_and_sd(values)
    reported = {"thick": published_values.T2_THICK_MS, **published_values.T2_MS}.get(method)
    theirs = _mean_and_sd(reported) if reported else {"mean": NAN, "sd": NAN}
    return _record(
        quantity="average_t2_ms",
        method=method,
        value=ours["mean"],
        sd=ours["sd"],
        paper_value=theirs["mean"],
        paper_sd=theirs["sd"],
    )


# Quantity -> (value, SD) in what `statistics.agreement` returns.
AGREEMENT: dict[str, tuple[str, str]] = {
    "difference_ms": ("difference", "difference_sd"),
    "cv_percent": ("cv_percent", "cv_percent_sd"),
    "ccc": ("ccc", "no SD"),
    "limit_low_ms": ("limit_low", "no SD"),
    "limit_high_ms": ("limit_high", "no SD"),
}


def _agreements(
    name: str, reference: Sequence[float], methods: dict[str, list[float]]
) -> list[Record]:
    """Agreement of every method with one reference, and the tests of the reference against it."""
    records, family = [], []
    for method, values in methods.items():
        ours = _agreement(reference, values)
        reported = published_values.T2_MS.get(method) if name == "thick" else None
        theirs = _agreement(published_values.T2_THICK_MS, reported) if reported else {}
        label = {"reference": name, "method": method}
        for quantity, (value, sd) in AGREEMENT.items():
            records.append(
                _record(
                    quantity=quantity,
                    value=ours[value],
                    sd=ours.get(sd, NAN),
                    paper_value=theirs.get(value, NAN),
                    paper_sd=theirs.get(sd, NAN),
                    **label,
                )
            )
        family.append(label | _tests(values, reference, method=""))
    tests = ("mann_whitney_p", "paired_p", "mann_whitney_p_holm", "paired_p_holm")
    return records + [
        _record(quantity=test, value=entry[test], reference=name, method=entry["method"])
        for entry in _with_holm(family)
        for test in tests
    ]


def _agreement(reference: Sequence[float], estimate: Sequence[float]) -> dict[str, Any]:
    """`statistics.agreement` and the limits; of one subject only what one can have."""
    if len(reference) > 1:
        low, high = statistics.limits_of_agreement(reference, estimate)
        agreed = statistics.agreement(reference, estimate)
        return {**agreed, "limit_low": low, "limit_high": high}
    twice = dict(statistics.agreement([*reference] * 2, [*estimate] * 2))
    needing_two = ("difference_sd", "cv_percent_sd", "ccc", "limit_low", "limit_high")
    return twice | dict.fromkeys(needing_two, NAN)


def _counts(results: Results) -> list[Record]:
    return [
        _record(quantity=quantity, method=method, value=float(summary(values)))
        for quantity, summary in (
            ("pixel_cv_percent", np.mean),
            ("pixel_cv_truth_percent", np.mean),
            ("voxels", np.sum),
            ("excluded", np.sum),
            ("outliers", np.sum),
            ("thick_excluded", np.sum),
        )
        for method in results.methods
        for values in [_values(results.rows, method, quantity)]
    ]


def write_csv(path: Path, records: list[Record]) -> None:
    """Writes the records under their names; empty where a value is NaN."""
    with output_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, records[0])
        writer.writeheader()
        for record in records:
            writer.writerow(
                {name: "" if value != value else value for name, value in record.items()}
            )
