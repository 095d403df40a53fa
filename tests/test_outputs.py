import json
import shutil

import pytest

from mrsr_tf.errors import AlreadyDone, InputError
from mrsr_tf.outputs import (
    check_output,
    output_file,
    output_folder,
    read_configuration,
    write_json,
)


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


def foreign(folder, name="thesis.tex", configuration=None):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("years of work")
    if configuration is not None:
        (folder / "configuration.json").write_text(json.dumps(configuration))
    return folder / name


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("name", ["out", "out.partial"])
@pytest.mark.parametrize(
    ("configuration", "content"),
    [
        (None, "one without a readable configuration"),
        ([], "one without a readable configuration"),
        ({"my": "app"}, "does not say so"),
        ({"stride": 8}, "does not say so"),  # as versions before 1.0 wrote it
        ({"written_by": {"package": "mrsr_tf", "command": "eval.report"}}, "one of eval.report"),
    ],
)
def test_a_folder_of_another_origin_is_refused_and_kept(
    tmp_path, overwrite, name, configuration, content
):
    thesis = foreign(tmp_path / name, configuration=configuration)
    before = sorted(path.name for path in thesis.parent.iterdir())
    with pytest.raises(InputError, match=content):
        make(tmp_path / "out", overwrite=overwrite)
    assert sorted(path.name for path in thesis.parent.iterdir()) == before


def test_a_finished_folder_of_a_version_before_is_finished_still(tmp_path):
    foreign(tmp_path / "out", "result", {"stride": 16})
    with pytest.raises(AlreadyDone):
        make(tmp_path / "out")


@pytest.mark.parametrize("beginning", [None, "partial.mrsr_tf.configuration.json"])
@pytest.mark.parametrize("name", ["out", "out.partial"])
def test_an_empty_or_half_begun_folder_is_in_nobodys_way(tmp_path, name, beginning):
    (tmp_path / name).mkdir()
    if beginning:
        (tmp_path / "out.partial").mkdir(exist_ok=True)
        (tmp_path / "out.partial" / beginning).write_text('{"str')
    make(tmp_path / "out")
    assert (tmp_path / "out" / "result").read_text() == "whole"


def test_what_others_put_into_a_folder_stays_there_and_is_named(tmp_path, caplog):
    make(tmp_path / "out", name="old")
    names = ["thesis.tex", "figures/1.png"]
    for name in names:
        foreign(tmp_path / "out", name)
    (tmp_path / "out" / "empty").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    make(tmp_path / "out", {"stride": 8}, name="new", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "configuration.json", "contents.json", "empty", "figures", "link", "new", "thesis.tex",
    ]  # fmt: skip
    assert (tmp_path / "out" / "figures" / "1.png").read_text() == "years of work"
    (warning,) = caplog.records
    assert warning.getMessage().endswith("out: empty, figures/1.png, link, thesis.tex")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_list_of_files_that_leads_out_of_the_folder_removes_nothing_there(tmp_path):
    make(tmp_path / "out", name="old")
    thesis = foreign(tmp_path / "mine")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "mine")
    files = ["old", "../mine/thesis.tex", str(thesis), "link/thesis.tex", "contents.json"]
    (tmp_path / "out" / "contents.json").write_text(json.dumps({"files": files}))
    with pytest.raises(InputError, match="under the name of an output"):  # configuration.json
        make(tmp_path / "out", {"stride": 8}, overwrite=True)
    files.append("configuration.json")
    (tmp_path / "out" / "contents.json").write_text(json.dumps({"files": files}))
    make(tmp_path / "out", {"stride": 8}, overwrite=True)
    assert thesis.exists()


def test_a_foreign_file_under_the_name_of_a_new_one_stops_the_replacement(tmp_path):
    make(tmp_path / "out", name="old")
    foreign(tmp_path / "out", "new")
    with pytest.raises(InputError, match="no other file under the name of an output, found one"):
        make(tmp_path / "out", {"stride": 8}, name="new", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "configuration.json", "contents.json", "new", "old",
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_foreign_folder_named_as_a_replaced_one_is_kept(tmp_path):
    make(tmp_path / "out", name="old")
    shutil.copytree(tmp_path / "out", tmp_path / "out.replaced")  # a copy that somebody made
    with pytest.raises(AlreadyDone):
        make(tmp_path / "out")
    with pytest.raises(InputError, match=r"expected nothing at .*out\.replaced"):
        make(tmp_path / "out", name="new", overwrite=True)
    assert (tmp_path / "out.replaced" / "old").exists()
    assert (tmp_path / "out" / "old").exists()


@pytest.mark.parametrize("error", [InputError("bad"), OSError("full"), KeyboardInterrupt()])
@pytest.mark.parametrize("resume", [True, False])
def test_a_failed_overwrite_leaves_what_was_there(tmp_path, error, resume):
    make(tmp_path / "out", name="old")
    with pytest.raises(type(error)):
        make(tmp_path / "out", {"stride": 8}, name="new", overwrite=True, fail=error, resume=resume)
    assert (tmp_path / "out" / "old").exists()
    assert read_configuration(tmp_path / "out") == {"stride": 16}


def test_an_output_that_is_a_link_is_replaced_where_it_is(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "disk")
    make(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "disk" / "result").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "/", "~", "~/out", "a.partial", "b.replaced"])
def test_an_output_without_a_usable_name_is_refused(name):
    with pytest.raises(InputError, match=r"expected (the|a) name"):
        check_output(name)


@pytest.fixture
def places(tmp_path):
    """in/study is an input, out_link a link to it, out.partial one that is named so."""
    foreign(tmp_path / "in" / "study", "a.dcm")
    foreign(tmp_path / "out.partial", "b.dcm")
    (tmp_path / "out_link").symlink_to(tmp_path / "in" / "study")
    (tmp_path / "in_link").symlink_to(tmp_path / "in")
    return tmp_path


@pytest.mark.parametrize(
    ("output", "source"),
    [
        ("in/study", "in/study"),
        ("in", "in/study"),
        ("in/study/out", "in/study"),
        ("in/study/new/out", "in/study"),
        ("in/study/../../in", "in/study"),
        ("out_link", "in/study"),
        ("out_link/out", "in/study"),
        ("in/study", "out_link"),
        ("in_link/study", "in/study"),
        ("in_link", "in/study/a.dcm"),
        ("in/study/out.nii.gz", "in_link/study"),
        ("out", "out.partial"),
    ],
)
def test_an_output_that_touches_an_input_is_refused(places, output, source):
    with pytest.raises(InputError, match="expected an output apart from the input"):
        check_output(places / output, [places / "in" / "elsewhere", places / source])


def test_an_output_beside_an_input_is_accepted(places):
    check_output(places / "in" / "fine", [places / "in" / "study", "pretrained"])
    check_output(places / "in" / "study_2" / "fine", [places / "in" / "study"])


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


def test_a_file_of_somebody_else_named_as_an_unfinished_one_is_kept(tmp_path):
    mine = foreign(tmp_path, "partial.a.json")
    write_json(tmp_path / "a.json", {})
    assert mine.read_text() == "years of work"


def test_two_processes_do_not_write_one_file(tmp_path):
    with output_file(tmp_path / "a.json") as partial:
        partial.write_text("first")
        with pytest.raises(InputError, match="expected no other process"):
            write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json").read_text() == "first"
