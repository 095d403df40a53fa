"""Output that appears under its final name only when whole, and that touches nobody else's files.

A folder is filled as NAME.partial and renamed when it is whole. Its configuration.json names the
command that wrote it and the settings, by which a repeated call recognises its own output. Its
contents.json lists the files that were written: only these are removed when another output takes
its place.
"""

from mrsr_tf.outputs.configuration import (
    CONFIGURATION,
    check_configuration,
    check_origin,
    read_configuration,
    versions,
)
from mrsr_tf.outputs.files import exclusive_lock, output_file, temporary_folder, write_json
from mrsr_tf.outputs.folders import (
    CONTENTS,
    check_unused,
    output_folder,
    recover_output,
    unfinished_folder,
)
from mrsr_tf.outputs.places import UNFINISHED, check_output, followed

__all__ = [
    "CONFIGURATION",
    "CONTENTS",
    "UNFINISHED",
    "check_configuration",
    "check_origin",
    "check_output",
    "check_unused",
    "exclusive_lock",
    "followed",
    "output_file",
    "output_folder",
    "read_configuration",
    "recover_output",
    "temporary_folder",
    "unfinished_folder",
    "versions",
    "write_json",
]
