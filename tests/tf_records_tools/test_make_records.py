import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.io import scans
from mrsr_tf.mri.slices import Profile, interpolate, thicken
from mrsr_tf.parallel import default_workers, map_in_processes, map_in_sequence
from mrsr_tf.records.manifest import (
    count_echoes,
    read_manifest,
    salted_hash,
    scan_sha256,
    with_checksum,
)
from mrsr_tf.records.patches import positions
from mrsr_tf.records.schema import decode, dequantise, empty_record
from mrsr_tf.records.tfrecord import FRAMING_BYTES, decode_integers, encode_integers, framed
from tf_records_tools import cohort, shard
from tf_records_tools.cohort import make_records, shard_names
from tf_records_tools.shard import Settings
from tf_records_tools.training_pair import training_image, training_pair
from tf_records_tools.verification import check_records

DUAL = Settings("dual", patch_size=8, stride=4)
SHAPE = (12, 11, 13)  # an odd number of slices, and sizes the stride does not reach
RECORDS_EACH = len(positions(SHAPE, 8, 4))
NAMES = ["Doe_Jane_19700101", "Roe_Richard_19651231", "Poe_Edgar_18490119", "Loe_Ann_20010203"]


def write_scan(path, seed, shape=SHAPE, echoes=2):
    array = np.random.default_rng(seed).integers(0, 3000, (*shape, echoes)).astype(np.int16)
    image = nib.Nifti1Image(np.swapaxes(array, 0, 1), np.diag([0.4, 0.4, 0.7 + seed / 100, 1]))
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = path.parent.name.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    image.to_filename(path)
    times = {"EchoTime": [0.007, 0.039][:echoes], "RepetitionTime": 0.023, "FlipAngle": 20}
    path.with_name("image.json").write_text(json.dumps(times))


@pytest.fixture
def studies(tmp_path):
    for seed, name in enumerate(NAMES):
        write_scan(tmp_path / "studies" / name / "image.nii", seed)
    return tmp_path / "studies"


@pytest.fixture
def records(studies, tmp_path):
    make_records([studies], tmp_path / "records", DUAL)
    return tmp_path / "records"


def all_records(folder):
    manifest = read_manifest(folder)
    empty = empty_record(manifest["patch_size"], count_echoes(manifest))
    for entry in manifest["subjects"]:
        for serialized in tf.data.TFRecordDataset(str(folder / entry["shard"])):
            yield entry, decode(serialized.numpy(), empty)


def position_of(record):
    return tuple(decode_integers(record["position"]).tolist())


def test_records_hold_the_thickened_and_the_original_scan_in_one_scale(records, studies):
    hashes = {}
    for name in NAMES:
        volume = scans.read_scan(studies / name)
        hashes[salted_hash(read_manifest(records)["salt"], scan_sha256(volume))] = volume.array
    count = 0
    for entry, record in all_records(records):
        fine = hashes[entry["source_sha256"]]
        tci = interpolate(thicken(fine))[:, :, : SHAPE[2]]
        scale = np.percentile(tci, 99.9)
        place = tuple(slice(a, a + 8) for a in position_of(record))
        patches = [np.empty((8, 8, 8, 2), np.float32) for _ in range(2)]
        dequantise(record, *patches)
        for patch, image, level in zip(patches, (tci, fine), record["scale"], strict=True):
            np.testing.assert_allclose(patch, image[place] / scale, atol=level)
        assert entry["intensity_scale"] == pytest.approx(scale)
        count += 1
    assert count == 4 * RECORDS_EACH


