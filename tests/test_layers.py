"""Imports run one way through the package."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("mrsr_tf", "tf_records_tools", "phantom", "eval")
# In the order the data flows: a subpackage imports itself and those before it.
SUBPACKAGES = "mri io records network training inference viewing serving".split()
FOUNDATION = "__init__ errors outputs volume".split()  # below all subpackages
COMMANDS = "train export infer serve".split()  # above all subpackages, with what only they share
SHARED_BY_COMMANDS = "cli parallel upsampler_flags".split()
SHARED_FLAGS = {"mrsr_tf.cli", "mrsr_tf.upsampler_flags"}
WITHOUT_TENSORFLOW = (
    "mrsr_tf mrsr_tf.volume mrsr_tf.cli mrsr_tf.io.scans mrsr_tf.io.labels mrsr_tf.mri.slices "
    "mrsr_tf.mri.dess mrsr_tf.records.patches mrsr_tf.records.manifest mrsr_tf.training.config "
    "mrsr_tf.records.contrasts mrsr_tf.network.precision "
    "mrsr_tf.inference.batch mrsr_tf.inference.methods eval.experiments.runner eval.metrics "
    "eval.statistics eval.t2_noise phantom.simulate "
    "tf_records_tools.cohort tf_records_tools.verification"
).split()


def modules(package: str) -> dict[str, Path]:
    """The modules of a package by their dotted names."""
    paths = sorted((ROOT / package).rglob("*.py"))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in paths}


def imported(path: Path) -> set[str]:
    """The dotted names that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def subpackage(name: str) -> str:
    """`mrsr_tf.io.dicom.read` is part of the subpackage `io`."""
    return name.split(".")[1]


CORE = modules("mrsr_tf")


@pytest.mark.parametrize("name", CORE)
def test_a_subpackage_imports_only_those_before_it(name):
    order = [*FOUNDATION, *SUBPACKAGES]
    own = subpackage(name)
    if own in FOUNDATION:
        allowed = set(FOUNDATION)
    elif own in SUBPACKAGES:
        allowed = {*order[: order.index(own) + 1]}
    else:
        allowed = {*order, *SHARED_BY_COMMANDS}
    names = {n for n in imported(CORE[name]) if n.startswith("mrsr_tf.")}
    used = {subpackage(n) for n in names if n in CORE or f"{n}.__init__" in CORE}
    assert used <= allowed


def test_the_core_has_commands_subpackages_and_a_few_modules():
    top = {path.stem for path in (ROOT / "mrsr_tf").glob("*.py")}
    assert top - set(COMMANDS) == {*FOUNDATION, *SHARED_BY_COMMANDS, "serving"} & top
    folders = {path.parent.name for path in (ROOT / "mrsr_tf").glob("*/__init__.py")}
    assert folders <= {*FOUNDATION, *SUBPACKAGES}


def test_no_module_imports_itself_by_way_of_others():
    all_modules = {name: path for package in PACKAGES for name, path in modules(package).items()}
    needs = {
        name: (imported(path) & set(all_modules)) - {name} for name, path in all_modules.items()
    }
    TopologicalSorter(needs).prepare()  # raises CycleError


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_beside_the_core_do_not_know_each_other(package):
    others = set(PACKAGES[1:]) - {package}
    for path in modules(package).values():
        assert not {name.split(".")[0] for name in imported(path)} & others, path


def test_only_commands_define_flags_and_nothing_imports_a_command():
    all_modules = {name: path for package in PACKAGES for name, path in modules(package).items()}
    commands = {
        name
        for name, path in all_modules.items()
        if "    cli.run(main)\n" in path.read_text().split("__main__")[-1]
    }
    assert len(commands) >= 9
    for name, path in all_modules.items():
        assert name in commands | SHARED_FLAGS or "DEFINE_" not in path.read_text(), name
        assert not imported(path) & commands, name


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_what_needs_no_tensorflow_loads_none(name):
    code = f"import sys, {name}; print('tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "False\n", result.stderr
