"""Commands, flags, files and links in README and docs exist."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import COMMANDS, ROOT, flags_of

import mrsr_tf

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# The usage comment of a flagfile holds commands as well.
FLAGFILES = sorted(path for path in (ROOT / "flags").rglob("*") if path.is_file())
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"
NAMES = {path: path.relative_to(ROOT).as_posix() for path in PAGES + FLAGFILES}


def commands(path: Path) -> list[str]:
    """The calls of this project's modules in a text, with continued lines joined."""
    text = re.sub(r"\\\n[# ]*", " ", path.read_text(encoding="utf-8"))
    ours = r"python -m ((?:mrsr_tf|tf_records_tools|phantom|eval|benchmarks)[.\w]+[^\n`&|]*)"
    return re.findall(ours, text)


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_every_command_of_a_page_exists_and_has_its_flags(path):
    for line in commands(path):
        module, *arguments = shlex.split(line, comments=True)
        assert ROOT.joinpath(*module.split(".")).with_suffix(".py").is_file(), line
        flags = {match[1] for a in arguments if (match := re.match(r"--(\w+)", a))}
        assert flags <= flags_of(module), line
        for name in re.findall(r"--flagfile=(flags/\S+)", line):
            assert (ROOT / name).is_file() or name.endswith("..."), line


def test_the_pages_call_every_command():
    called = {line.split()[0] for path in PAGES for line in commands(path)}
    assert set(COMMANDS) - called == set()


@pytest.mark.parametrize("path", PAGES, ids=NAMES.get)
def test_links_between_pages_lead_somewhere(path):
    for link in re.findall(r"\]\(([^)#\s]*)(?:#[\w-]+)?\)", path.read_text(encoding="utf-8")):
        assert link.startswith("http") or (path.parent / link).exists(), link


def test_every_page_is_in_the_table_of_contents():
    docs = ROOT / "docs"
    trees = (docs / "index.md").read_text(encoding="utf-8").split("```{toctree}")[1:]
    listed = [
        line
        for tree in trees
        for line in tree.partition("```")[0].split("\n")
        if line and line[0] not in ":{"
    ]
    files = [*docs.rglob("*.md"), TUTORIAL]
    pages = {path.relative_to(docs).with_suffix("").as_posix() for path in files}
    assert sorted(listed) == sorted(pages - {"index"})


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_python_examples_call_public_names(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    calls = set(re.findall(r"mrsr_tf\.(\w+)\(", text))
    assert {"read", "super_resolve", "t2_map", "write"} <= calls <= set(mrsr_tf.__all__)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/reliability.md"])
def test_paths_in_tables_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    names = re.findall(r"`([\w/]+(?:\.py|/\w+))`|`(\w+\.py)`", rows)
    tests = {path.name for path in (ROOT / "tests").rglob("*.py")}
    for name in ("".join(pair) for pair in names):
        assert (ROOT / name).exists() or name in tests, name


def test_the_tutorial_calls_public_names_and_holds_no_output():
    cells = json.loads(TUTORIAL.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)
    text = "".join("".join(cell["source"]) for cell in code)
    calls = set(re.findall(r"mrsr_tf\.(\w+)\(", text))
    assert {"read", "thicken", "super_resolve", "t2_map"} <= calls <= set(mrsr_tf.__all__)


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("myst_nb", reason="the extra `docs` is not installed")
    call = ["sphinx", "--fail-on-warning", "-q", "-D", "nb_execution_mode=off"]
    sphinx = subprocess.run(
        [sys.executable, "-m", *call, ROOT / "docs", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (sphinx.returncode, sphinx.stderr) == (0, "")
    assert "Sveinsson" in (tmp_path / "method.html").read_text(encoding="utf-8")
    assert "rows, cols" in (tmp_path / "api.html").read_text(encoding="utf-8")
