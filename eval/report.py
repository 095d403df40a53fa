"""Makes the report of evaluations, one of each cohort: tables, figures and a page that holds them.

    python -m eval.report --results=RESULTS/image_quality,RESULTS/t2 --output=REPORT

Gives REPORT/report.html (opens offline), table1.csv of an image-quality evaluation, table2.csv of
a T2 evaluation, lesions.csv and resolution.csv of the others, and figures/ as PNG and SVG; and
prints the tables.
"""

import hashlib
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from mrsr_tf import __version__, cli
from mrsr_tf.errors import InputError

if TYPE_CHECKING:
    from eval.reporting.html import Section
    from eval.results.rows import Results

RESULTS = flags.DEFINE_list(
    "results", None, "Folders that eval.evaluate wrote, one per cohort.", required=True
)
OUTPUT = flags.DEFINE_string("output", None, "Folder to write.", required=True)
VIEWER_SUBJECT = flags.DEFINE_string(
    "viewer_subject", None, "Whom the page's viewer shows; the first subject without."
)
OVERWRITE = flags.DEFINE_bool("overwrite", False, "Replace what the output folder holds.")


def main() -> None:
    """Prints the tables and writes the report."""
    from eval.reporting import html, summaries, table_layout
    from eval.results import rows
    from mrsr_tf.outputs import output_folder

    evaluations = _one_per_cohort([rows.read(Path(folder)) for folder in RESULTS.value])
    _check_subject(evaluations)
    tabulated = [table_layout.tabulate(each) for each in evaluations]
    for _, _, laid_out in tabulated:
        for table in laid_out:
            print(table_layout.text(table), end="\n\n")
    for each in evaluations:
        for subject, how in each.known.items():
            print(f"not new to the network, which was {how} it: {subject}")
    with output_folder(
        OUTPUT.value, _configuration(evaluations), overwrite=OVERWRITE.value
    ) as folder:
        for name, records, _ in tabulated:
            summaries.write_csv(folder / name, records)
        sections = [
            html.section(each, laid_out, VIEWER_SUBJECT.value or "")
            for each, (_, _, laid_out) in zip(evaluations, tabulated, strict=True)
        ]
        _save_figures(sections, folder / "figures")
        (folder / "report.html").write_text(html.html(sections, _versions()), encoding="utf-8")
    print(f"report: {Path(OUTPUT.value) / 'report.html'}")


def _one_per_cohort(evaluations: "list[Results]") -> "list[Results]":
    cohorts = [each.cohort for each in evaluations]
    if not cohorts or len(set(cohorts)) < len(cohorts):
        raise InputError(
            f"expected one evaluation per cohort, got {' and '.join(cohorts) or 'none'} in "
            f"{','.join(RESULTS.value)}"
        )
    return sorted(evaluations, key=lambda each: each.cohort)


def _check_subject(evaluations: "list[Results]") -> None:
    known = [subject for each in evaluations for subject in each.subjects]
    if VIEWER_SUBJECT.value and VIEWER_SUBJECT.value not in known:
        raise InputError(
            f"expected --viewer_subject among {', '.join(dict.fromkeys(known))}, got "
            f"{VIEWER_SUBJECT.value!r}"
        )


def _configuration(evaluations: "list[Results]") -> dict[str, str]:
    from eval.results.rows import ROWS

    digests = {
        each.cohort: hashlib.sha256((each.folder / ROWS).read_bytes()).hexdigest()
        for each in evaluations
    }
    chosen = {"viewer_subject": VIEWER_SUBJECT.value} if VIEWER_SUBJECT.value else {}
    return {"version": __version__, **digests, **chosen}


def _save_figures(sections: "list[Section]", folder: Path) -> None:
    from eval.reporting import figures

    for section in sections:
        for stem, (_, figure) in section.figures.items():
            figures.save(figure, folder, stem)


def _versions() -> dict[str, str]:
    import matplotlib
    import numpy
    import scipy

    packages = (numpy, scipy, matplotlib)
    return {
        "mrsr_tf": __version__,
        "python": platform.python_version(),
        **{package.__name__: package.__version__ for package in packages},
    }


if __name__ == "__main__":
    cli.run(main)