def test_the_manifest_describes_settings_and_scans(records):
    manifest = read_manifest(records)
    assert manifest["contrasts"] == "dual"
    assert manifest["patch_size"] == [8, 8, 8]
    assert manifest["stride"] == [4, 4, 4]
    assert manifest["slice_factor"] == 2
    assert manifest["thickening"] == {"profile": "fir", "order": 48, "first_slice": 0}
    assert manifest["counts"] == {
        "train": {"subjects": 3, "patients": 3, "records": 3 * RECORDS_EACH, "air": 0},
        "validation": {"subjects": 1, "patients": 1, "records": RECORDS_EACH, "air": 0},
    }
    assert manifest["spacing_mm"] == {"min": [0.4, 0.4, 0.7], "max": [0.4, 0.4, 0.73]}
    for entry in manifest["subjects"]:
        assert entry["echo_times_ms"] == [7.0, 39.0]
        assert entry["repetition_time_ms"] == 23.0
        assert entry["flip_angle_deg"] == 20.0
        assert entry["shape"] == list(SHAPE)
    assert {path.name for path in records.iterdir()} == {
        "configuration.json",
        "contents.json",
        "manifest.json",
        "train-00000-of-00003.tfrecord",
        "train-00001-of-00003.tfrecord",
        "train-00002-of-00003.tfrecord",
        "validation-00000-of-00001.tfrecord",
    }


def test_the_output_contains_no_names_and_no_paths(records, studies):
    content = b"".join(path.read_bytes() for path in records.iterdir()).lower()
    words = [word for name in NAMES for word in [name, *name.split("_")] if len(word) > 3]
    for word in [*words, "studies", str(studies)]:
        assert word.lower().encode() not in content


def test_a_scan_has_another_hash_in_another_cohort(records, studies, tmp_path):
    write_scan(studies / "New_One" / "image.nii", 9)
    make_records([studies], tmp_path / "more", DUAL)
    first, second = (
        {entry["source_sha256"] for entry in read_manifest(folder)["subjects"]}
        for folder in (records, tmp_path / "more")
    )
    assert not first & second


def test_making_the_records_of_a_cohort_again_gives_the_same_manifest(records, studies, tmp_path):
    make_records([studies], tmp_path / "again", DUAL)
    assert (tmp_path / "again" / "manifest.json").read_bytes() == (
        records / "manifest.json"
    ).read_bytes()
    make_records([studies], tmp_path / "other", replace(DUAL, stride=8, contrasts="single"))
    assert {entry["source_sha256"] for entry in read_manifest(records)["subjects"]} == {
        entry["source_sha256"] for entry in read_manifest(tmp_path / "other")["subjects"]
    }


