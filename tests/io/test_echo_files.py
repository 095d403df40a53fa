"""Which NIfTI files are one scan, by BIDS names, sidecars of dcm2niix, and its names."""

import json

import pytest

from mrsr_tf.errors import InputError
from mrsr_tf.io.echo_files import choose_scans, group_echoes, group_of

DESS = ({"EchoTime": 0.007, "EchoNumber": 1}, {"EchoTime": 0.039, "EchoNumber": 2})
TIMING = {"RepetitionTime": 0.023, "FlipAngle": 20}


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def write(folder, **sidecars):
    """Empty files by these names with their sidecars (None for none); names only are read."""
    paths = []
    for name, sidecar in sidecars.items():
        paths.append(folder / f"{name}.nii.gz")
        paths[-1].touch()
        if sidecar is not None:
            (folder / f"{name}.json").write_text(json.dumps({**TIMING, **sidecar}))
    return paths


def grouped(paths):
    return {group.name: [path.name[:-7] for path in group.paths] for group in group_echoes(paths)}


def named(names, sidecars):
    return dict(zip(names, sidecars, strict=True))


@pytest.mark.parametrize(
    ("names", "series", "name"),
    [
        (["knee_5_e1", "knee_5_e2"], {}, "knee_5"),
        (
            ["knee_5_e1", "knee_5_e2"],
            {"SeriesNumber": 5, "AcquisitionTime": "10:11:12.5"},
            "knee_5",
        ),
        (["knee_5", "knee_5_e2"], {}, "knee_5"),
        (["5_e1_SAG_DESS", "5_e2_SAG_DESS"], {}, "5_SAG_DESS"),
        (["knee_early", "knee_late"], {"SeriesInstanceUID": "1.2.3"}, "knee"),
        (["knee_b", "knee_a"], {"SeriesNumber": 5, "AcquisitionTime": "10:11:12.5"}, "knee"),
        (["left1", "left2"], {"SeriesInstanceUID": "1.2.3"}, "left"),
        (["knee_TE7", "knee_TE39"], {}, "knee"),
        (["knee-fid", "knee-echo"], {}, "knee"),
        (["SAG_DESS_1_0005", "SAG_DESS_2_0005"], {"SeriesNumber": 5}, "SAG_DESS_0005"),
    ],
)
def test_sidecars_of_one_series_make_a_scan_in_the_order_of_their_echo_times(
    folder, names, series, name
):
    paths = write(folder, **named(names, [{**echo, **series} for echo in DESS]))
    assert grouped(paths) == {name: names}
    assert group_of(paths[0]).paths == paths
    assert group_of(paths[1]).paths == paths[1:]
    assert group_of(paths[0]).is_dess


def test_one_echo_may_be_compressed_and_the_other_not(folder):
    first, second = write(folder, knee_e1=DESS[0], knee_e2=DESS[1])
    first = first.rename(folder / "knee_e1.nii")
    assert group_of(first).paths == [first, second]


def test_echoes_of_several_series_and_subjects_do_not_mix(folder):
    sidecars = {
        f"{subject}_{series}_e{echo + 1}": {**DESS[echo], "SeriesNumber": series}
        for subject in ("ann", "bob")
        for series in (5, 6)
        for echo in (0, 1)
    }
    assert grouped(write(folder, **sidecars)) == {
        name: [f"{name}_e1", f"{name}_e2"] for name in ("ann_5", "ann_6", "bob_5", "bob_6")
    }


def test_two_series_with_the_times_of_a_dess_are_one_scan(folder):
    sidecars = [
        {**echo, "SeriesNumber": 5 + index, "SeriesInstanceUID": f"1.2.{index}"}
        for index, echo in enumerate(DESS)
    ]
    paths = write(folder, **named(["knee_Sag_5", "knee_Sag_6"], sidecars))
    assert grouped(paths) == {"knee_Sag": ["knee_Sag_5", "knee_Sag_6"]}


def test_two_repeats_of_a_series_for_each_echo_are_not_mixed(folder):
    sidecars = {
        f"knee_{number}": {**echo, "SeriesNumber": number}
        for number, echo in zip((5, 6, 8, 9), DESS * 2, strict=True)
    }
    assert all(len(files) == 1 for files in grouped(write(folder, **sidecars)).values())


def test_one_echo_each_of_two_subjects_are_two_scans(folder):
    paths = write(folder, ann_e1=DESS[0], bob_e2=DESS[1])
    assert grouped(paths) == {"ann_e1": ["ann_e1"], "bob_e2": ["bob_e2"]}


def test_images_of_both_echoes_are_scans_by_themselves(folder):
    both = {"EchoTime": [0.007, 0.039], "SeriesInstanceUID": "1.2.3"}
    assert grouped(write(folder, a=both, b=both)) == {"a": ["a"], "b": ["b"]}


