"""Derived images to their destination by C-STORE; each leaves the disk when it has arrived."""

import ssl
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.files import MR_IMAGE
from mrsr_tf.node.settings import Settings

SUCCESS, WARNINGS, BUSY = 0x0000, 0xB000, 0xA700
CLASS, LEVEL = 0xF000, 0xFF00
TIMEOUT_S = 60.0


class Unavailable(Exception):  # noqa: N818 (it will pass)
    """The destination takes nothing now."""


def send(images: Iterable[Path], settings: Settings, stopped: Callable[[], bool]) -> int:
    """Sends images, and removes each that was taken.

    Args:
        images: DICOM files.
        settings: of the node.
        stopped: asked before each image, whether to leave the rest for later.

    Returns:
        How many were taken.

    Raises:
        Unavailable: the destination cannot be reached or is out of resources.
        InputError: it refused an image for good.
    """
    taken = 0
    with _associated(settings) as association:
        for image in images:
            if stopped():
                break
            try:
                status = association.send_c_store(pydicom.dcmread(image)).get("Status")
            except (ValueError, RuntimeError):  # no context for it, or the association is gone
                status = None
            if status is None:
                raise Unavailable("the destination ended the association")
            if status & LEVEL == BUSY:
                raise Unavailable(f"the destination is out of resources (status 0x{status:04X})")
            if status != SUCCESS and status & CLASS != WARNINGS:
                raise InputError(
                    f"expected the destination to take an image, it refused with status "
                    f"0x{status:04X}"
                )
            image.unlink()
            taken += 1
    return taken


@contextmanager
def _associated(settings: Settings) -> Iterator[Association]:
    ae = AE(settings.title)
    ae.add_requested_context(MR_IMAGE, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = TIMEOUT_S
    to = settings.destination
    tls = _tls(settings)
    association = ae.associate(to.host, to.port, ae_title=to.title, tls_args=tls)
    if not association.is_established:
        raise Unavailable(
            "the destination refused the association"
            if association.is_rejected
            else "the destination cannot be reached"
        )
    try:
        yield association
    finally:
        association.release()


def _tls(settings: Settings) -> tuple[ssl.SSLContext, str] | None:
    return (settings.tls.calling(), settings.destination.host) if settings.tls else None
