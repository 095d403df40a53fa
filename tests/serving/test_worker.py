"""What the worker makes of each kind of study in an Orthanc server."""

import json
import shutil

import numpy as np
import pydicom
import pytest
from dicom_studies import SECRETS, save, write_enhanced, write_study
from orthanc_server import files_of
from random_scans import make_array
from small_runs import make_run

from mrsr_tf import serving
from mrsr_tf.inference.methods import choose_upsampler
from mrsr_tf.inference.upsampling import Interpolation
from mrsr_tf.io import dicom
from mrsr_tf.mri import slices

SHAPE = 8, 8, 3
DERIVED = ["Sag DESS MRSR T2 map", "Sag DESS MRSR echo 1", "Sag DESS MRSR echo 2"]


class Bench:
    """A worker beside a server, which handles what is sent to it when asked to."""

    def __init__(self, server, upsampler=None, destination=None):
        self.server = server
        self.upsampler = upsampler or Interpolation("tci")
        self.worker = serving.Worker(serving.Orthanc(server.url), self.upsampler, destination)

    def handle(self, *folders):
        """Stores the files of some folders and handles all studies."""
        for folder in folders:
            self.server.post_files(files_of(folder))
        for study in self.server.get("studies"):
            self.worker.handle(study)

    def series(self):
        """The descriptions of all series."""
        return sorted(
            item["MainDicomTags"]["SeriesDescription"] for item in self.server.get("series?expand")
        )

    def entries(self):
        metadata = (f"studies/{name}/metadata/4747" for name in self.server.get("studies"))
        return [self.server.get(path) for path in metadata]

    def outcomes(self):
        return [entry["outcome"] for entry in self.entries()]

    def requests_during(self, action):
        """The changes of data that Orthanc records while an action runs."""
        last = self.server.get("changes?last")["Last"]
        action()
        changes = self.server.get(f"changes?since={last}&limit=1000")["Changes"]
        return [change["ChangeType"] for change in changes]


@pytest.fixture
def bench(orthanc):
    return Bench(orthanc)


def localizer(folder):
    """A series that most studies begin with: three planes, no DESS."""

    def change(header, index, echo):
        header.SeriesDescription, header.EchoTime = "Localizer", "2"
        header.RepetitionTime = "5"
        if index:
            header.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]

    return write_study(folder, make_array((4, 4, 3), 1), change=change)


def in_one_study(folder, *others):
    """Makes the images of other folders part of the study in the first one."""
    study = pydicom.dcmread(files_of(folder)[0]).StudyInstanceUID
    for file in (file for other in others for file in files_of(other)):
        header = pydicom.dcmread(file)
        header.StudyInstanceUID = study
        header.save_as(file)
    return folder, *others


def test_the_derived_series_are_what_the_interpolation_and_its_signals_give(bench, tmp_path):
    source = write_study(tmp_path / "source", make_array(SHAPE, seed=3))
    bench.handle(source)
    assert bench.series() == ["Sag DESS", *DERIVED]
    assert bench.outcomes() == ["added 3 series of 18 images"]
    for number, file in enumerate(bench.server.images().values()):
        header = pydicom.dcmread(pydicom.filebase.DicomBytesIO(file))
        save(header, tmp_path / header.SeriesDescription / str(number))
    fine = slices.interpolate(dicom.read_series(source).array)
    for echo in range(2):
        derived = dicom.read_series(tmp_path / DERIVED[1 + echo]).array[..., 0]
        np.testing.assert_allclose(derived, fine[..., echo], atol=0.51)


@pytest.mark.parametrize("layout", ["one series", "two series", "enhanced", "two objects"])
def test_a_dess_is_found_among_other_series(bench, tmp_path, layout):
    if layout in ("enhanced", "two objects"):
        dess = write_enhanced(tmp_path / "dess", make_array(SHAPE), one_object=layout == "enhanced")
    else:
        dess = write_study(tmp_path / "dess", make_array(SHAPE), one_series=layout == "one series")
    bench.handle(*in_one_study(dess, localizer(tmp_path / "localizer")))
    sources = ["Localizer"] + ["Sag DESS"] * (1 + (layout == "two series"))
    assert bench.series() == [*sources, *DERIVED]
    assert bench.outcomes() == ["added 3 series of 18 images"]


