"""Files behind symbolic links are read once, and what cannot be read is named, never left out."""

import os
import shutil

import numpy as np
import pytest
from dicom_studies import write_study
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path / "store", make_array((4, 4, 3)), name="echo{echo}/IM{slice}")


def linked(study, folder):
    """A folder like `study` whose files are links, as DataLad makes."""
    for file in study.rglob("IM*"):
        link = folder / file.relative_to(study)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(file, link.parent))
    return folder


def test_linked_files_and_linked_series_are_followed(study, tmp_path):
    (tmp_path / "patient").mkdir()
    for echo in ("echo1", "echo2"):
        (tmp_path / "patient" / echo).symlink_to(study / echo)
    expected = make_array((4, 4, 3))
    np.testing.assert_array_equal(dicom.read_series(tmp_path / "patient").array, expected)
    files = linked(study, tmp_path / "files")
    np.testing.assert_array_equal(dicom.read_series(files).array, expected)


def test_a_folder_or_file_with_two_names_is_read_once(study):
    (study / "latest").symlink_to("echo2")
    (study / "also_latest").symlink_to("echo2")
    (study / "first").symlink_to("echo1/IM0")
    np.testing.assert_array_equal(dicom.read_series(study).array, make_array((4, 4, 3)))


def test_a_link_to_a_folder_above_it_is_refused(study):
    (study / "echo1" / "all").symlink_to("..")
    with pytest.raises(InputError, match=r"got one to a folder above it: .*echo1.all"):
        dicom.read_series(study)


def test_broken_links_among_slices_are_counted_and_named(study, tmp_path):
    files = linked(study, tmp_path / "files")
    (study / "echo1" / "IM0").unlink()
    (study / "echo2" / "IM0").unlink()
    words = r"got 2 broken links or unreadable files beside 4 .*echo1.IM0, .*echo2.IM0$"
    with pytest.raises(InputError, match=words):
        dicom.read_series(files)


@pytest.mark.parametrize(
    "pointer",
    [
        "/annex/objects/MD5E-s524--ab.dcm\n",
        "../../.git/annex/objects/f8/Q1/MD5E-s524--ab.dcm/MD5E-s524--ab.dcm",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 524\n",
    ],
)
def test_pointers_to_content_not_fetched_are_counted_and_named(study, pointer):
    for file in study.rglob("IM1"):
        file.write_text(pointer)
    with pytest.raises(InputError, match=r"content of 6 files, got 2 .*echo1.IM1, .*echo2.IM1$"):
        dicom.read_series(study)


def test_hidden_folders_are_left_out(study):
    shutil.copytree(study / "echo1", study / ".git" / "annex")
    np.testing.assert_array_equal(dicom.read_series(study).array, make_array((4, 4, 3)))


def test_a_folder_that_may_not_be_read_is_named(study, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path.parent.name != "echo2")
    with pytest.raises(InputError, match=r"got 3 broken links or unreadable files .*echo2.IM0, "):
        dicom.read_series(study)
