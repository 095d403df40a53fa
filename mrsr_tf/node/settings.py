"""What a node is told: who it is, whom it knows, and how much it may hold."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from mrsr_tf.errors import InputError

LONGEST_TITLE = 16


@dataclass(frozen=True)
class Caller:
    """Who may send: an AE title, and from which host; None where any will do."""

    title: str
    host: str | None = None


@dataclass(frozen=True)
class Destination:
    """Where derived series go: an AE title, and where it listens."""

    title: str
    host: str
    port: int


@dataclass(frozen=True)
class Tls:
    """Files in PEM: what the node shows of itself, and who signs for its peers."""

    certificate: Path
    key: Path
    authorities: Path

    def accepting(self) -> ssl.SSLContext:
        """For those who call: only with a certificate that the authorities signed."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.authorities)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.certificate, self.key)
        return context

    def calling(self) -> ssl.SSLContext:
        """For the destination: its certificate must be of its host's name."""
        context = ssl.create_default_context(cafile=self.authorities)
        context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True)
class Settings:
    """All of a node's settings.

    Attributes:
        title: its own AE title.
        host, port: where it listens; port 0 takes a free one.
        destination: where derived series go.
        known: who may call.
        spool: the folder of its queue.
        method: "mrsr", "tci" or "fi".
        model: a run folder or an exported one, for "mrsr".
        slice_factor: None takes the model's, and 2 without one.
        quiet_s: a study is whole when nothing of it came for so long.
        patience_s: how long a study that was cut off waits to be sent again.
        idle_s: an association in which nothing comes for so long is ended.
        retry_s: the first and the longest wait for a destination that cannot take a study.
        image_bytes, study_bytes, queue_bytes: the largest image, study and queue.
        status: address and port of the status page.
        tls: for both directions; None sends and listens in the clear.
    """

    title: str
    host: str
    port: int
    destination: Destination
    known: tuple[Caller, ...]
    spool: Path
    method: str = "mrsr"
    model: str = "pretrained"
    slice_factor: int | None = None
    quiet_s: float = 60.0
    patience_s: float = 3600.0
    idle_s: float = 60.0
    retry_s: tuple[float, float] = (5.0, 300.0)
    image_bytes: int = 2**29
    study_bytes: int = 2 * 2**30
    queue_bytes: int = 50 * 2**30
    status: tuple[str, int] = ("127.0.0.1", 8108)
    tls: Tls | None = None

    def check(self) -> None:
        """Raises `InputError` where the settings contradict each other."""
        if not self.known:
            raise InputError("expected at least one known AE title: nobody could send a study")
        if not self.image_bytes <= self.study_bytes <= self.queue_bytes:
            raise InputError(
                "expected an image to fit into a study and a study into the queue, got limits of "
                f"{self.image_bytes}, {self.study_bytes} and {self.queue_bytes} bytes"
            )


def parse_caller(text: str) -> Caller:
    """AET or AET@host; `ValueError` for another form."""
    title, at, host = text.partition("@")
    if at and not host:
        raise ValueError(f"no host: {text!r}")
    return Caller(_title(title), host or None)


def parse_destination(text: str) -> Destination:
    """AET@host:port; `ValueError` for another form."""
    title, _, place = text.partition("@")
    return Destination(_title(title), *parse_address(place))


def parse_address(text: str) -> tuple[str, int]:
    """host:port, or [address]:port of IPv6; `ValueError` for another form."""
    host, _, port = text.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 2**16):
        raise ValueError(f"no host and port: {text!r}")
    return host.strip("[]"), int(port)


def _title(text: str) -> str:
    """DICOM's AE title: 1 to 16 printable characters of ASCII, no backslash."""
    title = text.strip()
    if not (0 < len(title) <= LONGEST_TITLE and title.isascii() and title.isprintable()):
        raise ValueError(f"no AE title: {text!r}")
    if "\\" in title:
        raise ValueError(f"no AE title: {text!r}")
    return title