def test_only_images_of_the_dess_are_downloaded(bench, tmp_path, monkeypatch):
    dess, other = in_one_study(
        write_study(tmp_path / "dess", make_array(SHAPE)), localizer(tmp_path / "localizer")
    )
    requests = []
    request = serving.Orthanc.request

    def recorded(self, method, path, data=None):
        requests.append((method, path))
        return request(self, method, path, data)

    monkeypatch.setattr(serving.Orthanc, "request", recorded)
    bench.handle(dess, other)
    downloads = [path for method, path in requests if method == "GET" and path.endswith("/file")]
    assert len(downloads) == len(files_of(dess))


def test_two_knees_of_one_study_both_get_derived_series(bench, tmp_path):
    left = write_study(tmp_path / "left", make_array(SHAPE, seed=1))
    right = write_study(tmp_path / "right", make_array(SHAPE, seed=2))
    bench.handle(*in_one_study(left, right))
    assert bench.series() == sorted(["Sag DESS", *DERIVED] * 2)
    assert bench.outcomes() == ["added 6 series of 36 images"]


def test_one_damaged_scan_beside_a_good_one_is_noted(bench, tmp_path):
    left = write_study(tmp_path / "left", make_array(SHAPE, seed=1))
    right = write_study(tmp_path / "right", make_array(SHAPE, seed=2))
    in_one_study(left, right)
    (right / "slice001_echo1.dcm").unlink()
    bench.handle(left, right)
    (outcome,) = bench.outcomes()
    assert outcome.startswith("added 3 series of 18 images; expected both echoes")


def test_one_echo_gets_no_t2_map_and_the_entry_says_so(bench, tmp_path):
    bench.handle(write_study(tmp_path / "single", make_array(SHAPE, echoes=1)))
    assert bench.series() == ["Sag DESS", "Sag DESS MRSR echo 1"]
    (outcome,) = bench.outcomes()
    assert outcome.startswith("added 1 series of 6 images; expected both echoes")


def test_an_unknown_spoiler_is_noted(bench, tmp_path):
    bench.handle(write_study(tmp_path / "bare", make_array(SHAPE), spoiler=None))
    (outcome,) = bench.outcomes()
    assert "added 3 series of 18 images; the spoiler's area and duration are unknown" in outcome


def test_a_study_without_a_dess_and_one_of_derived_series_are_left_alone(bench, tmp_path):
    bench.handle(write_study(tmp_path / "source", make_array(SHAPE)))
    derived = [f for f in bench.server.images().values() if b"DERIVED\\SECONDARY" in f]
    bench.server.empty()
    for number, file in enumerate(derived):
        (tmp_path / "derived").mkdir(exist_ok=True)
        (tmp_path / "derived" / str(number)).write_bytes(file)
    bench.handle(tmp_path / "derived", localizer(tmp_path / "localizer"))
    assert bench.series() == ["Localizer", *DERIVED]
    assert sorted(bench.outcomes()) == ["no DESS among 1 series", "no DESS among 3 series"]


def test_one_study_failing_leaves_the_others_alone(bench, tmp_path, capfd, caplog):
    def strange(header, index, echo):
        if index == echo == 1:
            header.PhotometricInterpretation = "<script>"

    studies = [
        write_study(tmp_path / name, make_array(SHAPE, seed=seed), change=change)
        for seed, (name, change) in enumerate(
            {"strange": strange, "gap": lambda *_: None, "good": lambda *_: None}.items()
        )
    ]
    (studies[1] / "slice001_echo1.dcm").unlink()
    caplog.set_level("INFO", logger="absl")
    bench.handle(*studies)
    failed = [outcome for outcome in bench.outcomes() if outcome.startswith("no series made; ")]
    assert len(failed) == 2
    assert "added 3 series of 18 images" in bench.outcomes()
    assert len([line for line in caplog.messages if line.startswith("study ")]) == 3
    texts = "".join(bench.outcomes()) + caplog.text + "".join(capfd.readouterr())
    assert not any(secret in texts for secret in SECRETS)
    assert serving.TEMPORARY not in texts


