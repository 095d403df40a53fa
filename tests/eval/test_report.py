import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from small_scans import t2_rows, write_cohort, write_results
from upsamplers import FunctionUpsampler

from eval.experiments import runner
from eval.experiments.config import EvaluationConfig
from eval.reporting.html import command_line, page
from eval.reporting.sections import section, signed, typical_subject
from eval.reporting.summaries import summarize
from eval.results.rows import SEEN, read_results
from mrsr_tf.inference.upsampling import Interpolation
from mrsr_tf.io.scans import find_scans
from mrsr_tf.outputs import write_json


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "eval.report", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def evaluate(folder, experiment: str, methods=("mrsr", "tci", "fi"), subjects: int = 2, **options):
    """Evaluates small knees, with Fourier interpolation in place of the network."""
    data = write_cohort(folder / f"data_{experiment}", subjects)
    scans = find_scans(data)
    config, out = EvaluationConfig(experiment=experiment, **options), folder / experiment
    upsamplers = [
        FunctionUpsampler(Interpolation("fi").upsample) if name == "mrsr" else Interpolation(name)
        for name in methods
    ]
    runner.evaluate(scans, upsamplers, config, out)
    model = {"name": "small", "weights_sha256": "0123456789abcdef"} if "mrsr" in methods else None
    configuration = {"methods": list(methods), "model": model, "subjects": list(scans)}
    write_json(out / "configuration.json", config.relevant() | configuration)
    write_json(out / "versions.json", {"python": "3.12", "mrsr_tf": "0.1.0"})
    return out


def report(folder) -> str:
    """The page of one evaluation."""
    results = read_results(folder)
    return page([section(results, summarize(results))], {"mrsr_tf": "0"})


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return evaluate(folder, "image_quality"), evaluate(folder, "t2")


