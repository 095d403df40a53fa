from dataclasses import replace

import numpy as np
import pytest
from random_scans import make_array, make_scan

from mrsr_tf.inference.domain_check import unlike_training
from mrsr_tf.io.scans import read_scan
from mrsr_tf.mri.slices import thicken
from mrsr_tf.records.manifest import read_manifest

SUBJECT = {
    "echo_times_ms": [7.0, 39.0],
    "repetition_time_ms": 23.0,
    "flip_angle_deg": 20.0,
    "input_range": [0.0, 1.5],
}
RECORDS = {
    "slice_factor": 2,
    "spacing_mm": {"min": [0.38, 0.38, 0.7], "max": [0.4, 0.4, 0.8]},
    "subjects": [SUBJECT, SUBJECT | {"echo_times_ms": None, "flip_angle_deg": None}],
}


def test_a_scan_like_those_of_the_training_is_passed_in_silence():
    assert unlike_training(make_scan(), {"records": RECORDS}, 2) == []


def test_a_scan_that_made_the_records_is_like_them(small_records):
    records = read_manifest(small_records("dual"))
    fine = read_scan(small_records("dual").parent / "scans" / "scan_0.nii.gz")
    thick = replace(fine.resliced(thicken(fine.array), 1 / 2), derived=False)
    assert unlike_training(thick, {"records": records}, 2) == []
    assert len(unlike_training(fine, {"records": records}, 2)) == 1


@pytest.mark.parametrize(
    ("odd", "clause"),
    [
        ({"spacing_mm": (0.4, 0.4, 3.0)}, "its slices lie 3 mm apart, in training 1.4 to 1.6 mm"),
        ({"spacing_mm": (0.3, 0.4, 1.5)}, "its rows lie 0.3 mm apart, in training 0.38 to 0.4 mm"),
        ({"spacing_mm": (0.4, 0.6, 1.5)}, "its columns lie 0.6 mm apart, in training 0.38 to 0.4"),
        ({"echo_times_ms": (7.0, 50.0)}, "its echo 2 is at 50 ms, in training 39 ms"),
        ({"repetition_time_ms": 30.0}, "its repetition time is 30 ms, in training 23 ms"),
        ({"flip_angle_deg": 90.0}, "its flip angle is 90 degrees, in training 20 degrees"),
        ({"derived": True}, "it is itself computed by this package, not acquired"),
        ({"array": make_array() - 500.0}, "negative"),
    ],
)
def test_each_oddity_is_said_in_one_clause(odd, clause):
    said = unlike_training(make_scan(**odd), {"records": RECORDS}, 2)
    assert len(said) == 1
    assert clause in said[0]


def test_a_glaring_voxel_is_said():
    array = np.random.default_rng(0).uniform(0, 2000, (16, 16, 8, 2))
    array[3, 3, 3, 0] = 20000
    (said,) = unlike_training(replace(make_scan(), array=array), {"records": RECORDS}, 2)
    assert "its brightest voxel has 10.0 times" in said
    assert "in training at most 1.5 times" in said


def test_of_several_sets_those_of_the_factor_count():
    thicker = RECORDS | {"slice_factor": 4}
    both = {"records": {"sets": [RECORDS, thicker]}}
    assert unlike_training(make_scan(spacing_mm=(0.4, 0.4, 3.0)), both, 4) == []
    assert "1.4 to 1.6" in unlike_training(make_scan(spacing_mm=(0.4, 0.4, 3.0)), both, 2)[0]
    assert "2.1 to 2.4" in unlike_training(make_scan(spacing_mm=(0.4, 0.4, 3.0)), both, 3)[0]


@pytest.mark.parametrize("card", [{}, {"records": {"slice_factor": 2, "contrasts": "dual"}}])
def test_a_card_that_tells_nothing_is_compared_with_nothing(card):
    assert unlike_training(make_scan(spacing_mm=(9, 9, 9)), card, 2) == []


def test_what_the_header_does_not_tell_is_not_compared():
    bare = make_scan(echo_times_ms=None, repetition_time_ms=None, flip_angle_deg=None)
    assert unlike_training(bare, {"records": RECORDS}, 2) == []