def test_the_same_call_gives_the_same_records_and_another_seed_another_split(
    records, studies, tmp_path
):
    make_records([studies], tmp_path / "again", DUAL)
    make_records([studies], tmp_path / "other", replace(DUAL, seed=2))
    for name in ("train-00000-of-00003.tfrecord", "validation-00000-of-00001.tfrecord"):
        assert (tmp_path / "again" / name).read_bytes() == (records / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (records / name).read_bytes()


def test_the_records_of_a_subject_are_shuffled(records):
    places = [position_of(record) for _, record in all_records(records)][:RECORDS_EACH]
    assert places != sorted(places)
    assert sorted(places) == sorted(map(tuple, positions(SHAPE, 8, 4)))


def test_a_finished_set_is_left_alone_and_another_configuration_is_refused(records, studies):
    before = {path: path.stat().st_mtime_ns for path in records.iterdir()}
    with pytest.raises(AlreadyDone):
        make_records([studies], records, DUAL)
    with pytest.raises(InputError, match="stride 4 -> 8"):
        make_records([studies], records, replace(DUAL, stride=8))
    assert before == {path: path.stat().st_mtime_ns for path in records.iterdir()}


@pytest.mark.parametrize("change", ["pixels", "timing"])
def test_a_finished_set_of_other_scans_is_refused(records, studies, change):
    path = studies / NAMES[0] / "image.nii"
    if change == "pixels":
        content = bytearray(path.read_bytes())
        content[-2] ^= 1
        path.write_bytes(content)
    else:
        sidecar = path.with_name("image.json")
        sidecar.write_text(sidecar.read_text().replace("0.023", "0.024"))
    with pytest.raises(InputError, match=f"the scans that .*another: .*{NAMES[0]}"):
        make_records([studies], records, DUAL)


def test_one_hot_voxel_leaves_the_levels_of_the_others_and_is_counted(tmp_path):
    for seed in range(2):
        write_scan(tmp_path / "studies" / str(seed) / "image.nii", seed, shape=(16, 16, 16))
    path = tmp_path / "studies" / "0" / "image.nii"
    image = nib.load(path)
    array = image.get_fdata(dtype=np.float32)
    array[5, 5, 5, 0] = 1e9
    nib.Nifti1Image(array, image.affine).to_filename(path)
    manifest = make_records([tmp_path / "studies"], tmp_path / "records", replace(DUAL, stride=8))
    assert sorted(entry["clipped"] for entry in manifest["subjects"]) == [0, 1]
    assert all(2500 < entry["intensity_scale"] < 10000 for entry in manifest["subjects"])
    for _, record in all_records(tmp_path / "records"):
        assert len(np.unique(np.frombuffer(record["target"].tobytes(), "<u2"))) > 500
    check_records(tmp_path / "records", [tmp_path / "studies"])


def test_overwrite_makes_them_anew(records, studies):
    make_records([studies], records, replace(DUAL, stride=8), overwrite=True)
    assert check_records(records)["stride"] == [8, 8, 8]


def test_other_subjects_in_the_same_place_are_refused(records, studies):
    write_scan(studies / "New_One" / "image.nii", 9)
    with pytest.raises(InputError, match="subjects 4 -> 5"):
        make_records([studies], records, DUAL)


@pytest.mark.parametrize("stop_at", range(4 * RECORDS_EACH + 1, 0, -7))
def test_an_interrupted_call_leaves_no_manifest_and_is_completed_by_the_same_call(
    studies, tmp_path, monkeypatch, stop_at
):
    written = []

    def interrupt(inputs, targets, positions, patch_size, number, encode=shard.encode):
        written.extend(positions)
        if len(written) >= stop_at:
            raise KeyboardInterrupt
        return encode(inputs, targets, positions, patch_size, number)

    monkeypatch.setattr(shard, "RECORDS_AT_ONCE", 3)
    monkeypatch.setattr(shard, "encode", interrupt)
    if stop_at <= 4 * RECORDS_EACH:
        with pytest.raises(KeyboardInterrupt):
            make_records([studies], tmp_path / "records", DUAL)
        assert not list(tmp_path.rglob("manifest.json"))
        assert not (tmp_path / "records").exists()
    monkeypatch.undo()
    make_records([studies], tmp_path / "records", DUAL)
    check_records(tmp_path / "records")


def test_finished_subjects_are_kept_unless_their_scan_has_changed(studies, tmp_path, monkeypatch):
    def written_subjects(folder):
        numbers = []

        def write(volume, subject, write_shard=shard.write_shard):
            numbers.append(subject.number)
            if subject.number == 3 and not (tmp_path / "whole").exists():
                raise KeyboardInterrupt
            return write_shard(volume, subject)

        with monkeypatch.context() as patched:
            patched.setattr(shard, "write_shard", write)
            try:
                make_records([folder], tmp_path / "records", DUAL)
            except KeyboardInterrupt:
                (tmp_path / "whole").touch()
        return numbers

    assert written_subjects(studies) == [0, 1, 2, 3]
    order = np.random.default_rng(DUAL.seed).permutation(4)
    write_scan(studies / sorted(NAMES)[order[1]] / "image.nii", 42)
    assert written_subjects(studies) == [1, 3]
    check_records(tmp_path / "records")


@pytest.mark.parametrize(
    ("subjects", "validation", "train"),
    [(40, 10, 30), (40, None, 30), (1, None, 1), (2, None, 1), (3, 0, 3), (4, None, 3)],
)
def test_the_split_has_as_many_validation_subjects_as_asked(subjects, validation, train):
    names = shard_names([1] * subjects, validation)
    assert len(set(names)) == subjects
    assert sum(name.startswith("train") for name in names) == train
    assert names[0] == f"train-00000-of-{train:05d}.tfrecord"


@pytest.mark.parametrize("validation", [4, 5, -1])
def test_a_split_that_leaves_no_training_is_refused(studies, tmp_path, validation):
    with pytest.raises(InputError, match=f"than the 4 there are, got {validation}"):
        make_records([studies], tmp_path / "records", DUAL, validation_subjects=validation)
    assert not list(tmp_path.glob("records*"))


def test_the_same_scan_under_two_names_is_refused(studies, tmp_path):
    write_scan(studies / "Copy" / "image.nii.gz", 2)
    with pytest.raises(InputError, match=r"each scan once, .*(Poe.*Copy|Copy.*Poe)"):
        make_records([studies], tmp_path / "records", DUAL)


def test_subjects_come_from_several_folders(studies, tmp_path):
    write_scan(tmp_path / "more" / NAMES[0] / "image.nii", 7)
    manifest = make_records([studies, tmp_path / "more"], tmp_path / "records", DUAL)
    assert (
        manifest["counts"]["train"]["subjects"] + manifest["counts"]["validation"]["subjects"] == 5
    )


def test_all_subjects_without_a_usable_scan_are_named_and_nothing_is_made(
    studies, tmp_path, caplog
):
    (studies / "empty").mkdir()
    for name in ("before.nii", "after.nii"):
        write_scan(studies / "two" / name, 0)
    with pytest.raises(
        InputError, match=r"every subject to succeed, 2 of 6 failed .*empty, .*two$"
    ):
        make_records([studies], tmp_path / "out", DUAL)
    assert "two failed: expected one scan" in caplog.text
    assert not (tmp_path / "out").exists()


def test_dual_contrast_of_one_echo_is_refused_by_file(studies, tmp_path):
    write_scan(studies / NAMES[2] / "image.nii", 2, echoes=1)
    with pytest.raises(InputError, match=r"two echoes for --contrasts=dual, got one echo: .*Poe"):
        make_records([studies], tmp_path / "records", DUAL)


@pytest.mark.parametrize("shape", [(7, 11, 13), (12, 11, 1)])
def test_a_scan_smaller_than_a_patch_is_refused_by_file(studies, tmp_path, shape):
    write_scan(studies / NAMES[2] / "image.nii", 2, shape=shape)
    with pytest.raises(InputError, match=r"at least one patch .*: .*Poe"):
        make_records([studies], tmp_path / "records", DUAL)


def test_an_empty_image_is_refused_by_file(studies, tmp_path):
    path = studies / NAMES[2] / "image.nii"
    image = nib.load(path)
    nib.Nifti1Image(np.zeros(image.shape, np.int16), image.affine, image.header).to_filename(path)
    with pytest.raises(InputError, match=r"expected an image, got .*Poe"):
        make_records([studies], tmp_path / "records", DUAL)


def test_a_disk_too_small_for_the_cohort_is_refused_before_anything_is_written(
    studies, tmp_path, monkeypatch
):
    usage = cohort.shutil.disk_usage(tmp_path)
    needed = 4 * RECORDS_EACH * FRAME
    monkeypatch.setattr(cohort.shutil, "disk_usage", lambda _: usage._replace(free=needed - 1))
    lines = []
    with pytest.raises(InputError, match=rf"GB of free disk for {4 * RECORDS_EACH} records, found"):
        make_records([studies], tmp_path / "records", DUAL, report=lines.append)
    assert f"4 of 4 subjects to make: {4 * RECORDS_EACH} patches, {needed / 1e9:.2f} GB" in lines[1]
    assert not list(tmp_path.glob("records*"))


def test_a_disk_that_fills_up_while_writing_is_an_error_that_names_the_file(
    studies, tmp_path, monkeypatch
):
    def no_space(record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shard, "framed", no_space)
    with pytest.raises(OSError, match=r"cannot write .*train-00000.*: No space left on device"):
        make_records([studies], tmp_path / "records", DUAL)


def test_a_scan_that_changes_while_its_records_are_made_is_an_error(studies, tmp_path, monkeypatch):
    def meddling(work, subjects, title, memory_each):
        map_in_sequence(work, subjects, title, memory_each)
        write_scan(studies / NAMES[1] / "image.nii", 77)

    with pytest.raises(InputError, match=r"stay as they are .* another for (train|validation)-"):
        make_records([studies], tmp_path / "records", DUAL, run=meddling)
    make_records([studies], tmp_path / "records", DUAL)
    check_records(tmp_path / "records", [studies])


@pytest.mark.parametrize("profile", Profile)
def test_every_profile_is_aligned_and_in_the_manifest(studies, tmp_path, profile):
    make_records([studies], tmp_path / "records", replace(DUAL, profile=profile))
    manifest = check_records(tmp_path / "records")
    assert manifest["profile"] == manifest["thickening"]["profile"] == profile
    first = manifest["thickening"]["first_slice"]
    assert first == (0.5 if profile == "box" else 0)
    ramp = np.broadcast_to(np.arange(1.0, 65, dtype=np.float32), (2, 2, 64))[..., None]
    inputs, targets, _ = training_pair(ramp, 2, profile)
    middle = slice(24, 40)
    np.testing.assert_allclose(inputs[:, :, middle], targets[:, :, middle], rtol=2e-3)


def test_an_unknown_profile_is_refused_before_anything_is_read(studies, tmp_path):
    with pytest.raises(InputError, match="got 'gauss'"):
        make_records([studies], tmp_path / "records", replace(DUAL, profile="gauss"))


def write_half_empty(path, seed):
    write_scan(path, seed, shape=(16, 16, 16))
    image = nib.load(path)
    array = np.array(image.dataobj)
    array[8:] = array[8:] // 100  # dark: below a hundredth of the brightest
    nib.Nifti1Image(array, image.affine, image.header).to_filename(path)


def test_patches_of_air_are_left_out_and_counted(tmp_path):
    for number in range(2):
        write_half_empty(tmp_path / "scans" / str(number) / "image.nii", number)
    manifest = make_records([tmp_path / "scans"], tmp_path / "all", replace(DUAL, stride=8))
    assert manifest["counts"]["train"] == {"subjects": 1, "patients": 1, "records": 8, "air": 0}
    settings = replace(DUAL, stride=8, air_below=0.05)
    make_records([tmp_path / "scans"], tmp_path / "some", settings)
    manifest = check_records(tmp_path / "some")
    assert manifest["counts"]["train"] == {"subjects": 1, "patients": 1, "records": 4, "air": 4}
    assert manifest["air_below"] == 0.05
    assert {position_of(record)[1] for _, record in all_records(tmp_path / "some")} == {0}


def test_a_scan_of_nothing_but_air_is_refused_by_file(studies, tmp_path):
    with pytest.raises(InputError, match=r"all to be air: lower --air_below: .*image.nii|studies"):
        make_records([studies], tmp_path / "records", replace(DUAL, air_below=50.0))


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("workers", [3])
def test_any_number_of_workers_makes_the_same_bytes(records, studies, tmp_path, workers):
    run = partial(map_in_processes, workers=workers)
    make_records([studies], tmp_path / "parallel", DUAL, run=run)
    assert content(tmp_path / "parallel") == content(records)


def test_a_worker_refuses_an_unsuitable_scan_before_anything_is_written(studies, tmp_path):
    write_scan(studies / NAMES[2] / "image.nii", 2, echoes=1)
    with pytest.raises(InputError, match=r"two echoes for --contrasts=dual, got one echo: .*Poe"):
        make_records(
            [studies], tmp_path / "records", DUAL, run=partial(map_in_processes, workers=2)
        )
    assert not list(tmp_path.glob("records*"))


def die(subject):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_worker_is_an_error_and_does_not_hang(tmp_path):
    subjects = [shard.Subject(n, n, tmp_path, tmp_path / f"{n}", DUAL) for n in range(3)]
    with pytest.raises(InputError, match=r"found one killed, .* fewer --workers"):
        map_in_processes(die, subjects, "subjects", 1, workers=2)


def test_workers_are_bounded_by_memory(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 4096, "SC_PAGE_SIZE": 1000}.get)
    assert [default_workers(bytes_each) for bytes_each in (1, 10**6, 10**7)] == [64, 3, 1]


