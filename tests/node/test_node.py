"""The DICOM node: studies in, derived series out, each exactly once, whatever happens."""

import socket
import subprocess
import threading
from dataclasses import replace

import pydicom
import pytest
from dicom_peers import Archive, Node, files_of, in_threads, send, send_until_taken, until
from dicom_studies import SECRETS, write_study
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.node.settings import Caller, Destination, Settings, parse_caller, parse_destination

STUDIES = 20


@pytest.fixture
def archive():
    archive = Archive()
    archive.start()
    yield archive
    archive.stop()


@pytest.fixture
def node(tmp_path, archive):
    node = Node(tmp_path / "node", archive.port)
    yield node
    if node.process and node.process.poll() is None:
        node.kill()


def test_twenty_studies_come_back_exactly_once_through_a_kill(tmp_path, node, archive):
    studies = [
        write_study(tmp_path / f"study{number}", make_array((8, 8, 2), seed=number))
        for number in range(STUDIES)
    ]
    killed = threading.Event()
    node.start()

    def sender(number):
        def before(index):
            if index and number % 5 == 0:  # four are in the middle of their images at the kill
                killed.wait(300)

        return lambda: send_until_taken(files_of(studies[number]), lambda: node.port, before)

    with in_threads([sender(number) for number in range(STUDIES)]):
        until(lambda: len(archive.came) > 10)
        node.kill()
        killed.set()
        node.start()
    node.finished(STUDIES)
    wanted = {pydicom.dcmread(files_of(study)[0]).StudyInstanceUID for study in studies}
    assert archive.series() == {
        study: ["Sag DESS MRSR echo 1", "Sag DESS MRSR echo 2", "Sag DESS T2 map"]
        for study in wanted
    }
    assert len(archive.came) == STUDIES * 3 * 4
    # Only an image whose receipt the kill cut off may have come twice, as the same instance.
    assert sorted(archive.came.values())[:-1] == [1] * (STUDIES * 3 * 4 - 1)
    assert max(archive.came.values()) <= 2
    told = node.get() + node.log.read_text()
    assert not any(secret in told for secret in SECRETS)


def test_sigterm_ends_it_with_an_association_open_and_half_a_pdu_sent(node, tmp_path):
    study = files_of(write_study(tmp_path / "study", make_array((8, 8, 2))))
    node.start()
    half = socket.create_connection(("127.0.0.1", node.port))
    half.sendall(b"\1\0\0\0\x20\0half")
    codes = []
    send(study, node.port, before=lambda index: index == 1 and codes.append(node.stop()), timeout=3)
    assert codes == [0]
    half.close()
    (left,) = (node.folder / "spool" / "incoming").iterdir()
    assert len(files_of(left)) == 1  # what was taken is there for the next start


def test_a_model_that_cannot_be_had_is_said_in_one_line(node):
    call = [*node.call, "--method=mrsr", f"--model={node.folder}"]
    ended = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("error: expected the folder of a finished")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("text", ["", "@host", "A" * 17, "A\\B", "ÄRZTE", "A@"])
def test_what_is_no_caller_is_refused(text):
    with pytest.raises(ValueError, match=r"no (AE title|host)"):
        parse_caller(text)


@pytest.mark.parametrize("text", ["A", "A@host", "A@:104", "A@host:x", "A@host:70000", "@h:1"])
def test_what_is_no_destination_is_refused(text):
    with pytest.raises(ValueError, match=r"no (AE title|host and port)"):
        parse_destination(text)


def test_callers_and_destinations_are_read():
    assert parse_caller("SCANNER") == Caller("SCANNER")
    assert parse_caller("SCANNER@10.0.0.1") == Caller("SCANNER", "10.0.0.1")
    assert parse_destination("PACS@[::1]:104") == Destination("PACS", "::1", 104)


@pytest.mark.parametrize("wrong", [{"known": ()}, {"image_bytes": 2**40}, {"queue_bytes": 1}])
def test_settings_that_contradict_each_other_are_refused(wrong, tmp_path):
    fine = Settings("MRSR", "", 0, Destination("A", "h", 1), (Caller("B"),), tmp_path)
    fine.check()
    with pytest.raises(InputError):
        replace(fine, **wrong).check()
