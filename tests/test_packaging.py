"""What pip installs: everything that runs, nothing else; and it runs away from the source."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BUILD = """
from setuptools import build_meta
build_meta.build_sdist("..")
"""
PACKAGES = ("mrsr_tf", "tf_records_tools", "phantom", "eval")
BESIDE = ("benchmarks", "deploy", "docs", "flags", "tests")
DATA = (".jinja", ".js", ".npz", ".json")


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The source distribution, unpacked."""
    place = tmp_path_factory.mktemp("dist")
    for folder in (*PACKAGES, *BESIDE):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, place / "source" / folder, ignore=ignored)
    for path in filter(Path.is_file, ROOT.iterdir()):
        shutil.copyfile(path, place / "source" / path.name)
    python(place / "source", "-c", BUILD)
    (archive,) = place.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter="data")
    return place / archive.name.removesuffix(".tar.gz")


@pytest.fixture(scope="module")
def wheel(sdist):
    """The wheel that the source distribution gives."""
    python(sdist, "-c", BUILD.replace("sdist", "wheel"))
    (wheel,) = sdist.parent.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the wheel's content and nothing of the source."""
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


def python(folder, *arguments):
    """Runs Python in a folder, from whose packages it imports first; its output."""
    ran = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def sources(*folders: str) -> set[str]:
    """Of these folders of the source, what is to be installed; as the source names it."""
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix() for path in paths if path.suffix != ".pyc"}


def test_the_wheel_holds_the_packages_with_their_data_and_the_flagfiles_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as packed:
        held = {name for name in packed.namelist() if ".dist-info/" not in name}
    code = {name for name in sources(*PACKAGES) if name.endswith((".py", *DATA))}
    assert held == code | {f"mrsr_tf/{name}" for name in sources("flags")}
    assert {"eval/reporting/templates/report.html.jinja", "mrsr_tf/network/check_export.py"} <= held


def test_the_source_distribution_holds_what_tests_and_documents_it(sdist):
    for name in ("Makefile", "demo.sh", "requirements.lock", "tests/conftest.py", "docs/data.md"):
        assert (sdist / name).read_bytes() == (ROOT / name).read_bytes()
    assert all((sdist / name).is_file() for name in sources(*BESIDE))


def test_installed_it_runs_away_from_the_source(installed):
    version = python(installed, "-m", "mrsr_tf.infer", "--version")
    assert version == f"MRSR-TF {next(installed.glob('*.dist-info')).name.split('-')[1][:-5]}\n"
    loaded = python(installed, "-c", "import eval.report, mrsr_tf; print(mrsr_tf.__file__)")
    assert loaded.strip().startswith(str(installed))


def test_installed_it_says_where_the_flagfiles_lie_and_finds_them(installed):
    assert f"{installed}/mrsr_tf/flags" in python(installed, "-m", "mrsr_tf.train", "--help")
    for name in ("flags/paper/dual", f"{installed}/mrsr_tf/flags/paper/dual"):
        ran = subprocess.run(
            [sys.executable, "-m", "mrsr_tf.train", f"--flagfile={name}"],
            cwd=installed, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (ran.returncode, ran.stderr.split(";")[0]) == (
            2, "error: expected also --records and --run_dir",
        )  # fmt: skip


def test_the_container_has_the_tensorflow_that_the_tests_run_on():
    version = re.search(r"^TENSORFLOW_VERSION := (\S+)", (ROOT / "Makefile").read_text(), re.M)[1]
    assert f" tensorflow=={version} " in (ROOT / "Dockerfile").read_text()
