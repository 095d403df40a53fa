"""All benchmarks, each beside a peer or a limit, and the page that tells of them.

    python -m benchmarks --torch_python=torch/bin/python --dosma_python=dosma/bin/python
    python -m benchmarks --size=quick --only=training,metrics

Gives OUTPUT/benchmarks.json, OUTPUT/benchmarks.md and OUTPUT/images/benchmarks_*.png. Benchmarks
that are left out keep what OUTPUT/benchmarks.json has of them. `make bench` makes the Pythons of
the peers and calls this.
"""

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from benchmarks import page
from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.outputs import versions

# What each size asks of each benchmark; TRAIN, TEST, TORCH and DOSMA are filled in.
SIZES = {
    "quick": {
        "startup": "--rounds=1",
        "records": "--shape=64,64,48",
        "training": "--convolutions=4 --filters=8 --rounds=2 --torch_python=TORCH",
        "replicas": "--workers=1,2 --convolutions=4 --filters=8 --steps=2 --rounds=2",
        "inference": "--shape=64,64,64 --convolutions=4 --filters=8 --rounds=1"
        " --torch_python=TORCH",
        "growth": "--sides=32,48,64 --subjects=1,2,3 --side=64",
        "t2map": "--shape=64,64,32 --rounds=1 --dosma_python=DOSMA",
        "metrics": "--shape=64,64,16 --rounds=2",
        "scsr": "--train=TRAIN --test=TEST --patches=2000 --passes=1 --planes=2 --timed=512",
    },
    "usual": {
        "startup": "",
        "records": "",
        "training": "--torch_python=TORCH",
        "replicas": "--steps=3",
        "inference": "--rounds=2 --torch_python=TORCH",
        "growth": "--sides=104,208,320 --subjects=1,2,4",
        "t2map": "--dosma_python=DOSMA",
        "metrics": "--shape=416,416,64",
        "scsr": "--train=TRAIN --test=TEST --patches=20000 --passes=3 --planes=4",
    },
    "full": {
        "startup": "--rounds=10",
        "records": "",
        "training": "--rounds=20 --steps=2 --torch_python=TORCH",
        "replicas": "--convolutions=20 --filters=64 --workers=1,2,4,8",
        "inference": "--shape=416,416,160 --rounds=3 --torch_python=TORCH",
        "growth": "--sides=104,208,320,416,512 --subjects=1,2,4,8,16,32 --side=256",
        "t2map": "--rounds=10 --dosma_python=DOSMA",
        "metrics": "--rounds=10",
        "scsr": "--train=TRAIN --test=TEST",
    },
}
KNEES = {"quick": "64,64,48", "usual": "128,128,64", "full": "416,416,160"}
COMPUTING = ("tensorflow", "keras", "numpy", "scipy", "skimage", "sklearn")

SIZE = flags.DEFINE_enum("size", "usual", list(SIZES), "Minutes, a quarter of an hour, or hours.")
OUTPUT = flags.DEFINE_string("output", "bench", "Folder to write.")
ONLY = flags.DEFINE_list("only", list(SIZES["usual"]), "Which benchmarks.")
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "A Python that has PyTorch and MONAI.", required=True
)
DOSMA_PYTHON = flags.DEFINE_string("dosma_python", None, "A Python that has DOSMA.", required=True)


def main() -> None:
    """Runs the benchmarks one after the other; the page is made anew after each.

    One that fails stops no other and is named at the end.
    """
    unknown = set(ONLY.value) - SIZES["usual"].keys()
    if unknown:
        raise InputError(f"expected of {', '.join(SIZES['usual'])}, got {', '.join(unknown)}")
    kept = Path(OUTPUT.value) / "benchmarks.json"
    measured = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name, asked in SIZES[SIZE.value].items():
            if name in ONLY.value:
                entry = _measured(name, asked.split(), Path(folder))
                if entry is None:
                    failed.append(name)
                    continue
                measured[name] = entry
                _write({name: measured[name] for name in SIZES["usual"] if name in measured}, kept)
    if failed:
        raise InputError(f"expected all benchmarks to end well, these did not: {', '.join(failed)}")
    print(f"{kept.with_suffix('.md')}, {kept}")


def _measured(name: str, asked: Sequence[str], folder: Path) -> dict[str, Any] | None:
    """Runs one, which prints its table; its rows, and under what they were measured.

    None if it fails.
    """
    load, start = os.getloadavg()[0], time.perf_counter()
    print(f"\n{name}, load {load:.1f}", flush=True)
    rows, arguments = folder / f"{name}.json", list(_filled(asked, folder))
    ran = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{name}", f"--json={rows}", *arguments], check=False
    )
    if ran.returncode:
        return None
    return {
        "command": " ".join([f"python -m benchmarks.{name}", *asked]),
        "date": datetime.date.today().isoformat(),
        "load": round(load, 1),
        "seconds": round(time.perf_counter() - start),
        "machine": _machine(),
        "versions": ", ".join(map(" ".join, versions(*COMPUTING).items())),
        "rows": json.loads(rows.read_text(encoding="utf-8")),
    }


def _filled(asked: Sequence[str], folder: Path) -> Iterator[str]:
    names = {"TORCH": TORCH_PYTHON.value, "DOSMA": DOSMA_PYTHON.value}
    for argument in asked:
        flag, _, value = argument.partition("=")
        if value in ("TRAIN", "TEST"):
            yield f"{flag}={_knees(folder)}/{value.lower()}"
        else:
            yield f"{flag}={names.get(value, value)}"


def _knees(folder: Path) -> Path:
    """Digital knees, one to learn from and one to test on."""
    for seed, name in enumerate(("train", "test")):
        if not (folder / name).exists():
            shape = f"--shape={KNEES[SIZE.value]}"
            subprocess.run(
                [sys.executable, "-m", "phantom.simulate", f"--output={folder / name}",
                 "--subjects=1", f"--seed={seed}", shape],
                check=True,
            )  # fmt: skip
    return folder


def _machine() -> str:
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8") if sys.platform == "linux" else ""
    models = [line.partition(": ")[2] for line in cpus.splitlines() if "model name" in line]
    processor = models[0] if models else platform.processor()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{processor}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}"


def _write(measured: page.Measured, kept: Path) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    kept.with_suffix(".md").write_text(page.render(measured), encoding="utf-8")
    page.draw(measured, kept.parent / "images")


if __name__ == "__main__":
    cli.run(main)
