"""How long each command takes to say what it does, and the shipped weights to load.

    python -m benchmarks.startup

`--help` and `--version` load no TensorFlow, so that they answer within a second. Loading the
shipped weights does; how much of the time is the bare import of TensorFlow stands beside it.
"""

import subprocess
import sys
from pathlib import Path

from absl import flags

from benchmarks import table
from benchmarks.measuring import in_turns, of_command, seconds

ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns of each.", lower_bound=1)
PACKAGES = ("mrsr_tf", "tf_records_tools", "phantom", "eval")
HELP_SECONDS, LOAD_SECONDS = 1.0, 5.0
# Keras imports scikit-learn where it finds it: here, as these benchmarks need it.
ALONE = "import sys; sys.modules['sklearn'] = None; "
LOAD = "from mrsr_tf.network.trained_model import load_model; load_model('pretrained')"
IMPORT = "import keras"


def measure() -> list[table.Row]:
    """Starts everything in turns."""
    commands = {
        module: (lambda module=module: of_command(module, "--help")[0]) for module in _commands()
    }
    scripts = {
        script: (lambda script=script: _python(script)) for script in (ALONE + LOAD, LOAD, IMPORT)
    }
    taken = in_turns(commands | scripts, ROUNDS.value)
    return [
        *(table.Row(f"{module} --help", "s", taken[module], "the limit", [HELP_SECONDS])
          for module in commands),
        table.Row(
            "shipped weights loaded, without scikit-learn", "s",
            taken[ALONE + LOAD], "the limit", [LOAD_SECONDS],
        ),
        table.Row("shipped weights loaded", "s", taken[LOAD], IMPORT, taken[IMPORT]),
    ]  # fmt: skip


def _commands() -> list[str]:
    root = Path(__file__).parents[1]
    return [
        f"{package}.{path.stem}"
        for package in PACKAGES
        for path in sorted((root / package).glob("*.py"))
        if path.read_text(encoding="utf-8").endswith("    cli.run(main)\n")
    ]


def _python(script: str) -> float:
    return seconds(lambda: subprocess.run([sys.executable, "-c", script], check=True))


if __name__ == "__main__":
    table.run(measure)