def test_slices_that_the_scanner_interpolated_are_refused_unless_allowed(
    studies, tmp_path, monkeypatch
):
    monkeypatch.setattr(shard, "interpolated_slices", lambda volume: "its slices are ZIP2")
    with pytest.raises(InputError, match=r"acquired, to train on, but its slices are ZIP2 .*: .*/"):
        make_records([studies], tmp_path / "records", DUAL)
    manifest = make_records([studies], tmp_path / "records", replace(DUAL, allow_interpolated=True))
    assert manifest["allow_interpolated"]


def test_single_contrast_joins_two_echoes_and_takes_one_as_it_is(studies, tmp_path):
    volume = scans.read_scan(studies / NAMES[0])
    joined = training_image(volume, "single")
    s1, s2 = np.moveaxis(volume.array.astype(np.float64), 3, 0)
    np.testing.assert_allclose(joined[..., 0], np.sqrt(s1**2 + s2**2), rtol=1e-6)
    one = replace(volume, array=volume.array[..., :1], echo_times_ms=None)
    np.testing.assert_array_equal(training_image(one, "single"), volume.array[..., :1])
    write_scan(studies / NAMES[2] / "image.nii", 2, echoes=1)
    make_records([studies], tmp_path / "records", replace(DUAL, contrasts="single"))
    manifest = check_records(tmp_path / "records")
    assert sorted(entry["echoes_in_scan"] for entry in manifest["subjects"]) == [1, 2, 2, 2]


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_any_factor_leaves_the_number_of_slices(factor):
    fine = np.random.default_rng(0).random((4, 5, 13, 2)).astype(np.float32) * 900
    inputs, targets, scale = training_pair(fine, factor)
    assert inputs.shape == targets.shape == fine.shape
    assert inputs.dtype == targets.dtype == np.float32
    np.testing.assert_allclose(targets * scale, fine, rtol=1e-5)


