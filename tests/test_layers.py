"""Imports run one way through the house."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# In the order the data flows: a module imports only those before it.
CORE = (
    "errors outputs volume noise interpolated dicom sidecar echo_files nifti_grid nifti packed "
    "skm_tea rois subjects persons scans derived slices patches records manifest record_sets "
    "sampling dataset dess sequence losses augmentation settings optimization model check_export "
    "streaming exported shipped runs quality known_subject pictures watching keeping strategies "
    "starting fitting training consistency ensemble likeness resolving studies inference node"
).split()
COMMANDS = {"mrsr_tf": ["train", "export", "infer", "serve"]}
OF_COMMANDS = ("command", "workers")  # what they share: their words, their processes
WITHOUT_TENSORFLOW = (
    "mrsr_tf mrsr_tf.volume mrsr_tf.dicom mrsr_tf.nifti mrsr_tf.scans mrsr_tf.slices "
    "mrsr_tf.patches mrsr_tf.record_sets mrsr_tf.settings mrsr_tf.dess mrsr_tf.studies "
    "eval.metrics eval.statistics eval.t2 phantom.simulate tf_records_tools.cohort "
    "tf_records_tools.checking"
).split()


def imported(path: Path) -> set[str]:
    """The dotted names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module(path: Path) -> str:
    """`mrsr_tf/dicom/reading.py` is part of the module `dicom`."""
    return path.relative_to(ROOT / "mrsr_tf").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", files("mrsr_tf"), ids=str)
def test_the_core_imports_only_what_stands_before(path):
    name = module(path)
    if name in ("__init__", *OF_COMMANDS) or name in COMMANDS["mrsr_tf"]:
        allowed = {*CORE, *OF_COMMANDS}
    else:
        allowed = set(CORE[: CORE.index(name) + 1])
    parts = {
        n.split(".")[1] for n in imported(path) if n.startswith("mrsr_tf.") and n.count(".") >= 1
    }
    assert parts & {*CORE, *OF_COMMANDS, *COMMANDS["mrsr_tf"]} <= allowed


@pytest.mark.parametrize("package", ["mrsr_tf", "tf_records_tools", "phantom", "eval"])
def test_packages_beside_the_core_do_not_know_each_other(package):
    others = {"tf_records_tools", "phantom", "eval"} - {package}
    for path in files(package):
        assert not {name.split(".")[0] for name in imported(path)} & others, path


def test_only_commands_define_flags_and_nothing_imports_a_command():
    commands = {
        path
        for p in ("mrsr_tf", "tf_records_tools", "phantom", "eval")
        for path in files(p)
        if "    command.run(main)\n" in path.read_text().split("__main__")[-1]
    }
    assert len(commands) >= 9
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in commands}
    for package in ("mrsr_tf", "tf_records_tools", "phantom", "eval"):
        for path in files(package):
            assert path in commands or "DEFINE_" not in path.read_text(), path
            assert not imported(path) & names, path


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_what_needs_no_tensorflow_loads_none(name):
    code = f"import sys, {name}; print('tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "False\n", result.stderr
