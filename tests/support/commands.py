"""The commands of the packages, and the flags of each."""

import functools
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("mrsr_tf", "tf_records_tools", "phantom", "eval")
    for path in (ROOT / package).glob("*.py")
    if "    cli.run(main)\n" in path.read_text().split("__main__")[-1]
)


@functools.cache
def flags_of(module: str) -> set[str]:
    """The flags that the help of a module lists, whether absl's or argparse's."""
    page = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True
    )
    listed = re.findall(r"^ +(?:-\w, )?--(\[no\])?([\w-]+)", page.stdout, re.MULTILINE)
    negated = {f"no{name}" for negatable, name in listed if negatable}
    return {"help", "v"} | negated | {name.replace("-", "_") for _, name in listed}
