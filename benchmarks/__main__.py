"""Runs the benchmarks, each of which compares ours with a peer or a limit, and writes their page.

    python -m benchmarks --torch_python=torch/bin/python --dosma_python=dosma/bin/python
    python -m benchmarks --size=quick --only=training,records

Writes OUTPUT/benchmarks.json, OUTPUT/benchmarks.md and OUTPUT/images/benchmarks_*.png. Benchmarks
that do not run keep their results of OUTPUT/benchmarks.json. `make bench` creates the environments
of the peers and calls this.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from absl import flags

from benchmarks import page
from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.outputs import versions

# The arguments of each benchmark; TORCH and DOSMA stand for the interpreters of the peers.
SIZES = {
    "quick": {
        "records": "--shape=64,64,48",
        "training": "--convolutions=4 --filters=8 --rounds=2 --torch_python=TORCH",
        "inference": "--shape=64,64,64 --convolutions=4 --filters=8 --rounds=1"
        " --torch_python=TORCH",
        "growth": "--sides=32,48,64",
        "t2map": "--shape=64,64,32 --rounds=1 --dosma_python=DOSMA",
        "scsr": "--shape=64,64,48 --patches=2000 --passes=1 --encoded=512",
    },
    "usual": {
        "records": "",
        "training": "--torch_python=TORCH",
        "inference": "--rounds=2 --torch_python=TORCH",
        "growth": "--sides=104,208,320",
        "t2map": "--dosma_python=DOSMA",
        "scsr": "--patches=20000 --passes=3",
    },
    "full": {
        "records": "",
        "training": "--rounds=20 --steps=2 --torch_python=TORCH",
        "inference": "--shape=416,416,160 --rounds=3 --torch_python=TORCH",
        "growth": "--sides=104,208,320,416,512",
        "t2map": "--rounds=10 --dosma_python=DOSMA",
        "scsr": "--shape=416,416,160",
    },
}
NAMES = list(SIZES["usual"])
COMPUTING = ("tensorflow", "keras", "numpy", "scipy", "skimage", "sklearn")

SIZE = flags.DEFINE_enum(
    "size", "usual", list(SIZES), "Whether they take minutes, a quarter of an hour, or hours."
)
OUTPUT = flags.DEFINE_string("output", "bench", "The folder to write.")
ONLY = flags.DEFINE_list("only", NAMES, "The benchmarks to run. The default is all of them.")
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "A Python interpreter that has PyTorch and MONAI.", required=True
)
DOSMA_PYTHON = flags.DEFINE_string(
    "dosma_python", None, "A Python interpreter that has DOSMA.", required=True
)


def main() -> None:
    """Runs the benchmarks one after the other and writes the page after each.

    One that fails does not stop the others and is named in the end.
    """
    unknown = set(ONLY.value) - set(NAMES)
    if unknown:
        raise InputError(f"expected of {', '.join(NAMES)}, got {', '.join(unknown)}")
    path = Path(OUTPUT.value) / "benchmarks.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    failed = []
    for name in sorted(ONLY.value, key=NAMES.index):
        entry = _run(name, SIZES[SIZE.value][name].split())
        if entry is None:
            failed.append(name)
        else:
            results[name] = entry
            _write({name: results[name] for name in NAMES if name in results}, path)
    if failed:
        raise InputError(f"expected all benchmarks to succeed, these failed: {', '.join(failed)}")
    print(f"{path.with_suffix('.md')}, {path}")


def _run(name: str, arguments: list[str]) -> page.Entry | None:
    """Runs a benchmark, which prints its table. Returns None if it fails."""
    load, start = os.getloadavg()[0], time.perf_counter()
    print(f"\n{name}, load {load:.1f}", flush=True)
    interpreters = {
        "--torch_python=TORCH": f"--torch_python={TORCH_PYTHON.value}",
        "--dosma_python=DOSMA": f"--dosma_python={DOSMA_PYTHON.value}",
    }
    filled = [interpreters.get(argument, argument) for argument in arguments]
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", f"--json={rows}", *filled]
        if subprocess.run(command, check=False).returncode:
            return None
        return page.Entry(
            command=" ".join([f"python -m benchmarks.{name}", *arguments]),
            date=datetime.date.today().isoformat(),
            load=round(load, 1),
            seconds=round(time.perf_counter() - start),
            machine=_machine(),
            versions=", ".join(map(" ".join, versions(*COMPUTING).items())),
            rows=json.loads(rows.read_text(encoding="utf-8")),
        )


def _machine() -> str:
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else ""
    models = [line.partition(": ")[2] for line in cpus.splitlines() if "model name" in line]
    processor = models[0] if models else platform.processor()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}"


def _write(results: page.Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    path.with_suffix(".md").write_text(page.render(results), encoding="utf-8")
    page.draw(results, path.parent / "images")


if __name__ == "__main__":
    cli.run(main)
