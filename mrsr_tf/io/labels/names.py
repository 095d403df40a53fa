"""Names of labels: a region's name in one spelling, and the tables that lie beside a label map."""

import csv
import json
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.io.damage import refuse_damaged
from mrsr_tf.io.labels.label_map import Label
from mrsr_tf.io.sidecar import sidecar_path

# ITK-SNAP: number, red, green, blue, opacity, visibility, mesh visibility, "name".
ITK_SNAP = re.compile(r'(\d+)(?:\s+[\d.]+){6}\s+"(.*)"')
# Slicer's colour tables and those of FreeSurfer: number, name, red, green, blue, opacity.
COLOURS = re.compile(r"(\d+)\s+(\S.*?)(?:\s+[\d.]+){3,4}")
PLAIN = re.compile(r"(\d+)[\s:=,]+(\S.*)")
NUMBER_COLUMNS = ("index", "labelvalue", "label", "value")  # BIDS has index, Slicer LabelValue

Pairs = Iterable[tuple[Any, Any]]  # name and label, unchecked, either of them first


def region_name(text: object) -> str:
    """A name in one spelling: femoral_cartilage for "Femoral cartilage" or "femoral-cartilage"."""
    return re.sub(r"\W+", "_", str(text).lower()).strip("_")


def named(pairs: Iterable[tuple[object, Label]], path: Path) -> dict[str, Label]:
    """Labels by their names in one spelling.

    Raises:
        InputError: a name is empty or of two labels, or a label has two names; `path` has them.
    """
    names: dict[str, Label] = {}
    owners: dict[Label, str] = {}
    for text, label in pairs:
        name = region_name(text)
        if not name:
            raise InputError(f"expected a name for each label, got {text!r} in {path}")
        if names.setdefault(name, label) != label:
            raise InputError(f"expected one label for each name, got two for {name} in {path}")
        if owners.setdefault(label, name) != name:
            raise InputError(
                f"expected one name for each label, got {owners[label]} and {name} in {path}"
            )
    return names


def read_names(path: Path) -> dict[str, Label]:
    """The names in the table beside a label map of one layer; empty if there is none.

    It has the label map's name and one of the endings of `TABLES`.

    Raises:
        InputError: there are two tables, or one has no label for a name or no name for a label.
    """
    stem = sidecar_path(path).stem.lower()
    readers = {stem + ending.lower(): read for ending, read in TABLES.items()}
    files = [file for file in sorted(path.parent.iterdir()) if file.name.lower() in readers]
    if len(files) > 1:
        names = " and ".join(file.name for file in files)
        raise InputError(f"expected one table of names, got {names}: beside {path}")
    if not files:
        return {}
    (file,) = files
    rows = readers[file.name.lower()](file)
    pairs = [_name_and_value(first, second, file) for first, second in rows]
    # What a table calls label 0 is background.
    return named(((name, Label(0, value)) for name, value in pairs if value), file)


def _name_and_value(first: Any, second: Any, path: Path) -> tuple[str, int]:
    """A name and its label, whichever of them comes first."""
    if isinstance(second, list):
        raise InputError(
            f"expected one label for each name, got a list of labels, as for region-based "
            f"training, for {first} in {path}"
        )
    numbers = _integer(first), _integer(second)
    if numbers[0] is None and numbers[1] is not None and isinstance(first, str):
        return first, numbers[1]
    if numbers[1] is None and numbers[0] is not None and isinstance(second, str):
        return second, numbers[0]
    raise InputError(f"expected a name and its label from 0 on, got {first}: {second} in {path}")


def _integer(value: Any) -> int | None:
    """A label, such as 1, 1.0 or "1"; None for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return int(number) if number.is_integer() and number >= 0 and value is not True else None


def _json_table(path: Path) -> Pairs:
    """{name: label} or {label: name}, by itself or under "labels" as nnU-Net has it."""
    text = _text(path)
    try:  # objects as tuples, in which a key that stands twice is kept
        content = json.loads(text, object_pairs_hook=lambda pairs: tuple(pairs))
    except (ValueError, RecursionError):
        content = None
    table = content
    if isinstance(content, tuple):
        table = next((value for key, value in content if key == "labels"), content)
    if not isinstance(table, tuple):
        raise InputError(f"expected a JSON object of names and labels, got another in {path}")
    return table


def _lines(path: Path) -> Pairs:
    """One label in each line, as ITK-SNAP, Slicer and FreeSurfer write them."""
    lines = [line.strip() for line in _text(path).splitlines()]
    for line in (line for line in lines if line and not line.startswith(("#", "%"))):
        fields = ITK_SNAP.fullmatch(line) or COLOURS.fullmatch(line) or PLAIN.fullmatch(line)
        if fields is None:
            raise InputError(f"expected a label and its name in each line, got {line!r} in {path}")
        yield fields[2], fields[1]


def _columns(path: Path, delimiter: str) -> Pairs:
    """A table with a head, as BIDS (dseg.tsv) and Slicer (csv) have it."""
    reader = csv.DictReader(_text(path).splitlines(), delimiter=delimiter)
    columns = {name.strip().lower(): name for name in reader.fieldnames or ()}
    number = next((columns[name] for name in NUMBER_COLUMNS if name in columns), None)
    if number is None or "name" not in columns:
        raise InputError(
            f"expected columns index and name, got {', '.join(columns) or 'none'} in {path}"
        )
    return [(row[columns["name"]], row[number]) for row in reader]


def _text(path: Path) -> str:
    with refuse_damaged(path, "a readable table of names"):
        content = path.read_bytes()
        if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
            return content.decode("utf-16")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return content.decode("latin-1")


# The endings of tables -> what reads them.
TABLES: dict[str, Callable[[Path], Pairs]] = {
    ".json": _json_table,
    ".txt": _lines,
    ".label": _lines,
    ".ctbl": _lines,
    "_ColorTable.ctbl": _lines,
    ".tsv": lambda path: _columns(path, "\t"),
    ".csv": lambda path: _columns(path, ","),
}