class Page(HTMLParser):
    """What a page loads, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads, self.text, self.tags = [], "", []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [
            value for name, value in attributes if name in ("src", "href", "xlink:href", "data")
        ]

    def handle_data(self, data):
        self.text += data


def test_the_command_prints_the_tables_and_writes_the_report(both, tmp_path):
    out = tmp_path / "report"
    rows = ",".join(str(folder) for folder in both)
    result = run(f"--results={rows}", f"--output={out}")
    assert (result.returncode, result.stderr) == (0, "")
    assert "Table 1. Image quality, 2 subjects" in result.stdout
    assert "Table 2. T2, medial femoral cartilage, 2 subjects" in result.stdout
    assert result.stdout.strip().splitlines()[-1] == f"report: {out / 'report.html'}"
    written = {path.name for path in out.rglob("*") if path.is_file()}
    assert written == {
        *("report.html", "configuration.json", "contents.json", "table1.csv", "table2.csv"),
        *("gains.png", "gains.svg", "coronal.png", "coronal.svg", "axial.png", "axial.svg"),
        *("t2.png", "t2.svg", "t2_differences.png", "t2_differences.svg"),
        *("unrolled.png", "unrolled.svg", "bland_altman_thick.png", "bland_altman_thick.svg"),
        *("bland_altman_truth.png", "bland_altman_truth.svg"),
    }
    html = (out / "report.html").read_text()
    page = Page(html)
    assert all(load.startswith(("data:", "#")) for load in page.loads)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert page.tags.count("img") == 4
    assert page.tags.count("script") == 3  # the data of two viewers, and their program
    assert str(tmp_path) not in html
    assert str(both[0].parent) not in html
    assert "0123456789ab" in page.text
    again = run(f"--results={rows}", f"--output={out}")
    assert again.returncode == 0
    assert "Table 1" in again.stdout
    assert "finished" in again.stdout


@pytest.mark.parametrize("experiment", ["image_quality", "t2"])
def test_a_report_needs_neither_a_second_subject_nor_the_network(tmp_path, experiment):
    folder = evaluate(tmp_path, experiment, methods=("tci",), subjects=1)
    html = report(folder)
    assert "One subject only" in html
    assert "nan" not in Page(html).text
    assert "new to the network" not in html


def test_subjects_that_the_network_was_trained_on_are_listed_above_the_table(tmp_path):
    folder = evaluate(tmp_path, "image_quality")
    (folder / SEEN).mkdir()
    (folder / SEEN / "subject_1").write_text("trained on")
    html = report(folder)
    warning = "Not all of these scans are new to the network"
    assert warning in Page(html).text
    assert "it was trained on subject_1" in " ".join(Page(html).text.split())
    assert html.index(warning) < html.index("<table")


def test_several_regions_have_a_table_each_with_the_papers_values_beside_the_first(tmp_path):
    whole = "medial_femoral_cartilage"
    folder = evaluate(tmp_path, "t2", roi=(whole, f"{whole}:deep"), t2_method="exact")
    summary = summarize(read_results(folder))
    assert summary.file == "table2.csv"
    titles = [table.title for table in summary.tables]
    assert titles == [
        "Table 2. T2, medial femoral cartilage, 2 subjects",
        "Table 2. T2, medial femoral cartilage, deep layer, 2 subjects",
    ]
    published = {record.roi for record in summary.records if np.isfinite(record.paper_value)}
    assert published == {whole}
    text = Page(report(folder)).text
    assert all(title in text for title in titles)
    assert "steady state of both echoes inverted" in text
    assert f"{whole}, {whole}:deep" in text


@pytest.mark.parametrize(
    ("value", "shown"),
    [(-0.0004, "0.000"), (0.0004, "0.000"), (-0.0006, "\N{MINUS SIGN}0.001"), (0.1, "+0.100")],
)
def test_a_headline_that_rounds_to_zero_has_no_sign(value, shown):
    assert signed(value, 3) == shown


def test_text_from_results_cannot_become_markup(tmp_path):
    folder = evaluate(tmp_path, "t2", subjects=1)
    text = (folder / "rows.csv").read_text()
    evil = "<script>alert(1)</script>"
    (folder / "rows.csv").write_text(text.replace("subject_0", evil))
    configuration = json.loads((folder / "configuration.json").read_text())
    configuration["model"]["name"] = "<img src=http://x>"
    configuration["roi"] = ["<b>"]
    (folder / "configuration.json").write_text(json.dumps(configuration))
    (folder / "reformats" / "subject_0.npz").rename(folder / "reformats" / "x.npz")
    results = read_results(folder)
    harmless = replace(results, rows=[row | {"subject": "x"} for row in results.rows])
    html = page([section(harmless, summarize(results))], {"mrsr_tf": "0"})
    assert html.count("<script") == html.count("</script>") == 2  # the viewer's own
    assert evil in Page(html).text
    assert [load for load in Page(html).loads if "http" in load] == []


def test_the_command_line_shown_is_the_call_without_its_paths():
    shown = command_line(
        {"experiment": "t2", "slice_factor": 2, "roi": ["patella"], "methods": ["mrsr", "tci"]}
        | {"model": {"name": "x"}, "subjects": ["a"], "scsr_sha256": "0f", "scsr_stride": 2}
    )
    assert " ".join(shown.replace("\\\n", "").split()) == (
        "python -m eval.evaluate --experiment=t2 --slice_factor=2 --roi=patella --methods=mrsr,tci "
        "--scsr_stride=2 --data=DATA --output=RESULTS --model=MODEL --scsr=SCSR"
    )


def test_the_figures_are_of_the_subject_with_the_median_result(tmp_path):
    values = {"mrsr": [36.0, 39.0, 37.5], "tci": [40.0, 38.0, 39.0]}
    folder = write_results(tmp_path / "t2", "t2", t2_rows([35.0, 36.0, 37.0], values))
    assert typical_subject(read_results(folder), "t2_ms") == "s2"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--results=nowhere"], 1, "expected a finished evaluation, found no rows.csv in nowhere"),
        (["--results={q},{q}"], 1, "expected one evaluation per experiment"),
        (["--results="], 1, "expected one evaluation per experiment, got none"),
        ([], 2, "results"),
    ],
)
def test_a_wrong_call_prints_one_line_and_writes_nothing(tmp_path, both, arguments, code, message):
    call = [argument.format(q=both[0]) for argument in arguments]
    result = run(*call, f"--output={tmp_path / 'out'}")
    assert result.returncode == code
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_report_of_other_results_is_overwritten_only_on_request(tmp_path, both):
    out = tmp_path / "out"
    assert run(f"--results={both[0]}", f"--output={out}").returncode == 0
    other = run(f"--results={both[1]}", f"--output={out}")
    assert other.returncode == 1
    assert "expected the configuration that made" in other.stderr
    overwritten = run(f"--results={both[1]}", f"--output={out}", "--overwrite")
    assert overwritten.returncode == 0
    assert not (out / "table1.csv").exists()
