from dataclasses import replace

import numpy as np
import pytest
from random_scans import make_array, make_scan

from mrsr_tf.inference.domain_check import out_of_range
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


def test_a_scan_like_the_training_scans_causes_no_finding():
    assert out_of_range(make_scan(), {"records": RECORDS}, 2) == []


def test_a_training_scan_causes_no_finding(small_records):
    records = read_manifest(small_records("dual"))
    fine = read_scan(small_records("dual").parent / "scans" / "scan_0.nii.gz")
    thick = replace(fine.resliced(thicken(fine.array), 1 / 2), derived=False)
    assert out_of_range(thick, {"records": records}, 2) == []
    assert len(out_of_range(fine, {"records": records}, 2)) == 1


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
def test_each_deviation_is_one_finding(odd, clause):
    (finding,) = out_of_range(make_scan(**odd), {"records": RECORDS}, 2)
    assert clause in finding


def test_a_voxel_that_is_too_bright_is_a_finding():
    array = np.random.default_rng(0).uniform(0, 2000, (16, 16, 8, 2))
    array[3, 3, 3, 0] = 20000
    (finding,) = out_of_range(replace(make_scan(), array=array), {"records": RECORDS}, 2)
    assert "its brightest voxel has 10.0 times" in finding
    assert "in training at most 1.5 times" in finding


def test_of_several_record_sets_those_of_the_slice_factor_count():
    thicker = RECORDS | {"slice_factor": 4}
    both = {"records": {"sets": [RECORDS, thicker]}}
    assert out_of_range(make_scan(spacing_mm=(0.4, 0.4, 3.0)), both, 4) == []
    assert "1.4 to 1.6" in out_of_range(make_scan(spacing_mm=(0.4, 0.4, 3.0)), both, 2)[0]
    assert "2.1 to 2.4" in out_of_range(make_scan(spacing_mm=(0.4, 0.4, 3.0)), both, 3)[0]


@pytest.mark.parametrize("card", [{}, {"records": {"slice_factor": 2, "contrasts": "dual"}}])
def test_a_card_without_records_causes_no_finding(card):
    assert out_of_range(make_scan(spacing_mm=(9, 9, 9)), card, 2) == []


def test_what_the_header_does_not_state_is_not_compared():
    bare = make_scan(echo_times_ms=None, repetition_time_ms=None, flip_angle_deg=None)
    assert out_of_range(bare, {"records": RECORDS}, 2) == []
