"""The report: one HTML file that holds everything it shows."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure

from eval.experiments.resolution import EDGE, TRANSFER
from eval.methods import INPUT, NETWORK
from eval.reporting import figures, limits, plots, published_values, table_layout
from eval.reporting.table_layout import Table, region_name
from eval.reporting.viewer import Viewer, viewer
from eval.results import planes
from eval.results.planes import TRUTH
from eval.results.rows import MADE_WITH, PICTURES, Results, unique

TEMPLATE = "report.html.jinja"
DECIMALS = {"psnr_db": 1, "ssim": 3}
# Column -> what the reference is called.
REFERENCES = {"t2_thick_ms": "the thick scan's", "t2_truth_ms": "the truth"}
Captioned = Mapping[str, tuple[str, Figure]]


@dataclass(frozen=True)
class Tile:
    """A headline figure: what, how much, and a word on it."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class Section:
    """What the report shows of one cohort.

    Attributes:
        cohort: one of `results.COLUMNS`.
        tiles: the headline figures.
        tables: the paper's table, of T2 one per region; of what is not in the paper, one.
        dots: file stem -> (caption, plot).
        images: file stem -> (caption, figure).
        viewer: three planes of a subject; None where the evaluation kept none.
        command: the command line that made the rows.
        versions: package -> version, as of then.
        configuration: what the evaluation wrote down.
        known: subject -> how the network knows it; empty where all are new to it.
    """

    cohort: str
    tiles: Sequence[Tile]
    tables: Sequence[Table]
    dots: Captioned
    images: Captioned
    viewer: Viewer | None
    command: str
    versions: Mapping[str, str]
    configuration: Mapping[str, object]
    known: Mapping[str, str]

    @property
    def figures(self) -> Captioned:
        """All of its figures."""
        return {**self.dots, **self.images}


def section(results: Results, tables: Sequence[Table], subject: str = "") -> Section:
    """Everything to show of one evaluation; in the viewer `subject`, the first if it has none."""
    parts = {
        "image_quality": _image_quality,
        "t2": _t2,
        "lesions": _lesions,
        "resolution": _resolution,
    }
    tiles, dots, images = parts[results.cohort](results)
    return Section(
        results.cohort,
        tiles,
        tables,
        dots,
        images,
        viewer(results, subject if subject in results.subjects else results.subjects[0]),
        command_line(results.configuration),
        json.loads((results.folder / MADE_WITH).read_text(encoding="utf-8")),
        results.configuration,
        results.known,
    )


Parts = tuple[list[Tile], Captioned, Captioned]


def _image_quality(results: Results) -> Parts:
    gains, subjects = _gains(results), len(results.subjects)
    tiles = [
        Tile(
            f"{_title(column, echo)}: MRSR minus TCI",
            _signed(np.mean(values[NETWORK]), DECIMALS[column]),
            f"mean of {subjects}; paper {_signed(_paper_gain(column, echo), DECIMALS[column])}",
        )
        for (column, echo), values in gains.items()
        if NETWORK in values
    ]
    shown = typical(results, "psnr_db")
    images = {
        picture.view: (
            f"{picture.view.capitalize()} reformat of {_introduced(shown, results)}, in the plane "
            f"of most structure. Above: all in one window (gamma {planes.GAMMA:g}); the inset is "
            "where the input lost most. Below: differences from the truth on one scale.",
            figures.reformat(picture),
        )
        for picture in planes.load(results.folder / PICTURES / f"{shown}.npz")
    }
    panels = {_title(*key): values for key, values in gains.items()}
    caption = "Gain over TCI: a dot per subject, a bar at the mean."
    return tiles, {"gains": (caption, plots.dots(panels))} if panels else {}, images


def _gains(results: Results) -> dict[tuple[str, int], dict[str, list[float]]]:
    """(quality, echo) -> method -> what each subject gains over TCI; none without it or others."""
    others = [method for method in results.methods if method != INPUT]
    if not others or len(others) == len(results.methods):
        return {}
    return {
        (column, int(echo)): {
            method: np.subtract(
                _values(results, method, column, echo), _values(results, INPUT, column, echo)
            ).tolist()
            for method in others
        }
        for column in DECIMALS
        for echo in unique(row["echo"] for row in results.rows)
    }


def _title(column: str, echo: int) -> str:
    return f"S{echo} {'pSNR, dB' if column == 'psnr_db' else 'SSIM'}"


def _paper_gain(column: str, echo: int) -> float:
    reported = published_values.TABLE_1[column, echo]
    return reported[NETWORK].mean - reported[INPUT].mean


def _signed(value: float | np.floating, decimals: int) -> str:
    """With a sign that is as wide as a plus; none where it rounds to zero."""
    shown = f"{value:+.{decimals}f}"
    return shown.replace("-", "\N{MINUS SIGN}") if float(shown) else shown[1:]


