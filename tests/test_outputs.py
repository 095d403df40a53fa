import json

import pytest

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.outputs import output_file, output_folder, read_configuration, write_json


def opened(path, configuration, *, command="eval.t2map", overwrite=False, **options):
    return output_folder(path, configuration, command=command, overwrite=overwrite, **options)


def make(path, configuration=None, *, fail=None, name="result", **options):
    configuration = configuration or {"stride": 16}
    with opened(path, configuration, **options) as folder:
        (folder / name).write_text("whole")
        if fail:
            raise fail


def test_a_folder_appears_under_its_name_only_when_whole(tmp_path):
    with opened(tmp_path / "out", {}) as folder:
        (folder / "result").write_text("whole")
        assert not (tmp_path / "out").exists()
    assert (tmp_path / "out" / "result").read_text() == "whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_failed_call_leaves_nothing(tmp_path):
    with pytest.raises(InputError):
        make(tmp_path / "out", fail=InputError("bad slice"))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_resumable_call_keeps_its_files(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "out", fail=KeyboardInterrupt(), resume=True)
    with opened(tmp_path / "out", {"stride": 16}, resume=True) as folder:
        assert (folder / "result").exists()


def test_a_resumable_call_that_wrote_nothing_leaves_nothing(tmp_path):
    with (
        pytest.raises(InputError),
        opened(tmp_path / "out", {}, resume=True),
    ):
        raise InputError("empty folder")
    assert list(tmp_path.iterdir()) == []


def test_the_same_call_on_a_finished_folder_changes_nothing(tmp_path):
    make(tmp_path / "out")
    before = (tmp_path / "out" / "result").stat().st_mtime_ns
    with pytest.raises(AlreadyDone, match="finished"):
        make(tmp_path / "out")
    assert (tmp_path / "out" / "result").stat().st_mtime_ns == before


@pytest.mark.parametrize("interrupted", [True, False])
def test_another_configuration_is_refused_naming_the_keys(tmp_path, interrupted):
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "out", fail=KeyboardInterrupt(), resume=True)
    else:
        make(tmp_path / "out")
    with pytest.raises(InputError, match="stride 16 -> 8"):
        make(tmp_path / "out", {"stride": 8}, resume=True)


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_of_another_origin_is_refused_and_kept(tmp_path, overwrite):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="without a readable configuration"):
        make(tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out" / "thesis.tex").exists()


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_file_in_place_of_the_folder_is_refused_and_kept(tmp_path, overwrite):
    (tmp_path / "out").write_text("years of work")
    with pytest.raises(InputError, match="found a file"):
        make(tmp_path / "out", overwrite=overwrite)
    assert (tmp_path / "out").read_text() == "years of work"


@pytest.mark.parametrize("options", [{}, {"resume": True}, {"overwrite": True}])
def test_a_second_process_is_refused_and_the_first_finishes(tmp_path, options):
    with opened(tmp_path / "out", {"stride": 16}) as folder:
        (folder / "early").write_text("whole")
        with pytest.raises(InputError, match="expected no other process"):
            make(tmp_path / "out", **options)
        (folder / "late").write_text("whole")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "early", "late", "configuration.json", "contents.json",
    }  # fmt: skip
    with pytest.raises(AlreadyDone):
        make(tmp_path / "out")


def test_overwrite_starts_anew(tmp_path):
    make(tmp_path / "out", name="old")
    make(tmp_path / "out", {"stride": 8}, name="new", overwrite=True)
    assert not (tmp_path / "out" / "old").exists()
    assert read_configuration(tmp_path / "out") == {"stride": 8}


def test_tuples_in_a_configuration_equal_the_lists_they_become(tmp_path):
    make(tmp_path / "out", {"shape": (4, 5)})
    with pytest.raises(AlreadyDone):
        make(tmp_path / "out", {"shape": (4, 5)})


def test_a_file_keeps_its_old_content_when_writing_fails(tmp_path):
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(tmp_path / "a.json", {"new": object()})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"new": float("inf")})
    with pytest.raises(OSError, match="full"), output_file(tmp_path / "a.json"):
        raise OSError("disk full")
    assert json.loads((tmp_path / "a.json").read_text()) == {"old": 1}
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]
