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


@pytest.mark.parametrize("difference", [{"frame": "1.3"}, {"rows": "9"}])
def test_two_series_on_different_grids_are_none(difference):
    assert dess_scans({"a": series("7"), "b": series("39", **difference)}) == []


def test_echoes_of_one_study_in_two_frames_are_one_scan_which_cannot_be_read():
    study = {"StudyInstanceUID": "1.5"}
    first, second = series("7", **study), series("39", frame="1.3", **study)
    assert dess_scans({"a": first, "b": second}) == [("a", "b")]
    third, fourth = series("39", **study), series("7", frame="1.3", **study)
    repeats = {"a": first, "b": second, "c": third, "d": fourth}
    assert dess_scans(repeats) == [("a", "c"), ("b", "d")]


def test_an_incomplete_series_is_still_the_other_echo_of_a_scan():
    assert dess_scans({"a": series("7"), "b": series("39", slices=3)}) == [("a", "b")]


def test_of_repeats_the_echoes_with_as_many_images_belong_together():
    repeats = {
        "a": series("7", slices=3),
        "b": series("7"),
        "c": series("39"),
        "d": series("39", slices=3),
    }
    assert dess_scans(repeats) == [("a", "d"), ("b", "c")]


@pytest.mark.parametrize("times", [("7.0049", "7.0051", "38.9951"), ("7", "39.01", "39")])
def test_times_that_differ_in_the_last_printed_digit_are_one_echo(times):
    assert dess_scans({"a": series(*times)}) == [("a",)]


def test_echoes_with_numbers_and_without_times_are_one_if_they_are_called_so():
    numbered = [{**header, "EchoNumbers": number} for number in "12" for header in series("")]
    assert dess_scans({"a": numbered}) == []
    named = [{**header, "ProtocolName": "qDESS"} for header in numbered]
    assert dess_scans({"a": named}) == [("a",)]
    assert dess_scans({"a": named[:2], "b": named[2:]}) == [("a", "b")]


def test_what_is_repeated_after_a_second_is_none():
    long = {"RepetitionTime": "1200"}
    assert dess_scans({"a": series("7", "2393", **long)}) == []
    assert dess_scans({"a": series("7", description="DESS", **long)}) == []


@pytest.mark.parametrize("kind", ["T2 MAP", "PHASE MAP"])
def test_maps_are_none(kind):
    assert (
        dess_scans({"a": series("7", description="DESS", ImageType=f"ORIGINAL\\PRIMARY\\{kind}")})
        == []
    )


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
