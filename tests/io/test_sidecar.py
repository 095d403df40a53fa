"""Sidecars: encodings, the type of each key, and values that no scan has."""

import json

import numpy as np
import pytest
from random_scans import make_scan

from mrsr_tf.errors import InputError
from mrsr_tf.io import scans
from mrsr_tf.io.nifti import write_nifti
from mrsr_tf.io.sidecar import SCHEMA, acquisition, read_sidecar

DESS = {"EchoTime": [0.007, 0.039], "RepetitionTime": 0.023, "FlipAngle": 20, "Comment": "Knie"}
VALUES = [True, [], {}, [[0.007], [0.039, 1]], -1, 0, 1e300, "DESS", [None], ["a", 1], 0.5]
NO_OBJECT = [b"", b"{", b"[]", b"\xff\xfe{", b"[" * 100000, b'{"a": ' + b"9" * 5000 + b"}"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "knee.nii.gz"


def write(path, content):
    path.with_name("knee.json").write_bytes(content)
    return path


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]
)
def test_a_sidecar_is_read_in_any_usual_encoding(path, encoding):
    text = json.dumps({**DESS, "Comment": "Kniegelenk, größer"}, ensure_ascii=False)
    assert read_sidecar(write(path, text.encode(encoding)))["Comment"] == "Kniegelenk, größer"
    assert read_sidecar(path)["EchoTime"] == [0.007, 0.039]


def test_keys_that_are_null_count_as_absent(path):
    write(path, b'{"EchoTime": null, "FlipAngle": 20, "Derivation": null}')
    assert read_sidecar(path) == {"FlipAngle": 20}


def test_a_path_without_a_sidecar_has_an_empty_one(path):
    assert read_sidecar(path) == {}
    path.with_name("knee.json").mkdir()
    assert read_sidecar(path) == {}


def test_a_sidecar_that_is_a_broken_link_is_refused(path, tmp_path):
    path.with_name("knee.json").symlink_to(tmp_path / "not_fetched.json")
    with pytest.raises(InputError, match=r"a file that can be read, .*knee\.json"):
        read_sidecar(path)


@pytest.mark.parametrize("key", SCHEMA)
def test_a_key_of_another_type_is_refused_by_name(path, key):
    messages = []
    for value in VALUES:
        write(path, json.dumps({**DESS, key: value}).encode())
        try:
            assert read_sidecar(path)[key] == value
        except InputError as error:
            messages.append(str(error))
    assert len(messages) >= 5
    for message in messages:
        assert message.startswith(f"expected {key} ")
        assert message.endswith("knee.json")


@pytest.mark.parametrize(
    ("sidecar", "words"),
    [
        ({"EchoTime": [[0.007], [0.039, 1]]}, r"expected EchoTime in seconds .*got \[\[0.007\]"),
        ({"SpoilerArea": 1e300}, r"SpoilerArea as GE stores it from 1e-06 to 1e\+06, got 1e\+300"),
        ({"RepetitionTime": 23}, "RepetitionTime in seconds from 1e-06 to 20, got 23"),
        ({"RepetitionTime": 1e-320}, "RepetitionTime in seconds"),
        ({"Derivation": "mine"}, "Derivation as a JSON object, got 'mine'"),
        ({"SliceAxis": True}, "SliceAxis 0, 1 or 2, got True"),
        ({"FlipAngle": "x" * 10000}, "FlipAngle in degrees .*, got 'xxxx.{,30}x' in"),
    ],
)
def test_a_value_of_no_scan_is_refused_with_its_range(path, sidecar, words):
    with pytest.raises(InputError, match=words):
        read_sidecar(write(path, json.dumps(sidecar).encode()))


@pytest.mark.parametrize("content", NO_OBJECT)
def test_what_is_no_object_is_refused_by_name(path, content):
    with pytest.raises(InputError, match=r"a JSON object, got something else in .*knee\.json"):
        read_sidecar(write(path, content))


def damaged(content, random):
    """The bytes with some changed, cut out or doubled."""
    place, length = random.integers(len(content)), random.integers(1, 6)
    kind = random.integers(3)
    middle = (b"", 2 * content[place : place + length], random.bytes(length))[kind]
    return content[:place] + middle + content[place + length :]


def test_a_damaged_sidecar_is_refused_in_one_line_or_its_values_are_those_of_a_scan(path):
    random, content, messages = np.random.default_rng(3), json.dumps(DESS).encode(), []
    for _ in range(100):
        write(path, damaged(content, random))
        try:
            values = acquisition(read_sidecar(path), path, echoes=2)
        except InputError as error:
            messages.append(str(error))
        else:
            numbers = [values["repetition_time_ms"] or 1, *(values["echo_times_ms"] or (1, 2))]
            assert all(0 < number <= 1000 for number in numbers)
    assert len(messages) > 30
    assert all(message.isprintable() and "knee" in message for message in messages)


# The sidecar of an output


def check_refused(output, source, words):
    with pytest.raises(InputError, match=words):
        scans.write_scan(source.read(), output, like=source)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_a_sidecar_that_another_image_shares_is_not_changed(tmp_path, ending):
    other = {".nii": ".nii.gz", ".nii.gz": ".nii"}[ending]
    write_nifti(make_scan((4, 5, 3)), tmp_path / f"knee{other}")
    before = (tmp_path / "knee.json").read_bytes()
    source = scans.find_scan(tmp_path / f"knee{other}")
    check_refused(tmp_path / f"knee{ending}", source, r"knee\.json, which is also that of .*knee")
    assert (tmp_path / "knee.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["knee.json", f"knee{other}"]


@pytest.mark.parametrize("content", ['{"a": 1}', "{", '{"Derivation": "mine"}'])
def test_a_sidecar_that_is_not_ours_is_not_changed(tmp_path, content):
    write_nifti(make_scan((4, 5, 3)), tmp_path / "knee.nii.gz")
    (tmp_path / "out.json").write_text(content)
    source = scans.find_scan(tmp_path / "knee.nii.gz")
    check_refused(tmp_path / "out.nii.gz", source, r"expected .*out\.json")
    assert (tmp_path / "out.json").read_text() == content
    assert not (tmp_path / "out.nii.gz").exists()
