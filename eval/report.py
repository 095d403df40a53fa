"""Makes a report of evaluations: tables, figures and one HTML page that holds them.

    python -m eval.report --results=RESULTS/image_quality,RESULTS/t2 --output=REPORT

The output folder holds report.html, which opens offline, figures/ as PNG and SVG, and a table for
each evaluation: table1.csv of image quality, table2.csv of T2, lesions.csv and resolution.csv. The
tables are printed, too.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from mrsr_tf import __version__, cli
from mrsr_tf.errors import InputError

if TYPE_CHECKING:
    from eval.reporting.summaries import Summary
    from eval.results.rows import Results

RESULTS = flags.DEFINE_list(
    "results",
    None,
    "Folders that eval.evaluate wrote, at most one for each experiment.",
    required=True,
)
OUTPUT = flags.DEFINE_string("output", None, "The folder to write.", required=True)
VIEWER_SUBJECT = flags.DEFINE_string(
    "viewer_subject",
    None,
    "The subject that the page's viewer shows. By default it is the first one.",
)
OVERWRITE = cli.define_overwrite()


def main() -> None:
    """Prints the tables and writes the report."""
    from eval.reporting.summaries import summarize
    from eval.reporting.table_layout import to_text
    from eval.results.rows import read_results
    from mrsr_tf.outputs import output_folder

    evaluations = _one_per_experiment([read_results(Path(path)) for path in RESULTS.value])
    _check_viewer_subject(evaluations)
    summaries = [summarize(results) for results in evaluations]
    for summary in summaries:
        for table in summary.tables:
            print(to_text(table), end="\n\n")
    for results in evaluations:
        for subject, how in results.seen_subjects.items():
            print(f"not new to the network, which was {how} it: {subject}")
    configuration = _configuration(evaluations)
    with output_folder(OUTPUT.value, configuration, overwrite=OVERWRITE.value) as folder:
        _write_report(list(zip(evaluations, summaries, strict=True)), folder)
    print(f"report: {Path(OUTPUT.value) / 'report.html'}")


def _one_per_experiment(evaluations: "list[Results]") -> "list[Results]":
    experiments = [results.experiment for results in evaluations]
    if not experiments or len(set(experiments)) < len(experiments):
        raise InputError(
            f"expected one evaluation per experiment, got {' and '.join(experiments) or 'none'} in "
            f"{','.join(RESULTS.value)}"
        )
    return sorted(evaluations, key=lambda results: results.experiment)


def _check_viewer_subject(evaluations: "list[Results]") -> None:
    subjects = [subject for results in evaluations for subject in results.subjects]
    if VIEWER_SUBJECT.value and VIEWER_SUBJECT.value not in subjects:
        raise InputError(
            f"expected --viewer_subject among {', '.join(dict.fromkeys(subjects))}, got "
            f"{VIEWER_SUBJECT.value!r}"
        )


def _configuration(evaluations: "list[Results]") -> dict[str, str]:
    from eval.results.rows import ROWS

    digests = {
        str(results.experiment): hashlib.sha256((results.folder / ROWS).read_bytes()).hexdigest()
        for results in evaluations
    }
    viewer = {"viewer_subject": VIEWER_SUBJECT.value} if VIEWER_SUBJECT.value else {}
    return {"version": __version__, **digests, **viewer}


def _write_report(evaluations: "list[tuple[Results, Summary]]", folder: Path) -> None:
    from eval.reporting.html import page
    from eval.reporting.sections import section
    from eval.reporting.style import save_figure
    from mrsr_tf.outputs import versions

    sections = []
    for results, summary in evaluations:
        summary.write_csv(folder)
        sections.append(section(results, summary, VIEWER_SUBJECT.value or ""))
    for part in sections:
        for stem, (_, figure) in part.figures.items():
            save_figure(figure, folder / "figures", stem)
    packages = versions("numpy", "scipy", "matplotlib")
    (folder / "report.html").write_text(page(sections, packages), encoding="utf-8")


if __name__ == "__main__":
    cli.run(main)