def damaged(name, at, value=b"\xff"):
    def damage(folder):
        data = bytearray((folder / name).read_bytes())
        data[at : at + len(value)] = value
        (folder / name).write_bytes(data)

    return damage


def edited_entry(key, value):
    def damage(folder):
        manifest = read_manifest(folder)
        manifest["subjects"][1][key] = value(manifest["subjects"][0][key])
        (folder / "manifest.json").write_text(json.dumps(with_checksum(manifest)))

    return damage


def edited(folder, old, new):
    text = (folder / "manifest.json").read_text()
    assert old in text
    (folder / "manifest.json").write_text(text.replace(old, new, 1))


def rewritten(change):
    """The second shard with its records changed, checksums right."""

    def damage(folder):
        shard = folder / "train-00001-of-00003.tfrecord"
        frame = np.dtype([("before", "S12"), ("record", EMPTY.dtype), ("after", "S4")])
        records = np.fromfile(shard, frame)["record"].copy()
        change(records)
        shard.write_bytes(b"".join(framed(record.tobytes()) for record in records))

    return damage


def doubled(records):
    records[5] = records[4]


def of_another_subject(records):
    records["subject"][3] = encode_integers([0])


def swapped(records):
    records[[0, 1]] = records[[1, 0]]


def of_another_range(records):
    records["scale"][4, 0] *= 2


