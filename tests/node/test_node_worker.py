"""What the node makes of a study, and how it gets where it belongs."""

import shutil
import time
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from dicom_peers import Archive, files_of
from dicom_studies import SECRETS, save, write_enhanced, write_study
from random_scans import make_array
from small_runs import make_run

from mrsr_tf.io import dicom
from mrsr_tf.mri import slices
from mrsr_tf.mri.dess import t2_map
from mrsr_tf.node.making import upsampler_of
from mrsr_tf.node.settings import Caller, Destination, Settings
from mrsr_tf.node.spool import FACTS, Spool, digest, read_json
from mrsr_tf.node.worker import MOST_ATTEMPTS, Worker
from mrsr_tf.outputs import write_json

SHAPE = 8, 8, 3


@pytest.fixture
def archive():
    archive = Archive()
    archive.start()
    yield archive
    archive.stop()


@pytest.fixture
def settings(tmp_path, archive):
    to = Destination("ARCHIVE", "127.0.0.1", archive.port)
    return Settings(
        "MRSR", "127.0.0.1", 0, to, (Caller("SCANNER"),), tmp_path / "spool", "tci",
        retry_s=(0.0, 0.0),
    )  # fmt: skip


class Bench:
    """A worker at its spool, and a way to lay studies before it."""

    def __init__(self, settings):
        self.settings, self.spool = settings, Spool(settings.spool)
        self.worker = Worker(settings, self.spool, upsampler_of(settings), self._wait)

    def _wait(self, seconds):
        time.sleep(min(seconds, 0.01))
        return False

    def queue(self, *folders):
        """The images of some folders as one received study, in a folder for each series."""
        study = self.spool.queue / f"{len(list(self.spool.queue.iterdir())):03d}-study"
        for file in (file for folder in folders for file in files_of(folder)):
            series = study / digest(pydicom.dcmread(file).SeriesInstanceUID)
            series.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, series / f"{len(list(series.iterdir()))}.dcm")
        write_json(study / FACTS, {"images": len(files_of(study)), "bytes": 1})
        return study

    def work(self, steps=50):
        for _ in range(steps):
            if not self.worker.step():
                break

    def notes(self):
        return [note for file in self.spool.done.iterdir() for note in read_json(file)["notes"]]

    def reasons(self):
        return [self.spool.facts(study)["reason"] for study in self.spool.failed.iterdir()]


@pytest.fixture
def bench(settings):
    return Bench(settings)


def localizer(folder):
    """A series that most studies begin with: three planes, no DESS."""

    def change(header, index, echo):
        header.SeriesDescription, header.EchoTime = "Localizer", "2"
        header.RepetitionTime = "5"
        if index:
            header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]

    return write_study(folder, make_array((4, 4, 3), 1), change=change)


