"""What the report shows of each experiment: headline figures, plots, images and the viewer."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.figure import Figure

from eval.experiments.resolution import EDGE, TRANSFER
from eval.methods import INPUT, NETWORK
from eval.reporting import figures, plots, published_values
from eval.reporting.summaries import Summary
from eval.reporting.summaries.lesions import METRICS as LESION_METRICS
from eval.reporting.summaries.lesions import lesion_records
from eval.reporting.summaries.resolution import mean_curves
from eval.reporting.summaries.t2 import region_name
from eval.reporting.table_layout import Table
from eval.reporting.viewer import Viewer, viewer
from eval.results.planes import GAMMA, IMAGES, T2_MAPS, TRUTH, load_boxes, load_planes
from eval.results.rows import VERSIONS, Experiment, Results, method_name, unique

GAIN_DECIMALS = {"psnr_db": 1, "ssim": 3}  # the metrics whose gain over TCI is shown
REFERENCES = {"t2_thick_ms": "the thick scan's", "t2_truth_ms": "the truth"}
THICK = "thick"
NOISE = "Noise in the truth"
Captioned = Mapping[str, tuple[str, Figure]]  # file stem -> (caption, figure)


@dataclass(frozen=True)
class Tile:
    """A headline figure: its name, its value and a note."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Section:
    """What the report shows of one evaluation.

    Attributes:
        experiment: what was measured.
        tables: the tables of its summary.
        versions: package -> version with which they were made.
        configuration: the evaluation's configuration.
        tiles: the headline figures.
        plots: drawn as SVG.
        images: drawn as PNG.
        viewer: three linked planes of a subject; None where the evaluation saved no boxes.
        seen_subjects: subject -> how the network has seen it; empty where all are new to it.
    """

    experiment: Experiment
    tables: Sequence[Table]
    versions: Mapping[str, str]
    configuration: Mapping[str, object]
    tiles: Sequence[Tile] = ()
    plots: Captioned = field(default_factory=dict)
    images: Captioned = field(default_factory=dict)
    viewer: Viewer | None = None
    seen_subjects: Mapping[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> Captioned:
        """All plots and images."""
        return {**self.plots, **self.images}


Parts = tuple[Sequence[Tile], Captioned, Captioned]  # tiles, plots, images


def section(results: Results, summary: Summary, subject: str = "") -> Section:
    """The section of one evaluation; the viewer shows `subject`, or the first if there is none."""
    parts = {
        Experiment.IMAGE_QUALITY: _image_quality,
        Experiment.T2: _t2,
        Experiment.LESIONS: _lesions,
        Experiment.RESOLUTION: _resolution,
    }
    tiles, drawn_plots, images = parts[results.experiment](results)
    return Section(
        experiment=results.experiment,
        tables=summary.tables,
        versions=json.loads((results.folder / VERSIONS).read_text(encoding="utf-8")),
        configuration=results.configuration,
        tiles=tiles,
        plots=drawn_plots,
        images=images,
        viewer=_viewer(results, subject if subject in results.subjects else results.subjects[0]),
        seen_subjects=results.seen_subjects,
    )


def _image_quality(results: Results) -> Parts:
    gains, subjects = _gains(results), len(results.subjects)
    tiles = [
        Tile(
            f"{_title(metric, echo)}: MRSR minus TCI",
            signed(np.mean(values[NETWORK]), GAIN_DECIMALS[metric]),
            f"mean of {subjects}; paper {signed(_paper_gain(metric, echo), GAIN_DECIMALS[metric])}",
        )
        for (metric, echo), values in gains.items()
        if NETWORK in values
    ]
    subject = typical_subject(results, "psnr_db")
    images = {
        picture.view: (
            f"{picture.view.capitalize()} reformat of {_introduce(subject, results)}, in the plane "
            f"with most structure. Above: all images in one window (gamma {GAMMA:g}); the inset "
            "shows where the input lost most. Below: differences from the truth on one scale.",
            figures.reformat(picture),
        )
        for picture in load_planes(results.pictures_path(subject))
    }
    panels = {_title(*key): values for key, values in gains.items()}
    caption = "Gain over TCI: a dot per subject and a bar at the mean."
    return tiles, {"gains": (caption, plots.dots(panels))} if panels else {}, images


def _gains(results: Results) -> dict[tuple[str, int], dict[str, list[float]]]:
    """(metric, echo) -> method -> each subject's gain over TCI; empty without TCI or others."""
    others = [method for method in results.methods if method != INPUT]
    if not others or len(others) == len(results.methods):
        return {}
    return {
        (metric, int(echo)): {
            method: np.subtract(
                results.values(method, metric, echo=echo), results.values(INPUT, metric, echo=echo)
            ).tolist()
            for method in others
        }
        for metric in GAIN_DECIMALS
        for echo in unique(row["echo"] for row in results.rows)
    }


def _title(metric: str, echo: int) -> str:
    return f"S{echo} {'pSNR, dB' if metric == 'psnr_db' else 'SSIM'}"


def _paper_gain(metric: str, echo: int) -> float:
    published = published_values.TABLE_1[metric, echo]
    return published[NETWORK].mean - published[INPUT].mean


def signed(value: float | np.floating, decimals: int) -> str:
    """A number with its sign, the minus as wide as a plus; no sign if it rounds to zero."""
    number = f"{value:+.{decimals}f}"
    return number.replace("-", "\N{MINUS SIGN}") if float(number) else number[1:]


def _t2(results: Results) -> Parts:
    """The parts for the first region."""
    main = results.within(results.regions[0])
    methods = {method: main.values(method, "t2_ms") for method in main.methods}
    references = {
        column: values
        for column in REFERENCES
        if np.isfinite(values := main.values(main.methods[0], column)).all()
    }
    differences = {
        column: {
            method: np.subtract(values, reference).tolist() for method, values in methods.items()
        }
        for column, reference in references.items()
    }
    titles = {column: f"T2 minus {REFERENCES[column]}, ms" for column in references}
    region = f"T2 of the {region_name(results.regions[0])}"
    panels = {titles[column]: values for column, values in differences.items()}
    caption = f"{region}, differences: a dot per subject and a bar at the mean."
    drawn = {"t2_differences": (caption, plots.dots(panels, shared_x=True))}
    for column, reference in references.items() if len(main.subjects) > 1 else ():
        caption = (
            f"Bland-Altman plot of {region} against {REFERENCES[column]}: a dot per subject, a "
            "line at the mean difference, and the limits of agreement (± 1.96 SD) shaded. A slope "
            "is a bias that grows with T2."
        )
        stem = f"bland_altman_{column.split('_')[1]}"
        drawn[stem] = (caption, plots.bland_altman(reference, methods, REFERENCES[column]))
    return _t2_tiles(titles, differences, len(main.subjects)), drawn, _t2_images(main)


def _t2_tiles(
    titles: Mapping[str, str],
    differences: Mapping[str, Mapping[str, Sequence[float]]],
    subjects: int,
) -> list[Tile]:
    paper_difference = np.mean(
        np.subtract(published_values.T2_MS[NETWORK], published_values.T2_THICK_MS)
    )
    notes = {
        "t2_thick_ms": f"paper {signed(paper_difference, 1)}",
        "t2_truth_ms": "the paper has no truth",
    }
    return [
        Tile(
            f"MRSR: {titles[column]}",
            signed(np.mean(values[NETWORK]), 1),
            f"mean of {subjects}; {notes[column]}",
        )
        for column, values in differences.items()
        if NETWORK in values
    ]


def _t2_images(results: Results) -> Captioned:
    subject = typical_subject(results, "t2_ms")
    introduction = _introduce(subject, results)
    views = {
        "t2": (
            f"T2 of {introduction}, on S1 of the thick scan in the slice that holds most of the "
            "region. Above: T2 on one scale. Below: differences from the thick scan's T2.",
            figures.t2_maps,
        ),
        "unrolled": (
            f"T2 of {introduction}, with the region laid out flat: the mean over its depth, along "
            "the circle that it follows (upwards to the front) and from the patient's right to "
            "left. All maps in one window; blank where there is no cartilage or no T2.",
            figures.unrolled,
        ),
    }
    images = {}
    for picture in load_planes(results.pictures_path(subject)):
        caption, draw = views[picture.view]
        images[picture.view] = (caption, draw(picture))
    return images


def _lesions(results: Results) -> Parts:
    records = lesion_records(results)
    panels = {
        heading: {
            method: (
                [r.size_mm for r in records if (r.metric, r.method) == (metric, method)],
                [r.value for r in records if (r.metric, r.method) == (metric, method)],
            )
            for method in results.methods
        }
        for metric, (heading, _) in LESION_METRICS.items()
    }
    caption = (
        "Lesions 2 mm wide within the slices, by their length across the slices: how many are "
        "detected at 5 % false positives, how much of their contrast is left, and how many false "
        "ones appear. “Truth” is the fine scan itself."
    )
    return [], {"lesions": (caption, plots.lines(panels, "length across the slices, mm"))}, {}


def _resolution(results: Results) -> Parts:
    means = mean_curves(results)
    transfer, edge = means[TRANSFER], means[EDGE]
    echoes = range(len(transfer[TRUTH]))
    # Rows of a transfer curve: frequency, transfer, false power (of the truth: noise power).
    transfer_panels = {
        f"S{echo + 1}: {title}": {
            NOISE if method == TRUTH else method: (curves[echo][0], curves[echo][row])
            for method, curves in transfer.items()
            if method != TRUTH or row == 2
        }
        for row, title in ((1, "transfer"), (2, "false power / truth's"))
        for echo in echoes
    }
    edge_panels = {
        f"S{echo + 1}: part of the step": {
            method: tuple(curves[echo]) for method, curves in edge.items()
        }
        for echo in echoes
    }
    transfer_caption = (
        "Along the slices, the mean over subjects: the amplitude that is transferred (1 is all of "
        "it), and the power that is present but incoherent with the truth. No method can predict "
        "the noise in the truth."
    )
    edge_caption = "Across surfaces parallel to the slices, the mean over all edges and subjects."
    distance = "distance across the slices, mm"
    drawn = {
        "transfer": (transfer_caption, plots.lines(transfer_panels, "cycles per mm")),
        "edge": (edge_caption, plots.lines(edge_panels, distance)),
    }
    return [], drawn, {}


def _viewer(results: Results, subject: str) -> Viewer | None:
    boxes = load_boxes(results.pictures_path(subject))
    if IMAGES not in boxes:
        return None
    images = boxes[IMAGES].panels
    maps = boxes[T2_MAPS].panels if T2_MAPS in boxes else {}
    display_name = method_name if maps else figures.heading
    order = sorted(figures.display_order({**images, **maps}), key=lambda name: name != THICK)
    caption = f"A part of {subject} in three planes."
    if maps:
        caption += " T2 of the regions is overlaid; the true T2 lies on the thick scan."
    return viewer(
        results.experiment,
        images,
        maps,
        boxes[IMAGES].spacing_mm,
        names={name: display_name(name) for name in order},
        selected=NETWORK if NETWORK in order else order[0],
        caption=caption,
    )


def typical_subject(results: Results, column: str) -> str:
    """The subject for which MRSR (without it, the first method) has the median value."""
    method = NETWORK if NETWORK in results.methods else results.methods[0]
    keys = {"echo": 1} if results.experiment == Experiment.IMAGE_QUALITY else {}
    values = results.values(method, column, **keys)
    return results.subjects[int(np.argsort(values)[(len(values) - 1) // 2])]


def _introduce(subject: str, results: Results) -> str:
    return subject + ", the subject with the median result" * (len(results.subjects) > 1)