def _t2(results: Results) -> Parts:
    """Of the first region."""
    main = results.within(results.regions[0])
    methods = {method: _values(main, method, "t2_ms") for method in main.methods}
    references = {
        column: values
        for column in REFERENCES
        if np.isfinite(values := _values(main, main.methods[0], column)).all()
    }
    differences = {
        f"T2 minus {REFERENCES[column]}, ms": {
            method: np.subtract(values, reference).tolist() for method, values in methods.items()
        }
        for column, reference in references.items()
    }
    paper_difference = np.mean(
        np.subtract(published_values.T2_MS[NETWORK], published_values.T2_THICK_MS)
    )
    notes = [f"paper {_signed(paper_difference, 1)}", "the paper has no truth"]
    tiles = [
        Tile(
            f"MRSR: {title}",
            _signed(np.mean(values[NETWORK]), 1),
            f"mean of {len(main.subjects)}; {note}",
        )
        for (title, values), note in zip(differences.items(), notes, strict=False)
        if NETWORK in values
    ]
    where = f"T2 of the {region_name(results.regions[0])}"
    about = f"{where}, differences: a dot per subject, a bar at the mean."
    dots = {"t2_differences": (about, plots.dots(differences, one_scale=True))}
    for column, reference in references.items() if len(main.subjects) > 1 else ():
        caption = (
            f"{where} against {REFERENCES[column]}, as Bland and Altman plot it: a dot per "
            "subject, a line at the mean difference, shaded between the limits of agreement "
            "(± 1.96 SD). A slope is a bias that grows with T2."
        )
        stem = f"bland_altman_{column.split('_')[1]}"
        dots[stem] = (caption, plots.bland_altman(reference, methods, REFERENCES[column]))
    return tiles, dots, _t2_images(main)


def _t2_images(results: Results) -> Captioned:
    shown = typical(results, "t2_ms")
    introduced = _introduced(shown, results)
    drawn = {
        "t2": (
            f"T2 of {introduced}, in the slice that holds most of the region, on the thick scan's "
            "S1. Above: T2 on one scale. Below: differences from the thick scan's, on another.",
            figures.t2_maps,
        ),
        "unrolled": (
            f"T2 of {introduced}, the region laid out flat: the mean over its depth, along the "
            "circle it follows (upwards to the front) and from the patient's right to left. All "
            "in one window; blank where there is no cartilage or no T2.",
            figures.unrolled,
        ),
    }
    found = planes.load(results.folder / PICTURES / f"{shown}.npz")
    return {
        picture.view: (drawn[picture.view][0], drawn[picture.view][1](picture)) for picture in found
    }


def _lesions(results: Results) -> Parts:
    records = limits.lesions(results)
    titles = {
        metric: table_layout.OF_LIMITS[metric][0] for metric in unique(r["metric"] for r in records)
    }
    panels = {
        title: {
            method: tuple(
                [r[key] for r in records if (r["metric"], r["method"]) == (metric, method)]
                for key in ("size_mm", "value")
            )
            for method in results.methods
        }
        for metric, title in titles.items()
    }
    caption = (
        "Lesions 2 mm wide within the slices, by their length across them: how many are found at "
        "5 % false positives, how much of their contrast is left, and what is found that is not "
        "there. “Truth” is the fine scan itself."
    )
    return [], {"lesions": (caption, plots.lines(panels, "length across the slices, mm"))}, {}


NOISE = "Noise in the truth"


def _resolution(results: Results) -> Parts:
    means = limits.curves(results)
    along, edge = means[TRANSFER], means[EDGE]
    echoes = range(len(along[TRUTH]))
    transfers = {
        f"S{echo + 1}: {title}": {
            NOISE if method == TRUTH else method: (of[echo][0], of[echo][row])
            for method, of in along.items()
            if method != TRUTH or row == 2
        }
        for row, title in ((1, "transfer"), (2, "false power / truth's"))
        for echo in echoes
    }
    spreads = {
        f"S{echo + 1}: part of the step": {name: tuple(of[echo]) for name, of in edge.items()}
        for echo in echoes
    }
    dots = {
        "transfer": (
            "Along the slices, the mean over subjects: the amplitude that is transferred (1 is "
            "all), and the power that is there but incoherent with the truth. What of the truth is "
            "noise, no method can tell.",
            plots.lines(transfers, "cycles per mm"),
        ),
        "edge": (
            "Across surfaces that lie along the slices, the mean over all edges and subjects.",
            plots.lines(spreads, "distance across the slices, mm"),
        ),
    }
    return [], dots, {}


def _values(results: Results, method: str, column: str, echo: float | None = None) -> list[float]:
    return [
        row[column]
        for row in results.rows
        if row["method"] == method and (echo is None or row["echo"] == echo)
    ]


def typical(results: Results, column: str) -> str:
    """The subject whose value by MRSR (else by the first method) is the median."""
    method = NETWORK if NETWORK in results.methods else results.methods[0]
    echo = 1 if results.cohort == "image_quality" else None
    values = _values(results, method, column, echo)
    return results.subjects[int(np.argsort(values)[(len(values) - 1) // 2])]


def _introduced(subject: str, results: Results) -> str:
    return subject + ", the subject with the median result" * (len(results.subjects) > 1)


def command_line(configuration: Mapping[str, object]) -> str:
    """The call that made an evaluation, its paths left open."""
    flags = {
        name: ",".join(map(str, value)) if isinstance(value, list) else value
        for name, value in configuration.items()
        if name not in ("model", "subjects", "scsr_sha256")
    }
    models = {"model": "MODEL", "scsr_sha256": "SCSR"}
    given = {
        name.removesuffix("_sha256"): models[name] for name in models if configuration.get(name)
    }
    paths = {"data": "DATA", "output": "RESULTS", **given}
    words = [f"--{name}={value}" for name, value in (flags | paths).items()]
    return " \\\n    ".join(["python -m eval.evaluate", *words])


def html(sections: Sequence[Section], versions: Mapping[str, str]) -> str:
    """The page. All text is escaped; images are inside; nothing is loaded from elsewhere."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["png"] = _png
    environment.filters["svg"] = _svg
    return environment.get_template(TEMPLATE).render(sections=sections, versions=versions)


def _png(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(figures.rendered(figure, "png")).decode()


def _svg(figure: Figure) -> str:
    """The figure as an element of the page, in its ink."""
    drawn = figures.rendered(figure, "svg").decode()
    return drawn[drawn.index("<svg") :].replace(figures.INK, "currentColor")
