"""The report as one HTML file that holds everything it shows."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from eval.reporting.sections import Section
from eval.reporting.style import INK, render
from mrsr_tf.viewing.html import environment

TEMPLATES = Path(__file__).with_name("templates")


def page(sections: Sequence[Section], versions: Mapping[str, str]) -> str:
    """The page, with all text escaped, all images embedded and nothing loaded from elsewhere.

    Args:
        sections: one for each evaluation.
        versions: package -> version, of what makes the report.
    """
    templates = environment(TEMPLATES)
    templates.filters["png"] = _png
    templates.filters["svg"] = _svg
    templates.filters["command_line"] = command_line
    return templates.get_template("report.html.jinja").render(sections=sections, versions=versions)


def command_line(configuration: Mapping[str, object]) -> str:
    """The command that made an evaluation, with placeholders for its paths."""
    flags = {
        name: ",".join(map(str, value)) if isinstance(value, list) else value
        for name, value in configuration.items()
        if name not in ("model", "subjects", "scsr_sha256")
    }
    paths = {"data": "DATA", "output": "RESULTS"}
    if configuration.get("model"):
        paths["model"] = "MODEL"
    if configuration.get("scsr_sha256"):
        paths["scsr"] = "SCSR"
    words = [f"--{name}={value}" for name, value in {**flags, **paths}.items()]
    return " \\\n    ".join(["python -m eval.evaluate", *words])


def _png(figure: Figure) -> str:
    return "data:image/png;base64," + base64.b64encode(render(figure, "png")).decode()


def _svg(figure: Figure) -> str:
    """The figure as an SVG element in the page's text colour."""
    svg = render(figure, "svg").decode()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")
