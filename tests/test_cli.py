import subprocess
import sys
from pathlib import Path

import pytest
from commands import COMMANDS, ROOT

from mrsr_tf import __version__

REQUIRED = "--records=a --run_dir=b"
PROBE = '''"""Probes a command's end.

    python probe.py --end=well
"""
from absl import flags
from mrsr_tf import cli
from mrsr_tf.errors import AlreadyDone, InputError

END = flags.DEFINE_string("end", "well", "How.")
ENDS = {
    "done": AlreadyDone("out is finished"),
    "bad": InputError("expected one study,\\ngot two: IM0001"),
    "disk": OSError(28, "No space left on device"),
    "memory": MemoryError(),
    "bug": KeyError("a bug"),
}

def main():
    if END.value == "no room":
        with cli.quiet_imports():
            raise ImportError("libtensorflow_cc.so.2: failed to map segment from shared object")
    if END.value in ENDS:
        raise ENDS[END.value]

cli.run(main)
'''


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=cwd)


@pytest.fixture
def probe(tmp_path):
    (tmp_path / "probe.py").write_text(PROBE)
    return lambda *arguments: run(str(tmp_path / "probe.py"), *arguments)


@pytest.mark.parametrize("arguments", [[], ["--end=well"], ["--end=done"], ["--help"]])
def test_good_ends_exit_0_without_a_word_on_stderr(probe, arguments):
    result = probe(*arguments)
    assert (result.returncode, result.stderr) == (0, "")


def test_help_that_nobody_reads_to_its_end_ends_without_a_word(tmp_path):
    (tmp_path / "probe.py").write_text(PROBE)
    call = [sys.executable, str(tmp_path / "probe.py"), "--help"]
    with subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as probing:
        probing.stdout.close()
        assert (probing.stderr.read(), probing.wait()) == (b"", 141)


def test_help_shows_the_usage_and_the_flags(probe):
    assert "python probe.py --end=well" in probe("--help").stdout
    assert "--end" in probe("--help").stdout


@pytest.mark.parametrize("arguments", [["--nonsense"], ["stray"], ["--flagfile=missing"]])
def test_wrong_usage_exits_2(probe, arguments):
    result = probe(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--records=a", "expected also --run_dir"),
        ("--epoch=3", "Unknown command line flag 'epoch'. Did you mean: epochs;"),
        ("--epochs=0", "expected for --epochs a positive integer, got '0'"),
        ("--epochs=two", "expected for --epochs a positive integer, got 'two'"),
        ("--best_by=luck", "expected for --best_by one of loss, psnr, ssim, t2, got 'luck'"),
        ("--flips=3", "expected for --flips true or false, got '3'"),
        ("--epochs", "Missing value for flag --epochs"),
        (
            "--records=a --run_dir=b --learning_rate=nan",
            "expected for --learning_rate a finite number, got nan",
        ),
        (f"{REQUIRED} --gain=inf", "expected for --gain a finite number, got inf"),
        (
            f"--records=a --run_dir=b --seed={2**63}",
            "expected for --seed an integer up to 2147483647, got 9223",
        ),
        (
            "--flagfile=none",
            "Unable to open flagfile: [Errno 2] No such file",
        ),
    ],
)
def test_wrong_flags_are_said_in_one_plain_line(arguments, said):
    result = run("-m", "mrsr_tf.train", *arguments.split())
    assert result.returncode == 2
    assert result.stderr.startswith(f"error: {said}")
    assert result.stderr.endswith("; --help lists the flags\n")
    assert result.stderr.count("\n") == 1


def test_the_version_is_told_before_anything_else_is_asked(probe):
    result = probe("--version", "--nonsense")
    assert (result.returncode, result.stdout) == (0, f"MRSR-TF {__version__}\n")


def test_a_flagfile_of_the_package_is_found_from_anywhere_and_one_of_the_users_first(tmp_path):
    called = ("-m", "mrsr_tf.train", "--flagfile=flags/demo/dual")
    assert run(*called, cwd=tmp_path).stderr.startswith("error: expected also --records")
    (tmp_path / "flags" / "demo").mkdir(parents=True)
    (tmp_path / "flags" / "demo" / "dual").write_text("--epochs=0\n")
    assert run(*called, cwd=tmp_path).stderr.startswith("error: expected for --epochs")


def test_help_says_which_flags_are_required():
    help_text = run("-m", "mrsr_tf.train", "--help").stdout
    assert "--run_dir: Run folder, which is created or resumed. Required." in help_text
    assert help_text.count("Required.") == 2


def test_bad_input_exits_1_with_one_line(probe):
    result = probe("--end=bad")
    assert result.returncode == 1
    assert result.stderr == "error: expected one study, got two: IM0001\n"


def test_a_full_disk_is_said_in_one_line(probe):
    result = probe("--end=disk")
    assert result.returncode == 1
    assert result.stderr == "error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("memory", "expected more memory than there is"),
        ("no room", "expected memory to load TensorFlow, found too little"),
    ],
)
def test_too_little_memory_for_the_work_or_for_tensorflow_is_said_in_one_line(probe, end, said):
    result = probe(f"--end={end}")
    assert (result.returncode, result.stderr) == (1, f"error: {said}\n")


def test_verbose_shows_the_traceback(probe):
    assert "Traceback" in probe("--end=bad", "--v=1").stderr


def test_a_bug_is_not_taken_for_bad_input(probe):
    result = probe("--end=bug")
    assert "Traceback" in result.stderr
    assert "error: " not in result.stderr


def test_a_later_flag_wins_over_the_flagfile(probe, tmp_path):
    (tmp_path / "flagfile").write_text("# a comment\n--end=bad\n")
    assert probe(f"--flagfile={tmp_path / 'flagfile'}").returncode == 1
    assert probe(f"--flagfile={tmp_path / 'flagfile'}", "--end=well").returncode == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_shows_how_it_is_called(name):
    result = run("-m", name, "--help")
    assert result.returncode == 0
    assert f"python -m {name} --" in result.stdout
    assert f"{ROOT}/flags" in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_loads_nothing_heavy(name):
    code = (
        f"import sys, runpy; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module('{name}', run_name='__main__', alter_sys=True)\n"
        f"except SystemExit: pass\n"
        f"print([m for m in ('tensorflow', 'matplotlib', 'skimage') if m in sys.modules])"
    )
    assert run("-c", code).stdout.endswith("[]\n")
