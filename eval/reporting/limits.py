"""What super-resolution may not do, of all subjects: records of lesions and of resolution."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from eval.results import planes
from eval.results.planes import TRUTH
from eval.results.rows import PICTURES, Results, Row, unique

Record = dict[str, Any]
Curves = Mapping[str, NDArray[np.floating]]
NAN = float("nan")
# What is told of each echo, beside how many edges there were.
RESOLUTION = (
    *("mtf50_per_mm", "mtf10_per_mm", "edge_mm"),
    *("false_percent", "worse_percent", "better_percent"),
)


def lesions(results: Results) -> list[Record]:
    """Lesions found and made up, of all subjects together.

    Returns:
        Records of metric, size_mm, method, value, sd, low, high; NaN where there is none. Metrics:
        detected_percent, with Wilson's 95 % interval; kept_percent, the mean and SD (ddof 1) over
        subjects of how much of a lesion's contrast is left; false_foci_per_cm3.
    """
    return [
        {"metric": metric, "size_mm": size, "method": method} | values
        for size in sorted(unique(row["size_mm"] for row in results.rows))
        for method in results.methods
        for metric, values in _found(
            [row for row in results.rows if (row["size_mm"], row["method"]) == (size, method)]
        ).items()
    ]


def _found(rows: Sequence[Row]) -> dict[str, Record]:
    def total(column: str) -> float:
        return sum(row[column] for row in rows)

    found, there = int(total("detected")), int(total("lesions"))
    between = stats.binomtest(found, there).proportion_ci(method="wilson")
    foci = total("false_foci") / total("searched_cm3")
    return {
        "detected_percent": {"value": 100 * found / there, "sd": NAN}
        | {"low": 100 * between.low, "high": 100 * between.high},
        "kept_percent": _over_subjects([100 * row["kept"] for row in rows]),
        "false_foci_per_cm3": {"value": foci, "sd": NAN, "low": NAN, "high": NAN},
    }


def _over_subjects(values: Sequence[float]) -> Record:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else NAN
    return {"value": float(np.mean(values)), "sd": sd, "low": NAN, "high": NAN}


def resolution(results: Results) -> list[Record]:
    """Resolution along the slices and false structure: the mean and SD (ddof 1) over subjects.

    Returns:
        Records of metric (of `RESOLUTION`), echo, method, value, sd, low and high (NaN both); NaN
        where a subject has none, as where a transfer never falls so low.
    """
    return [
        {"metric": metric, "echo": int(echo), "method": method}
        | _over_subjects(
            [row[metric] for row in results.rows if (row["echo"], row["method"]) == (echo, method)]
        )
        for metric in RESOLUTION
        for echo in sorted(unique(row["echo"] for row in results.rows))
        for method in results.methods
        if method != TRUTH or metric == "edge_mm"
    ]


def curves(results: Results) -> dict[str, Curves]:
    """The means over subjects of the pictures of `resolution.evaluate`, by view and method."""
    each = [planes.load(results.folder / PICTURES / f"{name}.npz") for name in results.subjects]
    return {
        same[0].view: {
            method: np.mean([picture.panels[method] for picture in same], axis=0)
            for method in same[0].panels
        }
        for same in zip(*each, strict=True)
    }