def test_what_is_sent_is_what_the_slices_and_their_signals_give(bench, archive, tmp_path):
    source = write_study(tmp_path / "source", make_array(SHAPE, seed=3))
    bench.queue(source)
    bench.work()
    assert list(archive.series().values()) == [
        ["Sag DESS MRSR echo 1", "Sag DESS MRSR echo 2", "Sag DESS T2 map"]
    ]
    for header in archive.headers.values():
        kind = "T2" if "T2" in header.SeriesDescription else header.SeriesDescription[-1]
        save(header, tmp_path / kind / str(header.InstanceNumber))
    thick = dicom.read_series(source)
    fine = slices.interpolate(thick.array)
    for echo in range(2):
        came = dicom.read_series(tmp_path / str(echo + 1))
        np.testing.assert_allclose(came.array[..., 0], np.maximum(fine[..., echo], 0), atol=0.51)
    times = {"tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0}
    t2_ms = t2_map(
        *np.moveaxis(fine, 3, 0), **times, spoiler_area=3132.0, spoiler_duration_us=1560.0
    )
    came = dicom.read_series(tmp_path / "T2").array[..., 0]
    np.testing.assert_allclose(came, np.nan_to_num(t2_ms), atol=0.01)


@pytest.mark.parametrize("layout", ["one series", "two series", "enhanced"])
def test_a_dess_is_found_among_other_series(bench, archive, tmp_path, layout):
    dess = (
        write_enhanced(tmp_path / "dess", make_array(SHAPE))
        if layout == "enhanced"
        else write_study(tmp_path / "dess", make_array(SHAPE), one_series=layout == "one series")
    )
    unreadable = tmp_path / "unreadable"
    shutil.copytree(localizer(tmp_path / "localizer"), unreadable)
    for file in files_of(unreadable):
        header = pydicom.dcmread(file)
        header.SeriesInstanceUID = "1.2.3"
        del header.ImagePositionPatient
        header.save_as(file)
    bench.queue(dess, tmp_path / "localizer", unreadable)
    bench.work()
    assert bench.reasons() == []
    assert bench.notes() == ["2 other series left alone"]
    assert [len(names) for names in archive.series().values()] == [3]


def test_two_knees_of_one_study_both_come_back(bench, archive, tmp_path):
    left = write_study(tmp_path / "left", make_array(SHAPE, seed=1))
    right = write_study(tmp_path / "right", make_array(SHAPE, seed=2))
    bench.queue(left, right)
    bench.work()
    assert len(archive.came) == 2 * 3 * 6


def test_one_echo_comes_back_without_a_t2_map_and_that_is_said(bench, archive, tmp_path):
    bench.queue(write_study(tmp_path / "single", make_array(SHAPE, echoes=1)))
    bench.work()
    assert list(archive.series().values()) == [["Sag DESS MRSR echo 1"]]
    assert ["no T2 map" in note for note in bench.notes()] == [True]


def test_an_unknown_spoiler_is_said(bench, archive, tmp_path):
    bench.queue(write_study(tmp_path / "bare", make_array(SHAPE), spoiler=None))
    bench.work()
    assert bench.notes() == ["T2 without diffusion: the spoiler is unknown"]
    assert len(archive.came) == 3 * 6


def test_what_it_made_itself_and_studies_without_a_dess_are_left_alone(bench, archive, tmp_path):
    bench.queue(write_study(tmp_path / "source", make_array(SHAPE)))
    bench.work()
    for number, header in enumerate(archive.headers.values()):
        save(header, tmp_path / "back" / str(number))
    sent = len(archive.came)
    bench.queue(tmp_path / "back")
    bench.queue(localizer(tmp_path / "localizer"))
    bench.work()
    assert len(archive.came) == sent
    assert bench.notes().count("no DESS in it") == 2
    assert bench.reasons() == []


def test_one_study_failing_leaves_the_others_alone(bench, archive, tmp_path, capfd, caplog):
    def strange(header, index, echo):
        if index == echo == 1:
            header.PhotometricInterpretation = "<script>"

    bench.queue(write_study(tmp_path / "strange", make_array(SHAPE), change=strange))
    gap = write_study(tmp_path / "gap", make_array(SHAPE))
    (gap / "slice001_echo1.dcm").unlink()
    bench.queue(gap)
    cut = bench.queue(write_study(tmp_path / "cut", make_array(SHAPE)))
    broken = files_of(cut)[0]
    broken.write_bytes(broken.read_bytes()[:-40])
    bench.queue(write_study(tmp_path / "good", make_array(SHAPE)))
    bench.work()
    assert len(archive.came) == 3 * 6
    assert len(bench.reasons()) == 3
    assert any("<script>" in reason for reason in bench.reasons())
    told = "".join(bench.reasons()) + caplog.text + "".join(capfd.readouterr())
    assert not any(secret in told for secret in SECRETS)
    assert str(bench.spool.root) not in "".join(bench.reasons())
    assert all(len(files_of(study)) > 1 for study in bench.spool.failed.iterdir())


def test_a_failed_study_put_back_into_the_queue_is_tried_again(bench, archive, tmp_path):
    study = bench.queue(write_study(tmp_path / "study", make_array(SHAPE)))
    last = max(study.rglob("*.dcm"))
    kept = last.read_bytes()
    last.write_bytes(kept[:-40])
    bench.work()
    (failed,) = bench.spool.failed.iterdir()
    (failed / last.relative_to(study)).write_bytes(kept)
    failed.rename(study)
    bench.work()
    assert len(archive.came) == 3 * 6
    assert bench.reasons() == []


def test_a_scan_larger_unpacked_than_a_study_may_be_is_refused(settings, archive, tmp_path):
    bench = Bench(replace(settings, study_bytes=700))
    bench.queue(write_study(tmp_path / "other", make_array(SHAPE, seed=1)))
    bench.work()
    assert ["768 when unpacked" in reason for reason in bench.reasons()] == [True]


def test_a_study_that_takes_the_process_down_is_given_up(settings, archive, tmp_path):
    bench = Bench(settings)
    study = bench.queue(write_study(tmp_path / "study", make_array(SHAPE)))
    bench.spool.tell(study, attempts=MOST_ATTEMPTS)
    bench.work()
    assert ["the process ended 3 times" in reason for reason in bench.reasons()] == [True]
    assert not archive.came


def test_the_same_study_sent_again_is_not_sent_back_again(bench, archive, tmp_path):
    source = write_study(tmp_path / "source", make_array(SHAPE))
    for _ in range(3):
        bench.queue(source)
        bench.work()
    assert set(archive.came.values()) == {1}
    (outcome,) = bench.spool.done.iterdir()
    assert read_json(outcome)["again"] == 2


def test_a_destination_that_is_away_or_busy_gets_everything_later(bench, archive, tmp_path):
    bench.queue(write_study(tmp_path / "study", make_array(SHAPE)))
    archive.stop()
    bench.work(3)
    assert len(list(bench.spool.outbox.iterdir())) == 1
    archive.start()
    archive.answers = [0, 0xA700, 0, 0xA701]  # the first and third are taken, and lost by it
    bench.work()
    assert not list(bench.spool.outbox.iterdir())
    assert len(archive.came) == 3 * 6 - 2
    assert set(archive.came.values()) == {1}


def test_a_destination_that_refuses_an_image_for_good_fails_that_study_only(
    bench, archive, tmp_path
):
    archive.answers = [0xA900]
    for seed in range(2):
        bench.queue(write_study(tmp_path / f"{seed}", make_array(SHAPE, seed=seed)))
    bench.work()
    assert ["status 0xA900" in reason for reason in bench.reasons()] == [True]
    assert len(archive.came) == 3 * 6


def test_killed_between_made_and_tidied_up_it_is_not_made_again(settings, archive, tmp_path):
    bench = Bench(settings)
    study = bench.queue(write_study(tmp_path / "study", make_array(SHAPE)))
    copy = shutil.copytree(study, tmp_path / "copy")
    bench.worker.step()
    shutil.copytree(copy, study)  # as if the last step of making had not been
    (settings.spool / "work" / "left").mkdir()
    again = Bench(settings)
    assert not list(again.spool.queue.iterdir())
    assert not list(again.spool.work.iterdir())
    again.work()
    assert set(archive.came.values()) == {1}
    assert len(archive.came) == 3 * 6


def test_a_network_makes_both_echoes(settings, archive, tmp_path):
    make_run(tmp_path / "run")
    bench = Bench(replace(settings, method="mrsr", model=str(tmp_path / "run")))
    bench.queue(write_study(tmp_path / "study", make_array(SHAPE)))
    bench.queue(write_study(tmp_path / "single", make_array(SHAPE, echoes=1)))
    bench.work()
    assert len(archive.came) == 3 * 6
    assert ["expected a scan of 2 echoes" in reason for reason in bench.reasons()] == [True]
    derivation = next(iter(archive.headers.values())).DerivationDescription
    assert "method=mrsr; slice_factor=2; weights_sha256=" in derivation
