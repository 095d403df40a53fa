"""What README and docs tell to type: commands, flags, files and links that there are."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import COMMANDS, ROOT, flags_of

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
# A flagfile's usage comment is told to type as well.
FLAGFILES = sorted(path for path in (ROOT / "flags").rglob("*") if path.is_file())
NAMES = {path: path.relative_to(ROOT).as_posix() for path in PAGES + FLAGFILES}


def commands(path: Path) -> list[str]:
    """The lines of a text that call a module of ours, those that go on joined."""
    text = re.sub(r"\\\n[# ]*", " ", path.read_text(encoding="utf-8"))
    ours = r"python -m ((?:mrsr_tf|tf_records_tools|phantom|eval|benchmarks)[.\w]+[^\n`&|]*)"
    return re.findall(ours, text)


@pytest.mark.parametrize("path", NAMES, ids=NAMES.get)
def test_every_command_of_a_page_exists_and_has_the_flags_it_is_given(path):
    for line in commands(path):
        module, *arguments = shlex.split(line, comments=True)
        assert ROOT.joinpath(*module.split(".")).with_suffix(".py").is_file(), line
        given = {match[1] for a in arguments if (match := re.match(r"--(\w+)", a))}
        assert given <= flags_of(module), line
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
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(index.partition(":hidden:")[2].partition("```")[0].split())
    assert listed == {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path):
    pytest.importorskip("furo", reason="the extra `docs` is not installed")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "-q", ROOT / "docs", tmp_path],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (built.returncode, built.stderr) == (0, "")
    assert "Sveinsson" in (tmp_path / "method.html").read_text(encoding="utf-8")
    assert "rows, cols" in (tmp_path / "api.html").read_text(encoding="utf-8")
