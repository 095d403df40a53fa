"""Commands that are killed or find the disk full leave the old output or the new one, each whole.

Each round ends one command at a random change of the file system and checks what is left; then the
same call must finish. MRSR_ROUNDS=200 plays more rounds, and MRSR_SEED others.
"""

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import scipy.ndimage
import scipy.signal  # noqa: F401
from commands import COMMANDS as COMMANDS_OF_ALL
from commands import ROOT
from dicom_studies import write_study
from interrupted_commands import count_changes, full_at, killed_at, limited_to, run
from random_scans import make_array, make_scan
from small_scans import write_cohort

# Imported before the forks, which would each take the time.
import tf_records_tools.cohort  # noqa: F401
from mrsr_tf.io.nifti import write_nifti

ROUNDS, SEED = int(os.environ.get("MRSR_ROUNDS", "10")), int(os.environ.get("MRSR_SEED", "0"))
INFER = ["mrsr_tf.infer", "--method=tci"]
RECORDS = ["--contrasts=dual", "--patch_size=8", "--stride=4", "--workers=1"]
# name: module and flags, input, name of the output, and the flag of the older output
COMMANDS = {
    "dicom": (INFER, "study", "out", "--method=fi"),
    "nifti": (INFER, "knee.nii.gz", "out.nii.gz", "--method=fi"),
    "records": (["tf_records_tools.make_records", *RECORDS], "cohort", "out", "--seed=3"),
}
FOREIGN = Path("thesis", "one.tex")


def tree(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by their names; DICOM without content, which holds the time."""
    return {
        str(path.relative_to(folder)): b"" if path.suffix == ".dcm" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class Case:
    """A call, and what is there before it and after it.

    `changes` counts those of the whole call, and those that need space.
    """

    call: list[str]
    before: Path
    after: dict[str, bytes]
    changes: tuple[int, int]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_study(folder / "study", make_array())
    write_nifti(make_scan(), folder / "knee.nii.gz")
    write_cohort(folder / "cohort", 2)
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """The folder of the outputs, beside which their states are kept."""
    return tmp_path_factory.mktemp("outputs") / "work"


@pytest.fixture(scope="module")
def cases(inputs, work) -> list[Case]:
    return [
        make_case(name, inputs, work, overwrite) for name in COMMANDS for overwrite in (False, True)
    ]


def make_case(name: str, inputs: Path, work: Path, overwrite: bool) -> Case:
    (module, *flags), source, output, older = COMMANDS[name]
    call = [module, f"--input={inputs / source}", f"--output={work / output}", *flags]
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "beside.txt").write_text("mine")
    if overwrite:
        code, text = run([*call, older], work)
        assert code == 0, text
        call.append("--overwrite")
        if (work / output).is_dir():
            (work / output / FOREIGN).parent.mkdir()
            (work / output / FOREIGN).write_text("years of work")
    before = work.with_name(f"{name}_{overwrite}")
    shutil.copytree(work, before)
    changes = count_changes(call, work)
    return Case(call, before, tree(work), changes)


def standing(work: Path) -> dict[str, bytes]:
    """What is whole: no unfinished files, and a folder that is kept aside under its own name."""
    files = tree(work)
    kept = {
        name.replace("out.replaced/", "out/"): content
        for name, content in files.items()
        if name.startswith("out.replaced/")
    }
    whole = {
        name: content
        for name, content in (kept | files).items()
        if not name.startswith(("out.replaced/", "out.partial/", "out.nii.gz.partial/"))
    }
    if "out.nii.gz" not in whole:  # a sidecar alone is no output
        whole.pop("out.json", None)
    return {name: content for name, content in whole.items() if name != "out/.replaced"}


@pytest.mark.parametrize("number", range(ROUNDS))
def test_an_interrupted_command_leaves_one_whole_output_and_the_same_call_finishes(
    number, cases, inputs, work
):
    choose = random.Random(1000 * SEED + number)
    case = choose.choice(cases)
    how = choose.choice(["killed", "killed", "full", "limited"])
    shutil.rmtree(work)
    shutil.copytree(case.before, work)
    before, unread = tree(work), tree(inputs)
    every, needing_space = case.changes
    stop = {
        "killed": lambda: killed_at(choose.randrange(every)),
        "full": lambda: full_at(choose.randrange(needing_space)),
        "limited": lambda: limited_to(choose.choice([0, 10, 100, 1000])),
    }
    code, text = run(case.call, work, stop[how]())
    if how == "killed":
        assert code == -9
        left = standing(work).items()
        assert left == before.items() or left >= case.after.items()
    elif code:
        assert code == 1
        assert [line[:7] for line in text.splitlines() if "rror" in line] == ["error: "]
        assert standing(work) == before
    code, text = run(case.call, work)
    assert code == 0, text
    assert tree(work) == case.after
    assert tree(inputs) == unread


INPUT_FLAGS = {
    "eval.evaluate": "--experiment=t2 --data={}",
    "eval.look": "--scan={} --fine=elsewhere",
    "eval.report": "--results={}",
    "eval.t2map": "--input={}",
    "eval.train_scsr": "--data={}",
    "mrsr_tf.export": "--run_dir={}",
    "mrsr_tf.infer": "--input={}",
    "mrsr_tf.train": "--records={}",
    "phantom.compare": "--real={}",
    "tf_records_tools.make_records": "--contrasts=dual --input={}",
    "tf_records_tools.make_varied_scans": "--input={}",
}


def test_every_command_with_an_output_is_listed():
    sources = {module: ROOT / f"{module.replace('.', '/')}.py" for module in COMMANDS_OF_ALL}
    writing = {module for module in sources if "define_overwrite" in sources[module].read_text()}
    assert writing == {*INPUT_FLAGS, "phantom.simulate"}


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("module", INPUT_FLAGS)
def test_every_command_refuses_an_output_that_contains_its_input(module, overwrite, tmp_path):
    source, output = tmp_path / "link" / "study", tmp_path / "out"
    (output / "study").mkdir(parents=True)
    (output / "study" / "a.dcm").write_text("mine")
    (tmp_path / "link").symlink_to(output)
    flag = "run_dir" if module == "mrsr_tf.train" else "output"
    call = [module, *INPUT_FLAGS[module].format(source).split(), f"--{flag}={output}", *overwrite]
    code, text = run(call, tmp_path)
    assert (code, text.count("\n")) == (1, 1)
    assert text.startswith(f"error: expected an output apart from the input {source}, got {output}")
    assert (output / "study" / "a.dcm").read_text() == "mine"
