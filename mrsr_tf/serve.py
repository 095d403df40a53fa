r"""Runs a DICOM node: studies in by C-STORE, their DESS super-resolved and its T2 map sent back.

    python -m mrsr_tf.serve --spool=/var/lib/mrsr --model=runs/dual --title=MRSR --port=11112 \
        --known=ORTHANC --destination=ORTHANC@127.0.0.1:4242

listens for studies from the AE title ORTHANC, and sends to it one derived series for each echo and
one of T2. http://127.0.0.1:8108/ shows what it is doing. SIGTERM ends it; the same call goes on
with what is in the spool. It needs the package's extra `node`; docs/pacs.md has the rest.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.node.settings import Settings, Tls, parse_address, parse_caller, parse_destination

GIB, MIB = 2**30, 2**20


class _Parser(flags.ArgumentParser):
    """A flag whose value one of the settings' functions reads."""

    def __init__(self, read: Callable[[str], Any], form: str) -> None:
        self._read, self.syntactic_help = read, form

    def parse(self, argument: Any) -> Any:
        """The value; `ValueError` for another form."""
        return self._read(argument) if isinstance(argument, str) else argument


CALLER = _Parser(parse_caller, "AET or AET@host")
PLACE = _Parser(parse_destination, "AET@host:port")
ADDRESS = _Parser(parse_address, "address:port")

TITLE = flags.DEFINE_string("title", "MRSR", "The node's own AE title.")
HOST = flags.DEFINE_string("host", "0.0.0.0", "Address to listen on.")
PORT = flags.DEFINE_integer("port", 11112, "Port to listen on.", lower_bound=0, upper_bound=65535)
DESTINATION = flags.DEFINE(
    PLACE, "destination", None, "Where derived series go: AET@host:port.",
    required=True,
)  # fmt: skip
KNOWN = flags.DEFINE_multi(
    CALLER, flags.ArgumentSerializer(), "known", None,
    "Who may send, AET or AET@host; may be given several times.", required=True,
)  # fmt: skip
SPOOL = flags.DEFINE_string("spool", None, "Folder of the queue; holds images.", required=True)
METHOD = flags.DEFINE_enum(
    "method", "mrsr", ["mrsr", "tci", "fi"], "The network, tricubic or Fourier interpolation."
)
MODEL = flags.DEFINE_string(
    "model",
    "pretrained",
    "A run or exported folder, pretrained, or pretrained-paper; for --method=mrsr.",
)
SLICE_FACTOR = flags.DEFINE_integer(
    "slice_factor", None, "Fine slices per thick one: the model's, and 2 for tci and fi.",
    lower_bound=2,
)  # fmt: skip
QUIET_S = flags.DEFINE_float(
    "quiet_s", 60, "A study is whole when nothing of it came for so long.", lower_bound=0
)
IMAGE_MIB = flags.DEFINE_integer("image_mib", 512, "The largest image taken.", lower_bound=1)
STUDY_GIB = flags.DEFINE_float("study_gib", 2, "The largest study taken.", lower_bound=0)
QUEUE_GIB = flags.DEFINE_float("queue_gib", 50, "How much the queue may hold.", lower_bound=0)
STATUS = flags.DEFINE(ADDRESS, "status", "127.0.0.1:8108", "Where the status page is served.")
TLS_CERT = flags.DEFINE_string("tls_cert", None, "The node's certificate, PEM.")
TLS_KEY = flags.DEFINE_string("tls_key", None, "Its key, PEM.")
TLS_CA = flags.DEFINE_string("tls_ca", None, "Who signs the certificates of its peers, PEM.")


def main() -> None:
    """Gathers the settings and runs the node."""
    settings = Settings(
        title=TITLE.value,
        host=HOST.value,
        port=PORT.value,
        destination=DESTINATION.value,
        known=tuple(KNOWN.value),
        spool=Path(SPOOL.value).absolute(),
        method=METHOD.value,
        model=MODEL.value,
        slice_factor=SLICE_FACTOR.value,
        quiet_s=QUIET_S.value,
        image_bytes=IMAGE_MIB.value * MIB,
        study_bytes=int(STUDY_GIB.value * GIB),
        queue_bytes=int(QUEUE_GIB.value * GIB),
        status=STATUS.value,
        tls=_tls(),
    )
    _runner()(settings)


def _runner() -> Callable[[Settings], None]:
    try:
        from mrsr_tf.node import running
    except ImportError as error:
        if error.name != "pynetdicom":
            raise
        raise InputError("expected pynetdicom: pip install 'mrsr-tf[node]'") from None
    return running.run


def _tls() -> Tls | None:
    given = [flag.value for flag in (TLS_CERT, TLS_KEY, TLS_CA)]
    if not any(given):
        return None
    if not all(given):
        raise InputError("expected --tls_cert, --tls_key and --tls_ca together, or none of them")
    return Tls(*(Path(str(path)) for path in given))


if __name__ == "__main__":
    cli.run(main)
