"""The command and the files that it writes: DICOM as from a scanner, and the ground truth."""

import filecmp
import json
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import nibabel
import numpy as np
import pydicom
import pytest
from knee_grids import knee_of

from mrsr_tf.io.dicom import read_series
from mrsr_tf.io.nifti import read_map
from mrsr_tf.mri.dess import dess_signals, t2_map
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS, values_by_label
from phantom.scanner.protocols import PROTOCOLS
from phantom.subject import SimulationConfig, make_subject, write_subject

DESS = {"tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0}


def write_knee(
    folder: Path,
    number: int = 0,
    protocol="high_resolution",
    *,
    anatomy: int | None = None,
    **changes,
) -> Path:
    """Writes a subject, whose anatomy may be that of another number and is assembled once."""
    settings = {"shape": (40, 44, 24), "snr": (60.0, 80.0)} | changes
    config = SimulationConfig(seed=0, protocol=PROTOCOLS[protocol], **settings)
    path = folder / f"subject_{number}"
    knee = knee_of(0, number if anatomy is None else anatomy, 0)
    with patch("phantom.subject.Knee", lambda rng, fat_t2: knee):
        write_subject(make_subject(number, config), path)
    return path


def acquisition(subject: Path) -> dict:
    return json.loads((subject / "truth" / "acquisition.json").read_text())


def headers(subject: Path) -> list[pydicom.Dataset]:
    files = sorted((subject / "dicom").iterdir())
    return sorted(map(pydicom.dcmread, files), key=lambda ds: ds.InstanceNumber)


def simulate(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "phantom.simulate", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return write_knee(tmp_path_factory.mktemp("knee"))


@pytest.fixture(scope="module")
def diffusing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusing")
    return write_knee(folder, 5, diffusivity_m2_per_s=1.25e-9, snr=(0.0,), truncate=False)


def test_the_same_call_gives_the_same_bytes_and_another_seed_another_knee(tmp_path):
    small = ("--shape=20,24,10", "--subjects=2")
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        result = simulate(*small, f"--output={tmp_path / name}", f"--seed={seed}")
        assert result.returncode == 0, result.stderr
    files = [p.relative_to(tmp_path / "a") for p in sorted((tmp_path / "a").rglob("*.*"))]
    assert len([f for f in files if f.suffix == ".dcm"]) == 2 * 2 * 10
    _, different, _ = filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", files, shallow=False)
    assert not [f for f in different if (tmp_path / "a" / f).is_file()]
    labels = [
        np.asarray(nibabel.load(tmp_path / name / "truth" / "t2_ms.nii.gz").dataobj)
        for name in ("a/subject_000", "a/subject_001", "c/subject_000")
    ]
    assert all((labels[i] != labels[j]).mean() > 0.2 for i, j in ((0, 1), (0, 2), (1, 2)))
    knees = ("a/subject_000", "a/subject_001", "b/subject_000", "c/subject_000")
    people = [headers(tmp_path / knee)[0].PatientID for knee in knees]
    assert people == ["PHANTOM-5-000", "PHANTOM-5-001", "PHANTOM-5-000", "PHANTOM-6-000"]


def test_a_finished_set_stays_and_an_unfinished_one_is_completed(tmp_path):
    call = ("--shape=16,16,6", "--subjects=2", f"--output={tmp_path / 'knees'}")
    once = simulate(*call)
    assert (once.returncode, once.stdout) == (0, f"2 knees simulated: {tmp_path / 'knees'}\n")
    again = simulate(*call)
    assert (again.returncode, "nothing to do" in again.stdout) == (0, True)
    other = simulate(*call, "--seed=1")
    assert other.returncode == 1
    assert "seed 0 -> 1" in other.stderr
    first = tmp_path / "knees" / "subject_000" / "dicom" / "IM0001.dcm"
    before = first.stat().st_mtime_ns
    (tmp_path / "knees").rename(tmp_path / "knees.partial")
    shutil.rmtree(tmp_path / "knees.partial" / "subject_001" / "truth")
    (tmp_path / "knees.partial" / "subject_001").rename(
        tmp_path / "knees.partial" / "subject_001.partial"
    )
    assert simulate(*call).returncode == 0
    assert first.stat().st_mtime_ns == before
    assert (tmp_path / "knees" / "subject_001" / "truth" / "acquisition.json").exists()


def test_the_same_call_goes_on_at_once_where_only_its_parent_process_was_killed(tmp_path):
    call = [f"--output={tmp_path / 'knees'}", "--subjects=5", "--shape=40,40,24", "--workers=2"]
    killed = subprocess.Popen([sys.executable, "-m", "phantom.simulate", *call])
    try:
        first = tmp_path / "knees.partial" / "subject_000"
        while not first.exists():
            assert killed.poll() is None
            time.sleep(0.05)
    finally:
        killed.kill()
        killed.wait()
    written_at = (first / "truth" / "acquisition.json").stat().st_mtime_ns
    result = simulate(*call)
    assert result.returncode == 0, result.stderr
    done = tmp_path / "knees"
    assert sorted(path.name for path in done.glob("subject_*")) == [
        f"subject_{number:03d}" for number in range(5)
    ]
    assert (done / "subject_000/truth/acquisition.json").stat().st_mtime_ns == written_at


@pytest.mark.parametrize(
    "flag",
    [f"--shape={value}" for value in ("1,2", "0,8,8", "a,b,c", "")]
    + [f"--snr={value}" for value in ("9,1", "0,30", "nan", "inf", "x", "")]
    + [f"--fat_t2={value}" for value in ("2,1", "0", "nan", "inf", "x", "1,2,3", "")],
)
def test_a_wrong_shape_or_range_is_one_line(tmp_path, flag):
    result = simulate(f"--output={tmp_path / 'x'}", "--subjects=1", flag)
    assert result.returncode == 1
    assert result.stderr.startswith("error: expected --") or "expected numbers" in result.stderr
    assert flag.split("=")[0] in result.stderr
    assert result.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_odd_images_are_the_first_echo_and_even_ones_the_second(subject):
    images = headers(subject)
    assert [ds.InstanceNumber for ds in images] == list(range(1, 49))
    for ds in images:
        echo = 1 if ds.InstanceNumber % 2 else 2
        assert (ds.EchoNumbers, float(ds.EchoTime)) == (echo, (7.0, 39.0)[echo - 1])
        assert (ds.RepetitionTime, ds.FlipAngle, ds.SliceThickness) == (23, 20, 0.7)
        assert "SYNTHETIC" in str(ds.PatientName)
        assert ds.StudyDate == ""
    pairs = zip(images[::2], images[1::2], strict=True)
    assert all(a.ImagePositionPatient == b.ImagePositionPatient for a, b in pairs)
    assert len({ds.SOPInstanceUID for ds in images}) == 48
    assert len({ds.StudyInstanceUID for ds in images}) == 1


def test_subjects_differ_in_side_orientation_series_and_numbering(tmp_path):
    seen = {"side": set(), "oblique": set(), "series": set(), "falling": set()}
    for number in range(12):
        subject = write_knee(tmp_path, number, anatomy=0, shape=(4, 4, 3), snr=(0.0,))
        images = headers(subject)
        across, down = np.reshape(images[0].ImageOrientationPatient, (2, 3)).astype(float)
        normal = np.cross(across, down)
        places = [np.dot(normal, ds.ImagePositionPatient) for ds in images[::2]]
        assert acquisition(subject)["laterality"] == images[0].Laterality
        seen["side"].add(images[0].Laterality)
        seen["oblique"].add(bool(np.abs(across).max() < 0.9999))
        seen["series"].add(len({ds.SeriesInstanceUID for ds in images}))
        seen["falling"].add(places[0] > places[-1])
    assert seen == {
        "side": {"L", "R"}, "oblique": {True, False}, "series": {1, 2}, "falling": {True, False},
    }  # fmt: skip


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="no dciodvfy (Debian dicom3tools)")
def test_dciodvfy_finds_no_error(subject, diffusing):
    for path in [*(subject / "dicom").iterdir(), *(diffusing / "dicom").iterdir()]:
        result = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
        assert "Error" not in result.stdout + result.stderr, path.name


def test_truth_lies_on_the_grid_of_the_images_and_names_its_labels(subject):
    volume = read_series(subject / "dicom")
    labels = read_map(subject / "truth" / "labels.nii.gz", volume)
    t2 = read_map(subject / "truth" / "t2_ms.nii.gz", volume)
    assert labels.shape == volume.array.shape[:3] == (40, 44, 24)
    assert acquisition(subject)["labels"] == LABELS
    marrow, fluid = (labels == LABELS[name] for name in ("marrow", "synovial_fluid"))
    assert volume.array[fluid, 0].mean() > 4 * volume.array[marrow, 0].mean()
    cartilage = labels >= FIRST_CARTILAGE
    assert t2[cartilage].mean() / acquisition(subject)["cartilage_t2_level"] == pytest.approx(
        36, abs=6
    )
    deep = np.isin(labels, [i for name, i in LABELS.items() if name.endswith("deep")])
    assert t2[deep].mean() + 8 < t2[cartilage & ~deep].mean()


@pytest.mark.parametrize("number", range(4))
def test_the_smallest_crop_holds_both_cartilages_a_meniscus_and_fluid(tmp_path, number):
    subject = write_knee(tmp_path, number, shape=(64, 64, 48))
    labels = np.asarray(nibabel.load(subject / "truth" / "labels.nii.gz").dataobj)
    counts = {name: np.count_nonzero(labels == label) for name, label in LABELS.items()}
    for name in ("medial_femoral_cartilage_deep", "medial_tibial_cartilage_superficial"):
        assert counts[name] > 1500
    assert counts["meniscus"] > 1000
    assert counts["synovial_fluid"] > 100


def test_the_spoiler_is_written_only_where_spins_diffuse(subject, diffusing):
    tags = [(0x0019, 0x10B6), (0x0019, 0x10B7)]
    assert all(tag not in ds for ds in headers(subject) for tag in tags)
    assert acquisition(subject)["spoiler_area"] == acquisition(subject)["diffusivity_m2_per_s"] == 0
    volume = read_series(diffusing / "dicom")
    assert (volume.spoiler_area, volume.spoiler_duration_us) == (3132, 1560)
    assert acquisition(diffusing)["spoiler_area"] == 3132
    assert headers(diffusing)[0][0x0019, 0x0010].value == "GEMS_ACQU_01"


def inner(labels, mask):
    """Voxels whose neighbours, corners included, are of the same label."""
    same = np.ones(labels.shape, bool)
    for offset in np.ndindex(3, 3, 3):
        shifted = np.roll(labels, np.array(offset) - 1, axis=(0, 1, 2))
        same &= shifted == labels
    same[[0, -1]] = same[:, [0, -1]] = same[:, :, [0, -1]] = False
    return same & mask


def measured(subject, **settings):
    """(true T2, T2 from the files) in voxels of one tissue, and their labels.

    Left out is what is so dark that half a stored step of S2 is 0.1 % of it.
    """
    volume = read_series(subject / "dicom")
    truth = {
        name: read_map(subject / "truth" / f"{name}.nii.gz", volume)
        for name in ("labels", "t1_ms", "t2_ms")
    }
    s1, s2 = np.moveaxis(volume.array.astype(float), 3, 0)
    t2 = t2_map(s1, s2, **DESS, t1_ms=truth["t1_ms"].astype(float), **settings)
    whole = inner(truth["labels"], (truth["t2_ms"] < 100) & (s2 >= 500))
    return truth["t2_ms"][whole], t2[whole], truth["labels"][whole]


def test_without_noise_the_files_give_back_the_true_t2_in_every_voxel_of_one_tissue(tmp_path):
    subject = write_knee(tmp_path, 2, snr=(0.0,), truncate=False, shape=(72, 72, 40))
    truth, t2, labels = measured(subject, method="exact")
    assert len(truth) > 5_000  # marrow is too dark to be among them
    assert len(np.unique(labels)) > 5
    assert np.abs(t2 / truth - 1).max() < 0.002


def test_only_a_scan_without_noise_fills_the_integers_of_its_files(tmp_path):
    for snr, low, high in (((0.0,), 32767, 32767), ((50.0,), 3000, 15000)):
        subject = write_knee(tmp_path / str(snr), 2, snr=snr, shape=(24, 24, 8))
        assert low <= read_series(subject / "dicom").array.max() <= high


def test_diffusing_spins_give_their_t2_with_the_spoiler_of_the_header(diffusing):
    spoiler = {"spoiler_area": 3132.0, "spoiler_duration_us": 1560.0, "diffusivity": 1.25e-9}
    truth, t2, labels = measured(diffusing, method="exact", **spoiler)
    assert np.abs(t2 / truth - 1).max() < 0.002
    truth, t2, labels = measured(diffusing, method="analytic", **spoiler)
    cartilage = (labels >= FIRST_CARTILAGE) & (truth > 15) & (truth < 50)
    bias = t2[cartilage] / truth[cartilage] - 1
    assert bias.min() > -0.005
    assert bias.max() < 0.055


def test_t2_of_fat_and_marrow_alone_has_the_level_asked_for():
    config = SimulationConfig(0, PROTOCOLS["high_resolution"], (40, 44, 24), (0.0,), truncate=False)
    usual, short = (
        make_subject(0, replace(config, fat_t2=level)).truth for level in ((1.0,), (0.5, 0.5))
    )
    np.testing.assert_array_equal(short.label, usual.label)
    fat = values_by_label("fat")[usual.label] > 0
    assert 0.05 < fat.mean() < 0.95
    np.testing.assert_allclose(short.t2_ms[fat], usual.t2_ms[fat] / 2, atol=1 / 64)
    np.testing.assert_array_equal(short.t2_ms[~fat], usual.t2_ms[~fat])
    s1, s2 = np.moveaxis(np.abs(short.signal[fat]) / np.abs(usual.signal[fat]), -1, 0)
    assert np.median(s2) < 0.6
    assert np.median(s2) < 0.7 * np.median(s1)


def test_cartilage_has_the_snr_asked_for(tmp_path):
    noisy, clean = (
        write_knee(tmp_path / name, 3, snr=snr, truncate=False, shape=(64, 64, 40))
        for name, snr in (("noisy", (25.0, 25.0)), ("clean", (0.0,)))
    )
    images = [read_series(path / "dicom").array[..., 0] for path in (noisy, clean)]
    scales = [acquisition(path)["intensity_per_m0"] for path in (noisy, clean)]
    noise = images[0] / scales[0] - images[1] / scales[1]
    labels = read_map(noisy / "truth" / "labels.nii.gz", read_series(noisy / "dicom"))
    cartilage = labels >= FIRST_CARTILAGE
    snr = (images[1] / scales[1])[cartilage].mean() / noise[cartilage].std()
    assert snr == pytest.approx(25, rel=0.05)
    assert acquisition(noisy)["noise_sigma"] / scales[0] == pytest.approx(
        noise[cartilage].std(), rel=0.05
    )


def test_a_single_contrast_scan_is_one_image_of_both_echoes(tmp_path):
    subject = write_knee(tmp_path, 4, protocol="single_contrast", snr=(0.0,), truncate=False)
    volume = read_series(subject / "dicom")
    assert volume.array.shape == (40, 44, 24, 1)
    assert volume.echo_times_ms == (4.7,)
    assert len(acquisition(subject)["te_ms"]) == 2
    truth = {
        name: read_map(subject / "truth" / f"{name}.nii.gz", volume).astype(float)
        for name in ("labels", "m0", "t1_ms", "t2_ms")
    }
    s1, s2 = dess_signals(
        truth["m0"], truth["t1_ms"], truth["t2_ms"], tr_ms=16.3, te_ms=4.7, flip_deg=25.0
    )
    expected = np.sqrt(s1**2 + s2**2) * acquisition(subject)["intensity_per_m0"]
    whole = inner(truth["labels"], truth["labels"] >= FIRST_CARTILAGE)
    ratio = volume.array[..., 0][whole] / expected[whole]  # what is left is the receive field
    assert ratio.std() / ratio.mean() < 0.06


def test_thick_slices_are_1_6_mm(tmp_path):
    subject = write_knee(tmp_path, 5, protocol="thick", shape=(24, 24, 8))
    assert read_series(subject / "dicom").spacing_mm == pytest.approx([160 / 416, 160 / 416, 1.6])
