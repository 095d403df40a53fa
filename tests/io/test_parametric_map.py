"""T2 as a DICOM Parametric Map, read by other programs than this package."""

import subprocess
import sys

import nibabel
import numpy as np
import pydicom
import pytest
from dicom_studies import SAGITTAL, SECRETS, write_enhanced, write_study
from orthanc_server import tool
from random_scans import make_array
from scipy.spatial.transform import Rotation

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom
from mrsr_tf.io.scan_format import T2Format

OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.random(random_state=3).as_matrix() @ np.diag([0.4, 0.5, 1.6])
OBLIQUE[:3, 3] = 41.25, -62.5, 13.375
FLIPPED = SAGITTAL @ np.diag([1, 1, -1, 1])
INDICES = np.diag([1.0, 1, 1, 1])[[2, 0, 1, 3]]  # (slice, row, col) of (row, col, slice)

highdicom = pytest.importorskip("highdicom")


def write_map(source, output, t2_format=T2Format.PM, factor=2, t2_ms=None, **derivation):
    """Writes a map of the slices of a source, each made `factor` slices; returns map and volume."""
    volume = dicom.read_series(source)
    fine = volume.resliced(np.repeat(volume.array, factor, axis=2), factor)
    if t2_ms is None:
        t2_ms = np.random.default_rng(0).uniform(10, 90, fine.array.shape[:3])
        t2_ms[1, 2, ::2] = np.nan
    derivation = {"method": "analytic"} | derivation
    dicom.write_t2_map(t2_ms, fine, output, like=source, derivation=derivation, t2_format=t2_format)
    return t2_ms, fine


@pytest.fixture
def source(tmp_path):
    return write_study(tmp_path / "source", make_array())


@pytest.mark.parametrize("affine", [SAGITTAL, FLIPPED, OBLIQUE])
def test_highdicom_and_pydicom_read_the_milliseconds_at_their_places(tmp_path, affine):
    source = write_study(tmp_path / "source", make_array(), affine=affine)
    t2_ms, fine = write_map(source, tmp_path / "t2")
    (file,) = (tmp_path / "t2").iterdir()

    # highdicom orders (slice, row, col) and may count slices backwards: compare by position.
    volume = highdicom.imread(file).get_volume(apply_real_world_transform=True)
    from_volume = np.linalg.inv(volume.affine @ INDICES) @ fine.affine
    step = from_volume[2, 2]
    assert abs(step) == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(from_volume[:2], np.eye(4)[:2], atol=1e-3)
    values = np.moveaxis(volume.array, 0, 2)[:, :, :: round(step)]
    np.testing.assert_allclose(values, t2_ms, rtol=1e-6)

    header = pydicom.dcmread(file)
    frames = header.PerFrameFunctionalGroupsSequence
    positions = np.array([frame.PlanePositionSequence[0].ImagePositionPatient for frame in frames])
    for index in range(fine.array.shape[2]):
        apart_mm = np.linalg.norm(positions - fine.affine[:3, 3] - index * fine.affine[:3, 2], 1, 1)
        assert apart_mm.min() < 0.01
        frame = header.pixel_array[np.argmin(apart_mm)]
        np.testing.assert_allclose(frame, t2_ms[:, :, index], rtol=1e-6)


@pytest.mark.parametrize("affine", [SAGITTAL, FLIPPED, OBLIQUE])
def test_the_reader_of_3d_slicer_finds_the_milliseconds_at_their_places(tmp_path, affine):
    pytest.importorskip("dcmqi")
    source = write_study(tmp_path / "source", make_array(), affine=affine)
    t2_ms, fine = write_map(source, tmp_path / "t2")
    command = [sys.executable, "-c", "import dcmqi; dcmqi.paramap2itkimage()", "-t", "nii"]
    places = ["--inputDICOM", tmp_path / "t2/t2.dcm", "--outputDirectory", tmp_path]
    report = subprocess.run([*command, *places], capture_output=True, text=True, check=True)
    assert "W:" not in report.stderr

    image = nibabel.load(tmp_path / "pmap.nii.gz")
    voxels = np.indices(t2_ms.shape).reshape(3, -1)
    xyz_mm = nibabel.affines.apply_affine(np.diag([-1, -1, 1, 1]) @ fine.affine, voxels.T)
    indices = nibabel.affines.apply_affine(np.linalg.inv(image.affine), xyz_mm)
    np.testing.assert_allclose(indices, indices.round(), atol=1e-3)
    values = image.get_fdata()[tuple(indices.round().astype(int).T)]
    np.testing.assert_allclose(values, t2_ms.ravel(), rtol=1e-6)


def test_the_map_says_that_it_is_t2_in_ms_and_nan_invalid(source, tmp_path):
    t2_ms, _ = write_map(source, tmp_path / "t2")
    header = pydicom.dcmread(tmp_path / "t2" / "t2.dcm")
    shared = header.SharedFunctionalGroupsSequence[0]
    (mapping,) = shared.RealWorldValueMappingSequence
    (unit,), (quantity,) = mapping.MeasurementUnitsCodeSequence, mapping.QuantityDefinitionSequence
    assert (unit.CodeValue, unit.CodingSchemeDesignator) == ("ms", "UCUM")
    (concept,) = quantity.ConceptCodeSequence
    assert (concept.CodeValue, concept.CodingSchemeDesignator) == ("113065", "DCM")
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == pytest.approx(np.nanmax(t2_ms))
    assert np.isnan([header.FloatPixelPaddingValue, header.FloatPixelPaddingRangeLimit]).all()
    assert shared.FrameAnatomySequence[0].FrameLaterality == "R"
    assert header.DerivationDescription.startswith("Derived by MRSR-TF: method=analytic;")


