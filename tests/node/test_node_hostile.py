"""What a node withstands: strangers, garbage, floods, silence, and text that would be markup."""

import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import replace

import pydicom
import pytest
from dicom_peers import VERIFICATION, files_of, send, until
from dicom_studies import write_study
from pynetdicom import AE
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.node.incoming import COMPLETE, Incoming
from mrsr_tf.node.receiver import OUT_OF_RESOURCES, listening
from mrsr_tf.node.settings import Caller, Destination, Settings, Tls
from mrsr_tf.node.spool import Spool
from mrsr_tf.node.status import page, showing, status

MIB = 2**20


@pytest.fixture
def settings(tmp_path):
    return Settings(
        title="MRSR",
        host="127.0.0.1",
        port=0,
        destination=Destination("ARCHIVE", "127.0.0.1", 1),
        known=(Caller("SCANNER", "127.0.0.1"), Caller("ELSEWHERE", "192.0.2.1")),
        spool=tmp_path / "spool",
        method="tci",
        quiet_s=0.0,
        idle_s=10.0,
        image_bytes=MIB,
        study_bytes=2 * MIB,
        queue_bytes=20 * MIB,
        status=("127.0.0.1", 0),
    )


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


@contextmanager
def receiving(settings):
    """What `listening` needs, and its port."""
    spool = Spool(settings.spool)
    incoming = Incoming(spool, settings)
    with listening(settings, spool, incoming) as port:
        yield spool, incoming, port


@pytest.fixture
def study(tmp_path):
    return files_of(write_study(tmp_path / "study", make_array((8, 8, 2))))


def echo(port, title="SCANNER", called="MRSR"):
    """The status of a C-ECHO; None where the association was refused."""
    ae = AE(title)
    ae.add_requested_context(VERIFICATION)
    ae.acse_timeout = ae.dimse_timeout = 10
    association = ae.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        assert association.is_rejected
        return None
    answer = association.send_c_echo().Status
    association.release()
    return answer


def test_only_known_callers_of_the_right_node_are_answered(settings):
    with receiving(settings) as (_, _, port):
        assert echo(port) == 0
        assert echo(port, title="STRANGER") is None
        assert echo(port, title="ELSEWHERE") is None  # known, of another host
        assert echo(port, called="OTHER") is None


def test_an_association_in_which_nothing_comes_is_ended_and_what_it_left_is_not_taken(
    settings, study
):
    with receiving(replace(settings, patience_s=1.0, idle_s=1.0)) as (spool, incoming, port):
        ended = threading.Event()
        send(study, port, before=lambda index: index and ended.wait(3))  # longer than idle_s
        until(lambda: incoming.sweep() or names(spool.failed))
        assert not names(spool.queue)
        (failed,) = spool.failed.iterdir()
        assert "cut off" in spool.facts(failed)["reason"]
        assert names(failed) == ["study.json"]
    with receiving(settings) as (spool, incoming, port):
        assert send(study, port) == [0] * 4  # sent again, it is taken
        until(lambda: incoming.sweep() or names(spool.queue))


def test_a_connection_that_stops_in_the_middle_of_a_pdu_is_ended(settings):
    with receiving(replace(settings, idle_s=1.0)) as (_, _, port):
        silent = socket.create_connection(("127.0.0.1", port))
        half = socket.create_connection(("127.0.0.1", port))
        half.sendall(struct.pack(">BBL", 1, 0, 5000) + b"abc")
        for connection in (silent, half):
            connection.settimeout(10)
            with suppress(ConnectionResetError):
                while connection.recv(100):
                    pass
        assert echo(port) == 0


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack(">BBL", 1, 0, 2**32 - 1) + b"\0" * 10_000,  # would be 4 GiB
        struct.pack(">BBL", 1, 0, 100) + os.urandom(100),
        struct.pack(">BBL", 4, 0, 6) + struct.pack(">LBB", 2, 1, 3),  # data before a greeting
        b"\0" * 100,
    ],
    ids=["http", "huge", "random", "unasked", "zeros"],
)
def test_garbage_is_hung_up_on_and_the_next_caller_served(settings, garbage):
    with receiving(replace(settings, idle_s=3.0)) as (spool, _, port):
        caller = socket.create_connection(("127.0.0.1", port), 30)
        with caller, suppress(ConnectionError):
            caller.sendall(garbage)
            while caller.recv(1000):
                pass
        assert echo(port) == 0
        assert not list(spool.arriving.iterdir())


def test_an_image_larger_than_allowed_ends_its_association(settings, study, tmp_path):
    bomb = pydicom.dcmread(study[0])
    bomb.Rows, bomb.Columns, bomb.PixelData = 1000, 1000, b"\0" * 2_000_000
    bomb.save_as(tmp_path / "bomb")
    with receiving(settings) as (spool, incoming, port):
        bombed = [study[0], tmp_path / "bomb", study[1]]
        assert send(bombed, port, timeout=3) == [0, None, None]
        incoming.sweep()
        assert sum(file.stat().st_size for file in files_of(spool.root)) < 1.5 * MIB
        assert not list(spool.queue.iterdir())
        assert send(study, port) == [0] * 4


def test_a_study_larger_than_allowed_is_refused_and_leaves_only_its_reason(
    settings, study, tmp_path
):
    small = replace(settings, study_bytes=3 * 2**14, image_bytes=2**14)
    with receiving(small) as (spool, incoming, port):
        assert send(study, port) == [0, 0, 0, OUT_OF_RESOURCES]
        until(lambda: incoming.sweep() or list(spool.failed.iterdir()))
        (failed,) = spool.failed.iterdir()
        assert "larger than the largest study" in spool.facts(failed)["reason"]
        assert names(failed) == ["study.json"]


