"""Resolution along the slices and false structure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.reporting.summaries.summary import NAN, Summary, mean_and_sd
from eval.reporting.table_layout import metric_table
from eval.results.planes import TRUTH, load_pictures
from eval.results.rows import Results, unique

Curves = Mapping[str, NDArray[np.floating]]

# Metric -> (label, decimals).
METRICS = {
    "mtf50_per_mm": ("Transfer falls to 0.5 at, cycles per mm", 3),
    "mtf10_per_mm": ("Transfer falls to 0.1 at, cycles per mm", 3),
    "edge_mm": ("Edge, 10 to 90 %, mm", 2),
    "false_percent": ("False power, % of the truth's", 2),
    "worse_percent": ("Worse than TCI, % of voxels", 2),
    "better_percent": ("Better than TCI, % of voxels", 2),
}
NOTE = (
    "Mean ± SD over subjects; empty where the transfer of a subject never falls so low. False "
    "power: what is present but incoherent with the truth. Worse and better: voxels of the body "
    "that are farther from the truth than TCI, or nearer, by more than three standard deviations "
    "of the noise."
)


@dataclass(frozen=True)
class ResolutionRecord:
    """One cell of the table of resolution: mean and SD (ddof 1) over subjects.

    The value is NaN where a subject has none, for instance because a transfer function never falls
    to the level. There is no interval, so `low` and `high` are NaN.
    """

    metric: str
    echo: int
    method: str
    value: float
    sd: float = NAN
    low: float = NAN
    high: float = NAN


def summarize(results: Results) -> Summary:
    """The table of an evaluation of resolution."""
    records = resolution_records(results)
    title = "Resolution along the slices, and false structure"
    lines = [(f"S{record.echo}", record) for record in records]
    table = metric_table(title, results, lines, METRICS, NOTE)
    return Summary("resolution.csv", records, [table])


def resolution_records(results: Results) -> list[ResolutionRecord]:
    """The mean and SD over subjects of each metric, echo and method."""
    return [
        ResolutionRecord(
            metric, int(echo), method, *mean_and_sd(results.values(method, metric, echo=echo))
        )
        for metric in METRICS
        for echo in sorted(unique(row["echo"] for row in results.rows))
        for method in results.methods
        if method != TRUTH or metric == "edge_mm"
    ]


def mean_curves(results: Results) -> dict[str, Curves]:
    """View -> method -> the mean over subjects of the pictures of `experiments.resolution`."""
    subjects = [load_pictures(results.pictures_path(name)) for name in results.subjects]
    return {
        view: {
            method: np.mean([pictures[view].panels[method] for pictures in subjects], axis=0)
            for method in picture.panels
        }
        for view, picture in subjects[0].items()
    }
