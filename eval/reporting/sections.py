"""What the report shows of each experiment: headline figures, plots, images and the viewer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from eval.experiments.resolution import EDGE, TRANSFER
from eval.methods import INPUT, NETWORK
from eval.metrics import METRICS
from eval.reporting import figures, plots, published_values
from eval.reporting.summaries import Summary
from eval.reporting.summaries.lesions import METRICS as LESION_METRICS
from eval.reporting.summaries.lesions import lesion_records
from eval.reporting.summaries.resolution import mean_curves
from eval.reporting.summaries.t2 import measured_references, region_name
from eval.reporting.viewer import subject_viewer
from eval.results.planes import IMAGES, TRUTH, load_pictures
from eval.results.rows import Experiment, Results, unique
from mrsr_tf.viewing.boxes import GAMMA
from mrsr_tf.viewing.viewer import Viewer

HEADLINE_METRICS = ("psnr_db", "ssim")  # those whose gain over TCI is shown
REFERENCE_NAMES = {"thick": "the thick scan's", "truth": "the truth"}
NOISE = "Noise in the truth"
Captioned = Mapping[str, tuple[str, Figure]]  # file stem -> (caption, figure)


@dataclass(frozen=True)
class Tile:
    """A headline figure."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Section:
    """What the report shows of one evaluation.

    Attributes:
        results: the evaluation.
        summary: its tables.
        tiles: the headline figures.
        plots: drawn as SVG.
        images: drawn as PNG.
        viewer: three linked planes of a subject; None where the evaluation saved no boxes.
    """

    results: Results
    summary: Summary
    tiles: Sequence[Tile]
    plots: Captioned
    images: Captioned
    viewer: Viewer | None

    @property
    def figures(self) -> Captioned:
        """All plots and images."""
        return {**self.plots, **self.images}


Parts = tuple[Sequence[Tile], Captioned, Captioned]  # tiles, plots, images


def section(results: Results, summary: Summary, subject: str | None = None) -> Section:
    """The section of one evaluation; the viewer shows `subject`, or the first if there is none."""
    parts = {
        Experiment.IMAGE_QUALITY: _image_quality,
        Experiment.T2: _t2,
        Experiment.LESIONS: _lesions,
        Experiment.RESOLUTION: _resolution,
    }
    shown = subject if subject in results.subjects else results.subjects[0]
    return Section(
        results, summary, *parts[results.experiment](results), subject_viewer(results, shown)
    )


def _image_quality(results: Results) -> Parts:
    gains, subjects = _gains(results), len(results.subjects)
    tiles = [
        Tile(
            f"{_title(metric, echo)}: MRSR minus TCI",
            signed(np.mean(values[NETWORK]), METRICS[metric].decimals),
            f"mean of {subjects}{_paper_gain(metric, echo)}",
        )
        for (metric, echo), values in gains.items()
        if NETWORK in values
    ]
    subject = typical_subject(results, "psnr_db")
    images = {
        view: (
            f"{view.capitalize()} reformat of {_introduce(subject, results)}, in the plane "
            f"with most structure. Above: all images in one window (gamma {GAMMA:g}); the inset "
            "shows where the input lost most. Below: differences from the truth on one scale.",
            figures.reformat(picture),
        )
        for view, picture in load_pictures(results.pictures_path(subject)).items()
        if view != IMAGES
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
        for metric in HEADLINE_METRICS
        for echo in unique(row["echo"] for row in results.rows)
    }


def _title(metric: str, echo: int) -> str:
    return f"S{echo} {METRICS[metric].label}"


def _paper_gain(metric: str, echo: int) -> str:
    published = published_values.TABLE_1.get((metric, echo))
    if not published:
        return ""
    gain = published[NETWORK].paper_mean - published[INPUT].paper_mean
    return f"; paper {signed(gain, METRICS[metric].decimals)}"


def signed(value: float | np.floating, decimals: int) -> str:
    """A number with its sign, the minus as wide as a plus; no sign if it rounds to zero."""
    number = f"{value:+.{decimals}f}"
    return number.replace("-", "\N{MINUS SIGN}") if float(number) else number[1:]


def _t2(results: Results) -> Parts:
    """The parts for the first region."""
    main = results.within(results.regions[0])
    subjects, region = len(main.subjects), f"T2 of the {region_name(results.regions[0])}"
    methods = {method: main.values(method, "t2_ms") for method in main.methods}
    tiles, panels, drawn = [], {}, {}
    for reference, values in measured_references(main).items():
        name = REFERENCE_NAMES[reference]
        title = f"T2 minus {name}, ms"
        panels[title] = {
            method: np.subtract(t2_ms, values).tolist() for method, t2_ms in methods.items()
        }
        if NETWORK in methods:
            difference = signed(np.mean(panels[title][NETWORK]), 1)
            note = f"mean of {subjects}; {_paper_difference(reference)}"
            tiles.append(Tile(f"MRSR: {title}", difference, note))
        if subjects > 1:
            caption = (
                f"Bland-Altman plot of {region} against {name}: a dot per subject, a line at the "
                "mean difference, and the limits of agreement (± 1.96 SD) shaded. A slope is a "
                "bias that grows with T2."
            )
            figure = plots.bland_altman(values, methods, name)
            drawn[f"bland_altman_{reference}"] = (caption, figure)
    caption = f"{region}, differences: a dot per subject and a bar at the mean."
    differences = {"t2_differences": (caption, plots.dots(panels, shared_x=True))}
    return tiles, differences | drawn, _t2_images(main)


def _paper_difference(reference: str) -> str:
    if reference == TRUTH:
        return "the paper has no truth"
    differences = np.subtract(published_values.T2_MS[NETWORK], published_values.T2_THICK_MS)
    return f"paper {signed(np.mean(differences), 1)}"


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
    pictures = load_pictures(results.pictures_path(subject))
    return {
        view: (caption, draw(pictures[view]))
        for view, (caption, draw) in views.items()
        if view in pictures
    }


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


def typical_subject(results: Results, column: str) -> str:
    """The subject for which MRSR (without it, the first method) has the median value."""
    method = NETWORK if NETWORK in results.methods else results.methods[0]
    keys = {"echo": 1} if results.experiment == Experiment.IMAGE_QUALITY else {}
    values = results.values(method, column, **keys)
    return results.subjects[int(np.argsort(values)[(len(values) - 1) // 2])]


def _introduce(subject: str, results: Results) -> str:
    return subject + ", the subject with the median result" * (len(results.subjects) > 1)
