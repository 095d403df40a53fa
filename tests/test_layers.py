"""Imports run one way through the house."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("mrsr_tf", "tf_records_tools", "phantom", "eval")
# In the order the data flows: a wing imports itself and those before it.
WINGS = "mri io records network training inference serving".split()
FOUNDATION = "__init__ errors outputs volume".split()  # below every wing
COMMANDS = "train export infer serve".split()  # above every wing, with what only they share
SHARED_BY_COMMANDS = "cli parallel".split()
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


def wing(name: str) -> str:
    """`mrsr_tf.io.dicom.read` is part of the wing `io`."""
    return name.split(".")[1]


CORE = modules("mrsr_tf")


@pytest.mark.parametrize("name", CORE)
def test_a_wing_imports_only_those_before_it(name):
    order = [*FOUNDATION, *WINGS]
    own = wing(name)
    if own in FOUNDATION:
        allowed = set(FOUNDATION)
    elif own in WINGS:
        allowed = {*order[: order.index(own) + 1]}
    else:
        allowed = {*order, *SHARED_BY_COMMANDS}
    found = {n for n in imported(CORE[name]) if n.startswith("mrsr_tf.")}
    ours = {wing(n) for n in found if n in CORE or f"{n}.__init__" in CORE}
    assert ours <= allowed


def test_the_core_has_commands_wings_and_a_few_modules():
    top = {path.stem for path in (ROOT / "mrsr_tf").glob("*.py")}
    assert top - set(COMMANDS) == {*FOUNDATION, *SHARED_BY_COMMANDS, "serving"} & top
    folders = {path.parent.name for path in (ROOT / "mrsr_tf").glob("*/__init__.py")}
    assert folders <= set(WINGS)


def test_no_module_imports_itself_by_way_of_others():
    every = {name: path for package in PACKAGES for name, path in modules(package).items()}
    needs = {name: (imported(path) & set(every)) - {name} for name, path in every.items()}
    TopologicalSorter(needs).prepare()  # raises CycleError


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_beside_the_core_do_not_know_each_other(package):
    others = set(PACKAGES[1:]) - {package}
    for path in modules(package).values():
        assert not {name.split(".")[0] for name in imported(path)} & others, path


def test_only_commands_define_flags_and_nothing_imports_a_command():
    every = {name: path for package in PACKAGES for name, path in modules(package).items()}
    commands = {
        name
        for name, path in every.items()
        if "    cli.run(main)\n" in path.read_text().split("__main__")[-1]
    }
    assert len(commands) >= 9
    for name, path in every.items():
        assert name in commands | {"mrsr_tf.cli"} or "DEFINE_" not in path.read_text(), name
        assert not imported(path) & commands, name


@pytest.mark.parametrize("name", WITHOUT_TENSORFLOW)
def test_what_needs_no_tensorflow_loads_none(name):
    code = f"import sys, {name}; print('tensorflow' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "False\n", result.stderr
