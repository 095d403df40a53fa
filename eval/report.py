"""Makes a report of evaluations: tables, figures and one HTML page that holds them.

    python -m eval.report --results=RESULTS/image_quality,RESULTS/t2 --output=REPORT

The output folder holds report.html, which opens offline, figures/ as PNG and SVG, and a table for
each evaluation: table1.csv of image quality, table2.csv of T2, lesions.csv and resolution.csv. The
tables are printed, too.
"""

import hashlib
from pathlib import Path

from absl import flags

from eval.results.rows import ROWS, Results, read_results, unique
from mrsr_tf import __version__, cli
from mrsr_tf.errors import InputError

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
    from eval.reporting.html import page
    from eval.reporting.sections import section
    from eval.reporting.style import save_figure
    from eval.reporting.summaries import summarize
    from eval.reporting.table_layout import to_text
    from mrsr_tf.outputs import check_output, output_folder, versions

    check_output(OUTPUT.value, RESULTS.value)
    evaluations = _read_evaluations()
    summaries = [summarize(results) for results in evaluations]
    for summary in summaries:
        for table in summary.tables:
            print(to_text(table), end="\n\n")
    for results in evaluations:
        for subject, how in results.seen_subjects.items():
            print(f"not new to the network, which was {how} it: {subject}")
    output = output_folder(
        OUTPUT.value,
        _configuration(evaluations),
        command="eval.report",
        overwrite=OVERWRITE.value,
    )
    with output as out:
        sections = [
            section(results, summary, VIEWER_SUBJECT.value)
            for results, summary in zip(evaluations, summaries, strict=True)
        ]
        for part in sections:
            part.summary.write_csv(out)
            for stem, (_, figure) in part.figures.items():
                save_figure(figure, out / "figures", stem)
        html = page(sections, versions("numpy", "scipy", "matplotlib"))
        (out / "report.html").write_text(html, encoding="utf-8")
    print(f"report: {Path(OUTPUT.value) / 'report.html'}")


def _read_evaluations() -> list[Results]:
    """The evaluations in order of experiment, after a check of the flags against them."""
    evaluations = [read_results(Path(path)) for path in RESULTS.value]
    experiments = [results.experiment for results in evaluations]
    if not experiments or len(set(experiments)) < len(experiments):
        raise InputError(
            f"expected one evaluation per experiment, got {' and '.join(experiments) or 'none'} in "
            f"{','.join(RESULTS.value)}"
        )
    evaluations.sort(key=lambda results: results.experiment)
    subjects = unique(subject for results in evaluations for subject in results.subjects)
    if VIEWER_SUBJECT.value and VIEWER_SUBJECT.value not in subjects:
        raise InputError(
            f"expected --viewer_subject among {', '.join(subjects)}, got {VIEWER_SUBJECT.value!r}"
        )
    return evaluations


def _configuration(evaluations: list[Results]) -> dict[str, str]:
    digests = {
        str(results.experiment): hashlib.sha256((results.folder / ROWS).read_bytes()).hexdigest()
        for results in evaluations
    }
    viewer = {"viewer_subject": VIEWER_SUBJECT.value} if VIEWER_SUBJECT.value else {}
    return {"version": __version__, **digests, **viewer}


if __name__ == "__main__":
    cli.run(main)