def test_names_alone_make_a_scan_that_says_so(folder):
    paths = write(folder, knee_e1=None, knee_e2=None, hip=None)
    assert grouped(paths) == {"hip": ["hip"], "knee": ["knee_e1", "knee_e2"]}
    assert not group_of(paths[0]).is_told_apart


@pytest.mark.parametrize(
    "names",
    [
        ["sub-01_echo-1_qdess", "sub-01_echo-2_qdess"],
        ["sub-01_ses-1_run-2_echo-1_part-mag_MEGRE", "sub-01_ses-1_run-2_echo-2_part-mag_MEGRE"],
        ["sub-01_echo-01_qdess", "sub-01_echo-02_qdess"],
    ],
)
def test_bids_names_make_a_scan_without_sidecars(folder, names):
    paths = write(folder, **named(names, [None, None]))
    (group,) = group_echoes(paths)
    assert group.paths == paths
    assert group.is_told_apart
    assert "echo" not in group.name


def test_runs_and_sessions_do_not_mix(folder):
    names = [f"sub-01_run-{run}_echo-{echo}_qdess" for run in (1, 2) for echo in (1, 2)]
    paths = write(folder, **named(names, [None] * 4))
    assert list(grouped(paths)) == ["sub-01_run-1_qdess", "sub-01_run-2_qdess"]


def test_more_than_two_echoes_are_refused_and_listed(folder):
    names = [f"sub-01_echo-{echo}_MESE" for echo in (1, 2, 3, 4)]
    paths = write(folder, **named(names, [{"EchoTime": 0.01 * echo} for echo in (1, 2, 3, 4)]))
    for path in paths:
        with pytest.raises(InputError, match=r"one or two echoes, got 4: sub-01_echo-1_MESE.*"):
            group_of(path)
    message = r"expected a DESS, got sub-01_T1w \(T1w\), sub-01_MESE \(4 echoes\) in"
    with pytest.raises(InputError, match=message):
        choose_scans([*paths, *write(folder, **{"sub-01_T1w": None})])


@pytest.mark.parametrize(
    "parts",
    [
        {"knee_e1_ph": DESS[0], "knee_e2_ph": DESS[1], "knee_e2_real": DESS[1]},
        {"knee_e1_a": {**DESS[0], "ImageType": ["ORIGINAL", "PRIMARY", "P", "ND", "PHASE"]}},
        {"knee_phase": {**DESS[1], "ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP"]}},
    ],
)
def test_phase_images_are_left_out_and_named(folder, parts):
    paths = write(folder, knee_e1=DESS[0], knee_e2=DESS[1], **parts)
    chosen = choose_scans(paths)
    assert chosen.scans == paths[:1]
    assert sorted(chosen.left_out) == sorted(f"{name}.nii.gz" for name in parts)
    assert group_of(paths[0]).paths == paths[:2]


def test_bids_parts_are_left_out(folder):
    names = [f"sub-01_echo-{e}_part-{part}_MEGRE" for part in ("mag", "phase") for e in (1, 2)]
    paths = write(folder, **named(names, [*DESS, *DESS]))
    assert choose_scans(paths).scans == paths[:1]
    assert choose_scans(paths).left_out == [path.name for path in paths[2:]]


def test_a_name_that_ends_as_a_part_of_dcm2niix_is_a_scan_if_nothing_is_beside_it(folder):
    assert choose_scans(write(folder, knee_real=None)).left_out == []


@pytest.mark.parametrize(
    "others",
    [
        {"sub-01_T1w": None, "sub-01_T2w": {}},
        {"t1": {"EchoTime": 0.01, "SeriesDescription": "SAG T1"}},
        {"pd": {"EchoTime": 0.03, "ProtocolName": "PD FS"}},
        {"t2": {"EchoTime": 0.08, "RepetitionTime": 2.5}},
    ],
)
def test_a_dess_is_taken_without_the_other_sequences_beside_it(folder, others):
    paths = write(folder, knee_5_e1=DESS[0], knee_5_e2=DESS[1], **others)
    chosen = choose_scans(paths)
    assert chosen.scans == paths[:1]
    assert sorted(chosen.left_out) == sorted(f"{name}.nii.gz" for name in others)


def test_images_that_nothing_describes_are_all_scans(folder):
    paths = write(folder, a=None, b={"EchoTime": [0.007, 0.039]}, c={"EchoTime": 0.005})
    assert choose_scans(paths) == (paths, [])


def test_a_broken_sidecar_of_another_image_does_not_matter(folder):
    paths = write(folder, knee_e1=DESS[0], knee_e2=DESS[1], rois=None)
    (folder / "rois.json").write_text("{")
    assert group_of(paths[0]).paths == paths[:2]