def test_a_full_queue_takes_no_new_study_but_all_of_one_begun(settings, tmp_path):
    first, second, third = (
        files_of(write_study(tmp_path / f"{n}", make_array((8, 8, 2), seed=n))) for n in range(3)
    )
    with receiving(replace(settings, queue_bytes=2 * MIB + 2**16)) as (spool, incoming, port):
        statuses = []

        def between(index):
            if index == 2:
                statuses.extend(send(second, port))

        assert send(first, port, before=between) == [0] * 4
        assert statuses == [OUT_OF_RESOURCES] * 4
        until(lambda: incoming.sweep() or list(spool.queue.iterdir()))
        assert send(second, port) == [0] * 4
        until(lambda: incoming.sweep() or len(list(spool.queue.iterdir())) == 2)
        assert send(third, port) == [OUT_OF_RESOURCES] * 4
        spool.fail(next(spool.queue.iterdir()), "of no use")  # failed ones make way
        assert send(third, port) == [0] * 4
        assert names(next(spool.failed.iterdir())) == ["study.json"]


def test_what_is_no_image_is_refused_and_other_kinds_are_taken_and_left(settings, tmp_path, study):
    nameless, other = (pydicom.dcmread(file) for file in study[:2])
    del nameless.StudyInstanceUID
    other.SOPClassUID = other.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    nameless.save_as(tmp_path / "nameless")
    other.save_as(tmp_path / "other")
    with receiving(settings) as (spool, incoming, port):
        assert send([tmp_path / "nameless", tmp_path / "other"], port) == [0xC000, 0]
        assert len(incoming) == 0
        until(lambda: not files_of(spool.arriving))


def test_a_study_waits_for_its_senders_and_survives_a_restart(settings, study, tmp_path):
    with receiving(settings) as (spool, incoming, port):

        def look(index):
            incoming.sweep()
            assert not list(spool.queue.iterdir())

        assert send(study, port, before=look) == [0] * 4
        until(lambda: list(spool.incoming.glob(f"*/{COMPLETE}")))
    with receiving(replace(settings, quiet_s=1000.0)) as (spool, incoming, _):
        incoming.sweep()
        assert len(incoming) == 1  # it has to be quiet for so long anew
    with receiving(settings) as (spool, incoming, _):
        until(lambda: incoming.sweep() or list(spool.queue.iterdir()))
        (queued,) = spool.queue.iterdir()
        assert spool.facts(queued)["images"] == 4
        assert len(list(queued.rglob("*.dcm"))) == 4


def test_a_second_node_on_one_spool_is_refused(tmp_path):
    with (
        Spool(tmp_path).lock("node", wait=False),
        pytest.raises(InputError, match="another node uses"),
        Spool(tmp_path).lock("node", wait=False),
    ):
        pass


def test_words_that_would_be_markup_are_shown_as_words(settings):
    spool = Spool(settings.spool)
    (spool.queue / "1-a").mkdir()
    spool.fail(spool.queue / "1-a", "got <script>alert(1)</script>\nand more")
    spool.conclude("b", {"study": "2-b", "images": 3, "notes": ["<b>&"], "ended": 0, "seconds": 1})
    shown = page(status(settings, spool, Incoming(spool, settings)))
    assert "<script>" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt; and more" in shown
    assert "&lt;b&gt;&amp;" in shown


def test_the_status_page_has_two_addresses_and_runs_no_scripts(settings):
    spool = Spool(settings.spool)
    with showing(settings, spool, Incoming(spool, settings)) as port:

        def answer(request):
            with socket.create_connection(("127.0.0.1", port), 10) as connection:
                connection.sendall(request)
                return b"".join(iter(lambda: connection.recv(10_000), b"")).decode()

        told = answer(b"GET / HTTP/1.0\r\n\r\n")
        assert "200 OK" in told
        assert "default-src 'none'" in told
        assert "404" in answer(b"GET /../../etc/passwd HTTP/1.0\r\n\r\n")
        assert "501" in answer(b"POST / HTTP/1.0\r\n\r\n")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and a certificate that it signed for this host; another that signed itself."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ca", "stranger"):
        subprocess.run(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            f"-keyout {name}.key -out {name}.pem -subj /CN={name} -days 2",
            shell=True, cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    subprocess.run(
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout node.key "
        "-out node.csr -subj /CN=node && openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key "
        "-CAcreateserial -out node.pem -days 2 -extfile names",
        shell=True, cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_tls_lets_in_who_shows_a_certificate_and_a_hanging_handshake_holds_up_nobody(
    settings, certificates, study
):
    ours = Tls(*(certificates / name for name in ("node.pem", "node.key", "ca.pem")))
    stranger = ssl.create_default_context(cafile=certificates / "ca.pem")
    stranger.load_cert_chain(certificates / "stranger.pem", certificates / "stranger.key")
    with receiving(replace(settings, tls=ours, idle_s=5.0)) as (spool, incoming, port):
        hanging = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        assert send(study, port, tls=(ours.calling(), "127.0.0.1")) == [0] * 4
        assert send(study, port, tls=(stranger, "127.0.0.1")) == [None] * 4
        assert send(study, port) == [None] * 4
        for connection in hanging:
            connection.close()
        until(lambda: incoming.sweep() or list(spool.queue.iterdir()))


def test_unusable_tls_files_are_named(settings, tmp_path):
    (tmp_path / "no.pem").write_text("no")
    tls = Tls(*[tmp_path / "no.pem"] * 3)
    with pytest.raises(InputError, match="in PEM"), receiving(replace(settings, tls=tls)):
        pass
