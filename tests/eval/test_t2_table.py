"""T2 in regions, as a table."""

import math

import numpy as np

from eval.regions.t2_table import COLUMNS, labels_digest, t2_rows
from eval.results.rows import write_numbers
from mrsr_tf.io.labels import Label, LabelMap

T2_MS = np.array([[[20.0, 30.0, np.nan, 46.0, np.nan]]])


def label_map(*layers, **names):
    return LabelMap([np.array([[layer]], np.int32) for layer in layers], np.eye(4), names)


def test_statistics_are_over_the_voxels_that_have_a_t2():
    labels = label_map([1, 1, 1, 1, 2], medial=Label(0, 1), lateral=Label(0, 2))
    lateral, medial = t2_rows(T2_MS, labels)
    assert medial | {"sd_ms": None} == {
        "region": "medial",
        "voxels": 3,
        "voxels_without_t2": 1,
        "mean_ms": 32.0,
        "median_ms": 30.0,
        "sd_ms": None,
    }
    assert math.isclose(medial["sd_ms"], math.sqrt((12**2 + 2**2 + 14**2) / 2))
    assert (lateral["voxels"], lateral["voxels_without_t2"]) == (0, 1)
    assert all(math.isnan(lateral[name]) for name in ("mean_ms", "median_ms", "sd_ms"))


def test_overlapping_regions_count_a_voxel_each_and_background_none():
    labels = label_map(
        [1, 1, 0, 0, 0], [0, 1, 0, 1, 0], a=Label(0, 1), b=Label(1, 1), background=Label(0, 0)
    )
    assert [(row["region"], row["mean_ms"]) for row in t2_rows(T2_MS, labels)] == [
        ("a", 25.0),
        ("b", 38.0),
    ]


def test_labels_without_a_name_follow_in_the_order_of_their_numbers():
    labels = label_map([10, 9, 3, 3, 100], tibia=Label(0, 3))
    regions = [row["region"] for row in t2_rows(T2_MS, labels)]
    assert regions == ["tibia", "label_9", "label_10", "label_100"]


def test_a_value_that_there_is_not_is_an_empty_cell(tmp_path):
    labels = label_map([1, 0, 0, 0, 2], one=Label(0, 1), none=Label(0, 2))
    write_numbers(tmp_path / "t2.csv", COLUMNS, t2_rows(T2_MS, labels))
    assert (tmp_path / "t2.csv").read_text().splitlines() == [
        "region,voxels,voxels_without_t2,mean_ms,median_ms,sd_ms",
        "none,0,1,,,",
        "one,1,0,20,20,",
    ]


def test_names_and_voxels_tell_labels_apart():
    first = labels_digest(label_map([1, 0, 0, 0, 0], a=Label(0, 1)))
    assert first == labels_digest(label_map([7, 0, 0, 0, 0], a=Label(0, 7)))
    assert first != labels_digest(label_map([1, 1, 0, 0, 0], a=Label(0, 1)))
    assert first != labels_digest(label_map([1, 0, 0, 0, 0], b=Label(0, 1)))
