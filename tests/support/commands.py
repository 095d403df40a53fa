"""The commands of the packages, and the flags that each defines."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for package in ("mrsr_tf", "tf_records_tools", "phantom", "eval")
    for path in (ROOT / package).glob("*.py")
    if "    cli.run(main)\n" in path.read_text().split("__main__")[-1]
)
EVERYWHERE = {"help", "version", "flagfile", "v"}


def flags_of(module: str) -> set[str]:
    """The flags that a module defines, whether absl's or argparse's."""
    source = ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text()
    parsers = r"(?:[\w.]+(?:\(\))?,\s*)*"
    absl = re.findall(rf"DEFINE(\w*)\(\s*{parsers}\"(\w+)\"", source)
    absl += [("_bool" if name == "overwrite" else "_integer", name)
             for name in re.findall(r"cli\.define_(\w+)\(", source)]  # fmt: skip
    negated = {f"no{name}" for kind, name in absl if kind in ("_bool", "_boolean")}
    argparse = {name.replace("-", "_") for name in re.findall(r"\"--([\w-]+)\"", source)}
    return EVERYWHERE | negated | {name for _, name in absl} | argparse
