"""JSON objects in files, in whichever encoding an editor has left them."""

import json
from pathlib import Path
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.io.damage import refuse_damaged


def read_object(file: Path) -> dict[str, Any]:
    """A JSON object in UTF-8 or UTF-16, with a byte order mark or without, or in Latin-1.

    Raises:
        InputError: the file cannot be read or is not a JSON object.
    """
    with refuse_damaged(file, "a file that can be read"):
        content = file.read_bytes()
    try:
        try:
            value = json.loads(content)
        except UnicodeDecodeError:
            value = json.loads(content.decode("latin-1"))
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise InputError(f"expected a JSON object, got something else in {file}")
    return value
