"""Tables of names beside a label map, in the forms that other programs write."""

import json

import pytest
from label_maps import blank, two_boxes, write_labels

from mrsr_tf.errors import InputError
from mrsr_tf.io.labels import Label, read_labels
from mrsr_tf.io.labels.names import region_name

NAMES = {"femoral_cartilage": Label(0, 1), "patella": Label(0, 2)}

OBJECTS = {
    "name: label": {"femoral_cartilage": 1, "patella": 2},
    "numbers as text": {"femoral_cartilage": "1", "patella": "2.0"},
    "label: name, nnU-Net 1": {"0": "background", "1": "femoral_cartilage", "2": "patella"},
    "nested, nnU-Net 2": {"labels": {"background": 0, "femoral_cartilage": 1, "patella": 2}},
    "nested beside other keys": {"labels": {"1": "femoral cartilage", "2": "Patella"}, "x": []},
    "names of Slicer": {"Femoral cartilage": 1, "Patella": 2},
    "one name in two spellings": {"Femoral cartilage": 1, "femoral-cartilage": 1, "Patella": 2},
}
FILES = {
    "rois.txt": """
################################################
# ITK-SnAP Label Description File
################################################
    0     0    0    0        0  0  0    "Clear Label"
    1   255    0    0        1  1  1    "Femoral cartilage"
    2     0  255    0      0.5  1  1    "Patella"
""",
    "rois.label": '1 255 0 0 1 1 1 "Femoral cartilage"\n2 0 255 0 1 1 1 "Patella"\n',
    "rois.ctbl": "# 3 values\n0 Background 0 0 0 0\n1 Femoral_cartilage 9 9 9 255\n2 Patella 1 1 1",
    "rois_ColorTable.ctbl": "1 Femoral_cartilage 9 9 9 255\r\n2 Patella 1 1 1 255\r\n",
    "rois.tsv": "index\tname\tabbreviation\n1\tFemoral cartilage\tFC\n2\tPatella\tP\n",
    "rois.csv": "LabelValue,Name,Color_R\n1,Femoral cartilage,0.5\n2,Patella,0.1\n",
}


def read_names(folder):
    path = write_labels(folder / "rois.nii.gz", two_boxes())
    return read_labels(path, blank()).names


@pytest.mark.parametrize("form", OBJECTS)
def test_a_json_table_may_have_any_of_the_usual_forms(tmp_path, form):
    (tmp_path / "rois.json").write_text(json.dumps(OBJECTS[form]))
    assert read_names(tmp_path) == NAMES


@pytest.mark.parametrize("name", FILES)
def test_tables_of_itk_snap_slicer_freesurfer_and_bids_are_read(tmp_path, name):
    (tmp_path / name).write_text(FILES[name], newline="")
    assert read_names(tmp_path) == NAMES


def test_a_freesurfer_table_of_many_labels_names_those_of_the_map(tmp_path):
    lines = [f"{number}   Left-Region-{number}   70 130 {number} 0" for number in range(1, 200)]
    (tmp_path / "rois.txt").write_text("#No. Label Name: R G B A\n" + "\n".join(lines))
    assert read_names(tmp_path)["left_region_2"] == Label(0, 2)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_table_may_have_a_byte_order_mark_or_be_latin_1(tmp_path, encoding):
    (tmp_path / "rois.json").write_text('{"Knorpel außen": 1}', encoding=encoding)
    assert read_names(tmp_path) == {"knorpel_außen": Label(0, 1)}


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('{"a": 1, "b": 1}', "one name for each label, got a and b"),
        ('{"1": "a", "2": "A"}', "one label for each name, got two for a"),
        ('{"a": 1, "a": 2}', "one label for each name, got two for a"),
        ('{"labels": {"whole": [1, 2], "part": 2}}', "region-based training, for whole"),
        ('{"labels": ["background", "a"]}', "JSON object of names and labels"),
        ('["a", "b"]', "JSON object of names and labels"),
        ('{"a": 1.5}', "a name and its label from 0 on, got a: 1.5"),
        ('{"a": -1}', "a name and its label from 0 on, got a: -1"),
        ('{"a": true}', "a name and its label from 0 on, got a: True"),
        ('{"a": {"label": 1}}', "a name and its label"),
        ('{"1": "2"}', "a name and its label from 0 on, got 1: 2"),
        ('{"": 1}', "a name for each label, got ''"),
        ('{"a": 1', "JSON object of names and labels"),
        ('{"tibia": 7, "fibula": 8}', r"labels 1, 2, got tibia \(7\), fibula \(8\)"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path, table, problem):
    (tmp_path / "rois.json").write_text(table)
    with pytest.raises(InputError, match=f"{problem}.*rois"):
        read_names(tmp_path)


@pytest.mark.parametrize(
    ("name", "table", "problem"),
    [
        ("rois.txt", "femoral cartilage\n", "a label and its name in each line"),
        ("rois.tsv", "number\tregion\n1\ta\n", "columns index and name, got number, region"),
        ("rois.csv", "", "columns index and name, got none"),
        ("rois.csv", "index,name\n1\n", "a name and its label"),
    ],
)
def test_a_text_that_is_no_table_is_refused(tmp_path, name, table, problem):
    (tmp_path / name).write_text(table)
    with pytest.raises(InputError, match=f"{problem}.*{name}"):
        read_names(tmp_path)


def test_two_tables_are_refused(tmp_path):
    (tmp_path / "rois.json").write_text("{}")
    (tmp_path / "rois.txt").write_text("1 a")
    with pytest.raises(InputError, match=r"one table of names, got rois\.json and rois\.txt"):
        read_names(tmp_path)


def test_a_table_is_found_whatever_the_case_of_its_name(tmp_path):
    path = write_labels(tmp_path / "rois.nii.gz", two_boxes()).rename(tmp_path / "ROIS.NII.GZ")
    (tmp_path / "rois.JSON").write_text('{"Patella": 2}')
    assert read_labels(path, blank()).names == {"patella": Label(0, 2)}


def test_a_table_that_is_a_broken_link_or_a_folder_is_refused(tmp_path):
    (tmp_path / "rois.txt").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"readable table of names.*rois\.txt"):
        read_names(tmp_path)
    (tmp_path / "rois.txt").unlink()
    (tmp_path / "rois.txt").mkdir()
    with pytest.raises(InputError, match=r"readable table of names.*rois\.txt"):
        read_names(tmp_path)


def test_spellings_of_a_name_are_one_region():
    spellings = (
        "Medial Femoral Cartilage",
        "medial-femoral_cartilage",
        " medial  femoral cartilage",
    )
    assert {region_name(text) for text in spellings} == {"medial_femoral_cartilage"}
