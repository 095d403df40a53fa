"""The pages on evaluation explain every column and the options of T2."""

import re
from pathlib import Path

import pytest
from commands import flags_of

from eval.results.rows import COLUMNS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "evaluation.md").read_text()
PAGES = PAGE + (ROOT / "docs" / "limits.md").read_text()
FLAGFILES = sorted((ROOT / "flags" / "evaluation").iterdir())


@pytest.mark.parametrize("experiment", COLUMNS)
def test_the_pages_explain_every_column(experiment):
    explained = set(re.findall(r"`(\w+)`", PAGES))
    named = {name for name in COLUMNS[experiment] if not name.endswith(("_body", "_inner"))}
    assert named <= explained


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.name)
def test_a_flagfile_sets_only_flags_of_the_command(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    assert {re.match(r"--(\w+)", line)[1] for line in lines} <= flags_of("eval.evaluate")


def test_the_table_of_options_names_existing_flags():
    table = PAGE.partition("| option |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`--(\w+)", table))
    assert named == {"roi", "t2_method", "t1_ms", "combination", "norim", "outliers"}
    assert named <= flags_of("eval.evaluate")
