"""The side of the node that listens: C-STORE and C-ECHO from peers it knows.

pynetdicom speaks the protocol. It trusts its peers, though: a PDU may claim 4 GiB, a message may
never end, a handshake may hang. What is bounded here is bounded because of that.
"""

import socket
import socketserver
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pydicom
from absl import logging
from pydicom.pixels import get_decoder
from pydicom.uid import (
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.association import Association
from pynetdicom.events import Event
from pynetdicom.transport import ThreadedAssociationServer

from mrsr_tf.errors import InputError
from mrsr_tf.io.dicom.files import MR_IMAGE, MULTI_FRAME
from mrsr_tf.node.incoming import Incoming
from mrsr_tf.node.settings import Caller, Settings
from mrsr_tf.node.spool import Spool

TAKEN, OUT_OF_RESOURCES, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xC000
REJECTED_FOR_GOOD, BY_THE_USER, UNKNOWN_CALLER = 1, 1, 3
ASSOCIATIONS, CONNECTIONS, WAITING = 32, 64, 64
ENDING_S = 2.0
PDU_BYTES, LARGEST_PDU_BYTES = 2**17, 2**20
LARGEST_IN_MEMORY = 2**20  # of a message besides the image, which goes to the disk as it comes
UNCOMPRESSED = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian]
VERIFICATION = "1.2.840.10008.1.1"
IDENTIFYING = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]


@contextmanager
def listening(settings: Settings, spool: Spool, incoming: Incoming) -> Iterator[int]:
    """Receives while the block runs; yields the port.

    Raises:
        InputError: a known host has no address, or the TLS files cannot be used.
        OSError: the port is taken.
    """
    _config.LOG_HANDLER_LEVEL = "none"  # what it would log quotes headers
    _config.STORE_RECV_CHUNKED_DATASET = True
    tempfile.tempdir = str(spool.arriving)
    ae = AE(settings.title)
    ae.require_called_aet = True
    ae.maximum_associations = ASSOCIATIONS
    ae.maximum_pdu_size = PDU_BYTES
    ae.network_timeout = ae.acse_timeout = ae.dimse_timeout = settings.idle_s
    _offer(ae)
    server = _Server(
        ae,
        (settings.host, settings.port),
        settings.title,
        ae.supported_contexts,
        _tls(settings),
        _handlers(settings, incoming),
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.close()


def _offer(ae: AE) -> None:
    """All kinds of images, since a study holds others too, in every way that can be read here."""
    syntaxes = [*UNCOMPRESSED, *(uid for uid in AllTransferSyntaxes if _is_decodable(uid))]
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(str(context.abstract_syntax), syntaxes)
    ae.add_supported_context(VERIFICATION)


def _is_decodable(syntax: pydicom.uid.UID) -> bool:
    if syntax in UNCOMPRESSED or syntax == DeflatedExplicitVRLittleEndian:  # which may swell
        return False
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def _tls(settings: Settings) -> ssl.SSLContext | None:
    try:
        return settings.tls.accepting() if settings.tls else None
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"expected certificate, key and authorities in PEM: {error}") from None


def _handlers(settings: Settings, incoming: Incoming) -> list[Any]:
    addresses = {peer: _addresses(peer) for peer in settings.known}
    return [
        (evt.EVT_CONN_OPEN, _bound, [settings.image_bytes]),
        (evt.EVT_REQUESTED, _refuse_strangers, [addresses]),
        (evt.EVT_C_ECHO, lambda event: TAKEN),
        (evt.EVT_C_STORE, _store, [incoming]),
        (evt.EVT_RELEASED, lambda event: incoming.released(event.assoc)),
    ]


def _addresses(peer: Caller) -> set[str] | None:
    """All addresses of a peer's host; None where it may call from any."""
    if peer.host is None:
        return None
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(peer.host, None)}
    except OSError as error:
        raise InputError(f"expected a host with an address, got {peer.host}: {error}") from None


