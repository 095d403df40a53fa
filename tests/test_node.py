"""The DICOM node: studies in, derived series out, each exactly once, whatever happens."""

import threading

import pydicom
import pytest
from dicom_peers import Archive, Node, files_of, in_threads, send_until_taken, until
from dicom_studies import SECRETS, scan, write_study

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
        write_study(tmp_path / f"study{number}", scan((8, 8, 2), seed=number))
        for number in range(STUDIES)
    ]
    killed = threading.Event()
    node.start()

    def sender(number):
        def before(index):
            if index and number % 5 == 0:  # four are in the middle of their images at the kill
                killed.wait(60)

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
    assert node.stop() == 0