def not_finite(records):
    records["scale"][2, 1] = np.nan


def of_a_longer_integer(records):
    records["position"][1, 2, -1] = 0x80


def of_another_feature(records):
    records["before_subject"][6] = records["before_subject"][6].tobytes().replace(b"sub", b"obj")


def truncated(folder):
    path = folder / "train-00002-of-00003.tfrecord"
    path.write_bytes(path.read_bytes()[:-10])


EMPTY = empty_record(8, 2)
FRAME = EMPTY.nbytes + FRAMING_BYTES
LENGTH = 12


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damaged("train-00001-of-00003.tfrecord", 3 * FRAME + 500), "record 3 of .*train-00001"),
        (damaged("train-00001-of-00003.tfrecord", 2 * FRAME), "record 2 of .*train-00001"),
        (damaged("validation-00000-of-00001.tfrecord", LENGTH + 4), "record 0 of .*valid"),
        (truncated, f"length wrong: record {RECORDS_EACH - 1} of .*train-00002"),
        (rewritten(doubled), "grid once, found another at .*: record 5 of .*train-00001"),
        (rewritten(of_another_subject), "subject 1, found subject 0: record 3 of .*train-00001"),
        (rewritten(not_finite), "of target from .*: record 2 of .*train-00001"),
        (rewritten(of_another_range), "of input from .*: record 4 of .*train-00001"),
        (rewritten(of_a_longer_integer), "found other lengths: record 1 of .*train-00001"),
        (rewritten(of_another_feature), "found other bytes: record 6 of .*train-00001"),
        (rewritten(swapped), "the records of the manifest, found others: .*train-00001"),
        (lambda f: (f / "train-00001-of-00003.tfrecord").unlink(), "missing .*train-00001"),
        (lambda f: (f / "train-00003-of-00003.tfrecord").touch(), "more .*train-00003"),
        (edited_entry("source_sha256", lambda x: x), "found a source_sha256 twice"),
        (edited_entry("patient", lambda x: 3), "one split, found patient 3 in both"),
        (edited_entry("records", lambda x: x - 1), "for train, found"),
        (edited_entry("shape", lambda x: [16, 11, 13]), r"expected \d+ records and 0 patches"),
        (lambda f: edited(f, '"stride": [\n    4', '"stride": [\n    8'), "changed since: .*json"),
        (lambda f: (f / "manifest.json").unlink(), "no manifest.json"),
    ],
)
def test_damage_is_refused_by_shard_and_record(records, damage, message):
    check_records(records)
    damage(records)
    with pytest.raises(InputError, match=message):
        check_records(records)


