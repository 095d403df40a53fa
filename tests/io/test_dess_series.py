"""Which series of a study are taken for a DESS."""

import pytest

from mrsr_tf.io.dess_series import dess_scans


def series(*echo_times, description="Sag 3D", frame="1.2", rows="8", slices=2, **header):
    """Headers of a series: each echo at each of the slices."""
    common = {
        "Modality": "MR", "ImageType": "ORIGINAL\\PRIMARY", "SeriesDescription": description,
        "FrameOfReferenceUID": frame, "Rows": rows, "Columns": "8", "RepetitionTime": "23",
    }  # fmt: skip
    return [{**common, "EchoTime": time, **header} for time in echo_times for _ in range(slices)]


def test_one_series_with_the_echo_times_of_a_dess_is_one():
    assert dess_scans({"a": series("7", "39"), "b": series("7", "14")}) == [("a",)]


def test_two_series_with_an_echo_each_are_one():
    assert dess_scans({"a": series("7"), "b": series("39"), "c": series("12")}) == [("a", "b")]


@pytest.mark.parametrize("difference", [{"frame": "1.3"}, {"rows": "9"}, {"slices": 3}])
def test_two_series_on_different_grids_are_none(difference):
    assert dess_scans({"a": series("7"), "b": series("39", **difference)}) == []


def test_series_called_dess_are_one_whatever_their_times():
    assert dess_scans({"a": series("7", "20", description="Sag DESS")}) == [("a",)]
    pair = {name: series(time, description="Sag DESS") for name, time in (("a", "7"), ("b", "20"))}
    assert dess_scans(pair) == [("a", "b")]


def test_a_single_echo_is_one_only_if_it_is_called_so():
    assert dess_scans({"a": series("7", ProtocolName="3D DESS"), "b": series("5")}) == [("a",)]


def test_two_scans_with_both_echoes_stay_apart():
    assert dess_scans({"a": series("7", "39"), "b": series("7", "39")}) == [("a",), ("b",)]


def test_enhanced_mr_has_its_times_in_sequences():
    groups = [{"MREchoSequence": [{"EffectiveEchoTime": time}]} for time in ("7", "39")]
    timing = [{"MRTimingAndRelatedParametersSequence": [{"RepetitionTime": "23"}]}]
    enhanced = {"Modality": "MR", "ImageType": "ORIGINAL\\PRIMARY\\OTHER"}
    enhanced["SharedFunctionalGroupsSequence"] = timing
    enhanced["PerFrameFunctionalGroupsSequence"] = groups
    assert dess_scans({"a": [enhanced]}) == [("a",)]


@pytest.mark.parametrize("header", [{"ImageType": "DERIVED\\SECONDARY"}, {"Modality": "CT"}])
def test_derived_series_and_other_modalities_are_none(header):
    assert dess_scans({"a": series("7", "39", description="DESS", **header)}) == []


@pytest.mark.parametrize("damage", [{"EchoTime": "x"}, {"RepetitionTime": ""}, {"EchoTime": None}])
def test_headers_without_usable_times_are_none(damage):
    assert dess_scans({"a": series("7", "39", **damage)}) == []