def _refuse_strangers(event: Event, known: dict[Caller, set[str] | None]) -> None:
    requestor = event.assoc.requestor
    request = requestor.primitive
    title = request.calling_ae_title.strip() if request else ""
    hosts = [addresses for caller, addresses in known.items() if caller.title == title]
    if not any(addresses is None or requestor.address in addresses for addresses in hosts):
        logging.warning("an association was refused: AE title or host unknown")
        event.assoc.acse.send_reject(REJECTED_FOR_GOOD, BY_THE_USER, UNKNOWN_CALLER)
        event.assoc.kill()  # which waits until that is sent


def _store(event: Event, incoming: Incoming) -> int:
    try:
        header = pydicom.dcmread(event.dataset_path, True, True, specific_tags=IDENTIFYING)
        study, series, image = (str(header[keyword].value) for keyword in IDENTIFYING)
    except Exception:  # pydicom raises nearly every type there is
        return NOT_UNDERSTOOD
    if event.request.AffectedSOPClassUID not in (MR_IMAGE, *MULTI_FRAME):
        return TAKEN  # part of most studies and of no use here
    peer = event.assoc.requestor.ae_title
    try:
        taken = incoming.take(event.dataset_path, event.assoc, peer, (study, series, image))
    except OSError as error:
        logging.error("an image could not be kept: %s", error.strerror)
        return OUT_OF_RESOURCES
    return TAKEN if taken else OUT_OF_RESOURCES


def _bound(event: Event, image_bytes: int) -> None:
    """Bounds what one association's peer can make the node hold."""
    connection = event.assoc.dul.socket
    if connection is None:
        raise ConnectionAbortedError("expected an open connection, got one that is closed")
    bounded = _bounded(event.assoc, connection.recv, image_bytes)
    setattr(connection, "recv", bounded)  # noqa: B010 (a method, to the type checker)


def _bounded(
    association: Association, receive: Callable[[int], bytearray], image_bytes: int
) -> Callable[[int], bytearray]:
    """`receive`, ending the connection where a message grows beyond what an image may be."""
    came = 0

    def bounded(count: int) -> bytearray:
        nonlocal came
        message = association.dimse.message
        came = came + count if message else 0
        parts = (message.encoded_command_set, message.data_set) if message else ()
        in_memory = sum(part.tell() for part in parts if part)
        unread = association.dimse.msg_queue.qsize()
        if (
            count > LARGEST_PDU_BYTES
            or came > image_bytes
            or in_memory > LARGEST_IN_MEMORY
            or unread > 1
        ):
            logging.warning("an association was ended: its peer sent more than a message may hold")
            raise ConnectionAbortedError
        return receive(count)

    return bounded


class _Server(ThreadedAssociationServer):
    """pynetdicom's server, with as many connections as there is room for."""

    daemon_threads = True
    request_queue_size = WAITING

    def get_request(self) -> tuple[socket.socket, Any]:
        """Leaves the TLS handshake to the connection's own thread: it may hang there alone."""
        if self.socket is None:  # the server's loop takes an OSError for a caller that left
            raise OSError("expected a listening socket, got a closed one")
        connection, address = self.socket.accept()
        connection.settimeout(self.ae.network_timeout)
        if self.ssl_context:
            connection = self.ssl_context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection."""
        return len(self.active_associations) < CONNECTIONS

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: what went wrong with a connection was its peer's doing."""

    def close(self) -> None:
        """Stops listening, then ends the associations that are still open."""
        socketserver.BaseServer.shutdown(self)
        self.server_close()
        open_ones = self.active_associations
        for association in open_ones:
            association.abort(block=False)
        latest = time.monotonic() + ENDING_S
        for association in open_ones:
            association.join(max(0.0, latest - time.monotonic()))
        for association in self.active_associations:
            if association.dul.socket and association.dul.socket.socket:
                self.shutdown_request(association.dul.socket.socket)