def test_a_damaged_slice_is_named_as_orthanc_names_it(bench, tmp_path):
    study = write_study(tmp_path / "cut", make_array(SHAPE))
    broken = files_of(study)[0]
    header = pydicom.dcmread(broken)
    header.PixelData = header.PixelData[:-40]
    header.save_as(broken)
    bench.handle(study)
    (outcome,) = bench.outcomes()
    assert outcome.startswith("no series made; expected ")
    (name,) = [name for name in bench.server.get("instances") if f"scan1/{name}.dcm" in outcome]
    tags = bench.server.get(f"instances/{name}/simplified-tags")
    assert tags["SOPInstanceUID"] == header.SOPInstanceUID


def test_a_study_that_is_done_is_not_made_again(bench, tmp_path):
    bench.handle(write_study(tmp_path / "study", make_array(SHAPE)))
    assert bench.requests_during(bench.handle) == []


def test_other_pixels_under_the_same_uid_replace_the_derived_series(bench, tmp_path):
    source = write_study(tmp_path / "source", make_array(SHAPE))
    bench.handle(source)
    before = bench.server.images().keys()
    file = files_of(source)[0]
    header = pydicom.dcmread(file)
    header.PixelData = (header.pixel_array // 2).tobytes()
    header.save_as(file)
    (name,) = bench.server.request("POST", "tools/lookup", data=header.SOPInstanceUID).json()
    bench.server.request("DELETE", f"instances/{name['ID']}")
    bench.handle(source)
    assert bench.series() == ["Sag DESS", *DERIVED]
    assert len(before & bench.server.images().keys()) == 6
    assert bench.requests_during(bench.handle) == []


def test_a_late_localizer_changes_nothing_but_the_entry(bench, tmp_path, monkeypatch):
    dess, other = in_one_study(
        write_study(tmp_path / "dess", make_array(SHAPE)), localizer(tmp_path / "localizer")
    )
    bench.handle(dess)
    bench.server.post_files(files_of(other))
    assert bench.requests_during(bench.handle) == ["UpdatedMetadata"]
    assert bench.requests_during(bench.handle) == []


def test_late_slices_replace_the_derived_series(bench, tmp_path):
    study = write_study(tmp_path / "study", make_array((8, 8, 4)))
    late = tmp_path / "late"
    late.mkdir()
    for echo in (1, 2):
        shutil.move(study / f"slice003_echo{echo}.dcm", late)
    bench.handle(study)
    before = set(bench.entries()[0]["series"])
    bench.handle(late)
    assert bench.series() == ["Sag DESS", *DERIVED]
    assert bench.outcomes() == ["added 3 series of 24 images"]
    assert not before & set(bench.entries()[0]["series"])
    assert len(bench.server.get("instances")) == 8 + 24


def test_another_derivation_replaces_the_derived_series(bench, orthanc, tmp_path):
    bench.handle(write_study(tmp_path / "study", make_array(SHAPE)))
    Bench(orthanc, Interpolation("fi")).handle()
    assert bench.series() == ["Sag DESS", *DERIVED]
    derivations = [
        orthanc.get(f"instances/{name}/simplified-tags").get("DerivationDescription", "")
        for name in orthanc.get("instances")
    ]
    assert sum("method=fi" in text for text in derivations) == 12
    assert not any("method=tci" in text for text in derivations)


def test_a_derived_series_that_was_deleted_comes_back(bench, orthanc, tmp_path):
    bench.handle(write_study(tmp_path / "study", make_array(SHAPE)))
    derived = orthanc.get("series?expand")
    name = next(
        item["ID"] for item in derived if "T2" in item["MainDicomTags"]["SeriesDescription"]
    )
    orthanc.request("DELETE", f"series/{name}")
    bench.handle()
    assert bench.series() == ["Sag DESS", *DERIVED]


def test_deleting_the_entry_makes_a_failed_study_anew(bench, orthanc, tmp_path):
    study = write_study(tmp_path / "study", make_array(SHAPE))
    bench.handle(study)
    (name,) = orthanc.get("studies")
    entry = {**bench.entries()[0], "outcome": "given up"}
    orthanc.request("PUT", f"studies/{name}/metadata/4747", data=json.dumps(entry))
    assert bench.requests_during(bench.handle) == []
    orthanc.request("DELETE", f"studies/{name}/metadata/4747")
    bench.handle()
    assert bench.outcomes() == ["added 3 series of 18 images"]
    assert bench.series() == ["Sag DESS", *DERIVED]


@pytest.mark.parametrize("step", [1, 2, 3, 8, 14, 15, 16])
def test_killed_after_any_request_the_next_worker_completes_the_study(
    bench, orthanc, tmp_path, monkeypatch, step
):
    """16 requests change something: 3 entries, 12 uploads and the attachment."""
    orthanc.post_files(files_of(write_study(tmp_path / "study", make_array((8, 8, 2)))))
    request, count = serving.Orthanc.request, 0

    def killed(self, method, path, data=None):
        nonlocal count
        count += method != "GET"
        if count >= step:
            raise KeyboardInterrupt
        return request(self, method, path, data)

    monkeypatch.setattr(serving.Orthanc, "request", killed)
    with pytest.raises(KeyboardInterrupt):
        bench.handle()
    monkeypatch.undo()
    Bench(orthanc).handle()
    assert bench.series() == ["Sag DESS", *DERIVED]
    assert bench.outcomes() == ["added 3 series of 12 images"]


def test_a_study_that_takes_the_process_down_is_given_up_after_three_times(
    bench, orthanc, tmp_path, monkeypatch
):
    class Crash(BaseException):
        pass

    def crash(*arguments):
        raise Crash

    orthanc.post_files(files_of(write_study(tmp_path / "study", make_array(SHAPE))))
    derive_series = serving.derive_series
    monkeypatch.setattr(serving, "derive_series", crash)
    for _ in range(3):
        with pytest.raises(Crash):
            bench.handle()
    bench.handle()
    assert bench.outcomes() == ["given up: the worker ended 3 times"]
    monkeypatch.setattr(serving, "derive_series", derive_series)
    assert bench.requests_during(bench.handle) == []
    assert bench.series() == ["Sag DESS"]


def test_sigterm_does_not_count_as_an_attempt(bench, orthanc, tmp_path, monkeypatch):
    def terminated(*arguments):
        raise SystemExit

    orthanc.post_files(files_of(write_study(tmp_path / "study", make_array(SHAPE))))
    monkeypatch.setattr(serving, "derive_series", terminated)
    for _ in range(4):
        with pytest.raises(SystemExit):
            bench.handle()
    monkeypatch.undo()
    bench.handle()
    assert bench.outcomes() == ["added 3 series of 18 images"]


@pytest.mark.parametrize("text", ["no JSON", "[1]", '{"unknown": 1}', '{"series": [1]}'])
def test_an_entry_that_is_not_the_workers_is_replaced(bench, orthanc, tmp_path, text):
    orthanc.post_files(files_of(write_study(tmp_path / "study", make_array((8, 8, 2)))))
    (name,) = orthanc.get("studies")
    orthanc.request("PUT", f"studies/{name}/metadata/4747", data=text)
    bench.handle()
    assert bench.outcomes() == ["added 3 series of 12 images"]


def test_derived_images_that_orthanc_files_elsewhere_are_refused(bench, orthanc, tmp_path):
    """As of a PatientID that DICOM does not allow, which the derived images do without."""

    def change(header, index, echo):
        header.PatientID = "4711" * 17

    bench.handle(write_study(tmp_path / "study", make_array(SHAPE), change=change))
    outcomes = bench.outcomes()
    assert outcomes == [
        "nothing added: expected derived images in the study of their source, got another"
    ]
    assert bench.series() == ["Sag DESS"]


def test_the_explorer_offers_the_outcome_as_an_attachment(bench, orthanc, tmp_path):
    bench.handle(write_study(tmp_path / "study", make_array(SHAPE)))
    (name,) = orthanc.get("studies")
    attachment = orthanc.request("GET", f"studies/{name}/attachments/4747/data").text
    assert attachment == "added 3 series of 18 images"


def test_a_network_makes_both_echoes(orthanc, tmp_path):
    make_run(tmp_path / "run")
    bench = Bench(orthanc, choose_upsampler("mrsr", model=tmp_path / "run"))
    bench.handle(
        write_study(tmp_path / "study", make_array(SHAPE)),
        write_study(tmp_path / "single", make_array(SHAPE, echoes=1)),
    )
    assert bench.series() == ["Sag DESS", "Sag DESS", *DERIVED]
    made, refused = sorted(bench.outcomes())
    assert made.startswith("added 3 series of 18 images")
    assert "expected a scan of 2 echoes" in refused
