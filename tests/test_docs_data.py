"""The pages on scans and records: commands run as written, flags and keys are complete."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands import flags_of
from random_scans import make_scan

from mrsr_tf.io.nifti import write_nifti

ROOT = Path(__file__).parents[1]
SCANS = (ROOT / "docs" / "data.md").read_text()
RECORDS = (ROOT / "docs" / "records.md").read_text()
COMMANDS = re.findall(r"^python (-m .+)$", RECORDS.replace("\\\n", ""), re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the commands read."""
    folder = tmp_path_factory.mktemp("page")
    for seed in range(3):
        scan = make_scan((33, 32, 34), spacing_mm=(0.4, 0.4, 0.7), seed=seed)
        write_nifti(scan, folder / "knees" / f"knee_{seed}.nii.gz")
    for seed, name in enumerate(("head", "fruit")):
        volume = make_scan((56, 54, 58), spacing_mm=(1, 1, 1), echoes=1, seed=seed)
        write_nifti(volume, folder / f"{name}.nii.gz")
    (folder / "patients.csv").write_text("subject,patient\nknee_0,a\nknee_1,b\nknee_2,a\n")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_runs_as_written(folder, command):
    process = subprocess.run(
        [sys.executable, *shlex.split(command)],
        cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (process.returncode, process.stderr) == (0, "")


def test_the_page_has_all_flags_of_make_records_and_no_others():
    table = RECORDS.partition("| flag |")[2].partition("\n\n")[0]
    common = {"help", "v", "flagfile", "version"}
    expected = {
        flag for flag in flags_of("tf_records_tools.make_records") if not flag.startswith("no")
    }
    assert set(re.findall(r"`--(\w+)`", table)) == expected - common
    assert len(COMMANDS) >= 4


def test_the_page_has_all_keys_of_the_sidecar():
    read = re.findall(r"\"([A-Z]\w{5,})\"", (ROOT / "mrsr_tf" / "io" / "sidecar.py").read_text())
    table = SCANS.partition("| key |")[2].partition("\n\n")[0]
    assert set(read) <= set(re.findall(r"`(\w+)`", table))