def test_scans_that_the_records_were_not_made_of_are_refused(records, studies, tmp_path):
    check_records(records, [studies])
    (studies / NAMES[0]).rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"all 4 scans .* found 1 missing in .*studies"):
        check_records(records, [studies])
    write_scan(studies / NAMES[0] / "image.nii", 99)
    with pytest.raises(InputError, match=r"records were made of, found another: .*Doe"):
        check_records(records, [studies])


def run(command, *flags):
    return subprocess.run(
        [sys.executable, "-m", f"tf_records_tools.{command}", *flags],
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_commands_make_and_check(studies, tmp_path):
    times = {"EchoTime": [0.007, 0.035], "RepetitionTime": 0.023, "FlipAngle": 20}
    (studies / NAMES[0] / "image.json").write_text(json.dumps(times))
    process = run(
        "make_records",
        f"--input={studies}",
        f"--output={tmp_path / 'records'}",
        "--contrasts=dual",
        "--patch_size=8",
        "--stride=4",
        "--validation_subjects=2",
        "--profile=box",
        "--workers=2",
    )
    assert process.returncode == 0, process.stderr
    (warned,) = process.stderr.splitlines()  # once, though the scan is read twice, by workers
    assert warned.lower().startswith("warning: expected the second echo of a dess")
    assert NAMES[0] in warned
    assert f"validation: {2 * RECORDS_EACH} records of 2 subjects" in process.stdout
    checked = run("check_records", f"--records={tmp_path / 'records'}")
    assert checked.returncode == 0, checked.stderr
    assert "are right" in checked.stdout
    truncated_shard = tmp_path / "records" / "train-00000-of-00002.tfrecord"
    truncated_shard.write_bytes(truncated_shard.read_bytes()[:-1])
    checked = run("check_records", f"--records={tmp_path / 'records'}")
    assert checked.returncode == 1
    errors = [line for line in checked.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "train-00000" in errors[0]
    assert "Traceback" not in checked.stderr


@pytest.mark.parametrize("command", ["make_records", "check_records"])
def test_help_exits_0_and_wrong_usage_exits_2(command):
    assert run(command, "--help").returncode == 0
    assert run(command).returncode == 2