def test_infinite_and_negative_values_are_invalid(source, tmp_path):
    t2_ms = np.full((6, 5, 4), 30.0)
    t2_ms[0, 0, :3] = np.inf, -5, 0
    write_map(source, tmp_path / "t2", factor=1, t2_ms=t2_ms)
    stored = pydicom.dcmread(tmp_path / "t2" / "t2.dcm").pixel_array
    assert np.isnan(stored[:, 0, 0]).sum() == np.isnan(stored).sum() == 3
    assert np.nanmax(stored) == np.nanmin(stored) == 30


@pytest.mark.parametrize("write", [write_study, write_enhanced])
def test_each_frame_refers_to_both_echoes_of_the_slices_it_is_from(tmp_path, write):
    source = write(tmp_path / "source", make_array())
    write_map(source, tmp_path / "t2")
    images = [pydicom.dcmread(file) for file in source.iterdir()]
    header = pydicom.dcmread(tmp_path / "t2" / "t2.dcm")
    for frame in header.PerFrameFunctionalGroupsSequence:
        (derivation,) = frame.DerivationImageSequence
        place = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        references = [(position(images, one), one) for one in derivation.SourceImageSequence]
        assert len(references) in (2, 4)
        assert all(np.linalg.norm(at - place) < 1.5 for at, _ in references)
    (series,) = header.ReferencedSeriesSequence
    uids = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    assert (series.SeriesInstanceUID, uids) == (
        images[0].SeriesInstanceUID,
        {image.SOPInstanceUID for image in images},
    )


def position(images, reference):
    """Where the image or frame lies that an item refers to."""
    uid = reference.ReferencedSOPInstanceUID
    (image,) = (image for image in images if image.SOPInstanceUID == uid)
    if "ReferencedFrameNumber" in reference:
        frame = image.PerFrameFunctionalGroupsSequence[reference.ReferencedFrameNumber - 1]
        image = frame.PlanePositionSequence[0]
    return np.array(image.ImagePositionPatient, float)


def change(**values):
    def set_values(header, index=0, echo=0):
        for keyword, value in values.items():
            setattr(header, keyword, value)

    return set_values


SOURCES = {
    "one series": lambda folder: write_study(folder, make_array()),
    "two series": lambda folder: write_study(folder, make_array(), one_series=False),
    "enhanced": lambda folder: write_enhanced(folder, make_array()),
    "one slice": lambda folder: write_study(folder, make_array((6, 5, 1))),
    "no side": lambda folder: write_study(folder, make_array(), change=change(Laterality="")),
    "no study": lambda folder: write_study(
        folder, make_array(), change=change(StudyInstanceUID="", FrameOfReferenceUID="")
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_dciodvfy_finds_no_error(tmp_path, name):
    write_map(SOURCES[name](tmp_path / "source"), tmp_path / "t2")
    dciodvfy = tool("dciodvfy", "dicom3tools")
    report = subprocess.run([dciodvfy, tmp_path / "t2" / "t2.dcm"], capture_output=True, text=True)
    assert "ParametricMap" in report.stderr
    assert not [line for line in report.stderr.splitlines() if line.startswith("Error")]


def test_the_same_map_again_differs_in_its_time_alone(source, tmp_path):
    for name, method in (("first", "analytic"), ("again", "analytic"), ("other", "exact")):
        write_map(source, tmp_path / name, method=method)
    first, again, other = (
        pydicom.dcmread(tmp_path / name / "t2.dcm") for name in ("first", "again", "other")
    )
    assert other.SOPInstanceUID != first.SOPInstanceUID
    assert other.SeriesInstanceUID != first.SeriesInstanceUID
    for header in (first, again):
        for keyword in ("InstanceCreation", "Content"):
            delattr(header, f"{keyword}Date")
            delattr(header, f"{keyword}Time")
        header.FloatPixelPaddingValue = header.FloatPixelPaddingRangeLimit = 0  # NaN equals nothing
    assert first == again


def test_beside_mr_images_it_is_another_series_of_the_same_patient_and_study(source, tmp_path):
    write_map(source, tmp_path / "t2", T2Format.BOTH)
    write_map(source, tmp_path / "mr", T2Format.MR)
    beside = tmp_path / "t2" / "t2_0001.dcm"
    image, parametric = (pydicom.dcmread(file) for file in (beside, tmp_path / "t2" / "t2.dcm"))
    assert image.SOPInstanceUID == pydicom.dcmread(tmp_path / "mr" / beside.name).SOPInstanceUID
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientName", "SeriesDescription"):
        assert keyword in parametric
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        assert parametric[keyword] == image[keyword]
    for keyword in ("SeriesInstanceUID", "SeriesNumber", "SeriesDescription"):
        assert parametric[keyword].value != image[keyword].value
    assert parametric.group_dataset(0x10) == image.group_dataset(0x10)
    assert dicom.read_series(tmp_path / "t2").array.shape == (6, 5, 8, 1)


def test_a_patient_that_highdicom_would_refuse_or_quote_is_kept_in_silence(tmp_path, caplog, capfd):
    odd = change(PatientName="DOE^JANE^^^^^", PatientSex="X", PatientBirthDate="", StudyID="Ü")
    source = write_study(tmp_path / "source", make_array(), change=odd)
    write_map(source, tmp_path / "t2")
    header = pydicom.dcmread(tmp_path / "t2" / "t2.dcm")
    assert (header.PatientSex, header.StudyID) == ("X", "Ü")
    spoken = caplog.text + "".join(capfd.readouterr())
    assert not any(secret.casefold() in spoken.casefold() for secret in SECRETS)


def test_the_error_names_the_package_that_it_needs(source, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(InputError, match="pip install highdicom"):
        write_map(source, tmp_path / "t2")
    write_map(source, tmp_path / "t2", T2Format.MR)
