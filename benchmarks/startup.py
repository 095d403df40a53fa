"""How long does a command take to respond, and a network to load?

    python -m benchmarks.startup

`--help` and `--version` do not load TensorFlow, so that they respond within a second. Loading the
shipped weights does; the time of importing Keras alone is measured beside it.
"""

import subprocess
import sys
from pathlib import Path

from absl import flags

from benchmarks import table
from benchmarks.measuring import in_turns, run_command, seconds

ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds.", lower_bound=1)
PACKAGES = ("mrsr_tf", "tf_records_tools", "phantom", "eval")
HELP_LIMIT_S, LOAD_LIMIT_S = 1.0, 5.0
LOAD = "from mrsr_tf.network.trained_model import load_model; load_model('pretrained')"
# Keras imports scikit-learn where it is installed, as it is for these benchmarks.
LOAD_WITHOUT_SKLEARN = f"import sys; sys.modules['sklearn'] = None; {LOAD}"
IMPORT = "import keras"


def measure() -> list[table.Row]:
    """Starts all commands and scripts in turns."""
    commands = {
        module: (lambda module=module: run_command(module, "--help")[0]) for module in _commands()
    }
    scripts = {
        script: (lambda script=script: _run_python(script))
        for script in (LOAD_WITHOUT_SKLEARN, LOAD, IMPORT)
    }
    measured = in_turns(commands | scripts, ROUNDS.value)
    return [
        *(
            table.Row(f"{module} --help", "s", measured[module], "limit", [HELP_LIMIT_S])
            for module in commands
        ),
        table.Row(
            "loading the shipped weights without scikit-learn", "s",
            measured[LOAD_WITHOUT_SKLEARN], "limit", [LOAD_LIMIT_S],
        ),
        table.Row("loading the shipped weights", "s", measured[LOAD], IMPORT, measured[IMPORT]),
    ]  # fmt: skip


def _commands() -> list[str]:
    root = Path(__file__).parents[1]
    return [
        f"{package}.{path.stem}"
        for package in PACKAGES
        for path in sorted((root / package).glob("*.py"))
        if path.read_text(encoding="utf-8").endswith("    cli.run(main)\n")
    ]


def _run_python(script: str) -> float:
    return seconds(lambda: subprocess.run([sys.executable, "-c", script], check=True))


if __name__ == "__main__":
    table.run(measure)
