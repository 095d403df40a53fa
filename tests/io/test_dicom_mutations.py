"""Headers with an attribute missing, empty, repeated, of another type or absurd."""

import itertools

import numpy as np
import pydicom
import pytest
from dicom_studies import SAGITTAL, SECRETS, write_enhanced, write_study
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom

SHAPE = (2, 3, 2)
TRIED = 50  # of the combinations in each test; all were tried by hand
KEYWORDS = """
    StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID ImageType PatientID PatientName
    SeriesNumber SeriesDescription Manufacturer EchoNumbers EchoTime RepetitionTime FlipAngle
    SliceThickness SpacingBetweenSlices ImagePositionPatient ImageOrientationPatient PixelSpacing
    Rows Columns SamplesPerPixel PhotometricInterpretation BitsAllocated BitsStored HighBit
    PixelRepresentation NumberOfFrames RescaleSlope RescaleIntercept PixelPaddingValue
    PixelPaddingRangeLimit ComplexImageComponent ModalityLUTSequence DerivationDescription
    RealWorldValueMappingSequence PixelData
""".split()
# Attributes that say which number is meant by a stored value: changed in all images, they change
# what is right.
MEANING = """
    RescaleSlope RescaleIntercept BitsStored PixelPaddingValue PixelPaddingRangeLimit
    RealWorldValueMappingSequence
""".split()
VALUES = {
    "DS": "1.5",
    "IS": "3",
    "LO": "text",
    "UI": "1.2.3",
    "US": 2,
    "FD": 1e300,
    "OB": b"\1\2\3\4",
    "SQ": [Dataset()],
}
HUGE = {"DS": "9" * 15, "IS": "2147483647", "US": 65535, "FD": np.inf} | {
    vr: VALUES["OB" if vr == "OW" else vr] for vr in ("OW", "SQ")
}


def own_vr(keyword):
    return {"US or SS": "US", "OB or OW": "OW"}.get(dictionary_VR(keyword), dictionary_VR(keyword))


def element(keyword, change):
    """The changed element; None if it shall be missing. A change is a name or another VR."""
    tag, vr = tag_for_keyword(keyword), own_vr(keyword)
    if change in VALUES:
        return DataElement(tag, change, VALUES[change])
    if change == "huge":
        return DataElement(tag, vr, HUGE.get(vr, "9" * 64))
    if change == "repeated" and vr not in HUGE.keys() - {"DS", "IS", "US"}:
        return DataElement(tag, vr, [1, 2] if vr == "US" else ["1", "2"])
    return DataElement(tag, vr, None) if change == "empty" else None


def change_header(header, changed, tag):
    for other in list(header.keys()):  # decodes raw elements, which keep their bytes else
        header[other]
    header.pop(tag, None)
    if changed is not None:
        header[tag] = changed


def read_and_write(folder, output):
    """The scan, of which a derived one was written; or the message that refuses it."""
    try:
        volume = dicom.read_series(folder)
        dicom.write_series(volume, output, like=folder)
        return volume
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("in_all", [False, True], ids=["one image", "all images"])
def test_a_changed_attribute_is_refused_or_read_right(tmp_path, caplog, in_all):
    array = make_array(SHAPE)
    write_study(tmp_path / "scan", array, name="{slice}_{echo}")
    originals = {file: file.read_bytes() for file in sorted((tmp_path / "scan").iterdir())}
    changes = ["missing", "empty", "repeated", "huge", *VALUES]
    combinations = list(itertools.product(KEYWORDS, changes))
    refused = 0
    for index in np.random.default_rng(in_all).permutation(len(combinations))[:TRIED]:
        keyword, change = combinations[index]
        for file in list(originals)[: None if in_all else 1]:
            header = pydicom.dcmread(file)
            change_header(header, element(keyword, change), tag_for_keyword(keyword))
            header.save_as(file, enforce_file_format=True)
        result = read_and_write(tmp_path / "scan", tmp_path / "out")
        if isinstance(result, str):
            refused += 1
            assert result.startswith("expected")
            assert "\n" not in result
            assert not any(secret in result + caplog.text for secret in SECRETS)
        else:
            assert np.allclose(result.affine, SAGITTAL) or keyword == "PixelSpacing", keyword
            assert keyword in MEANING or np.array_equal(result.array, array), (keyword, change)
        for file, original in originals.items():
            file.write_bytes(original)
    assert TRIED / 3 < refused < TRIED


def test_a_changed_attribute_of_a_frame_is_refused_or_read_right(tmp_path, caplog):
    groups_and_keywords = [
        ("PlanePositionSequence", "ImagePositionPatient"),
        ("MREchoSequence", "EffectiveEchoTime"),
    ]
    for (name, keyword), change in itertools.product(
        groups_and_keywords, ["missing", "empty", "huge", *VALUES]
    ):

        def damage(header, name=name, keyword=keyword, change=change):
            frame = header.PerFrameFunctionalGroupsSequence[1]
            change_header(frame[name][0], element(keyword, change), tag_for_keyword(keyword))

        write_enhanced(tmp_path / "scan", make_array(SHAPE), change=damage)
        result = read_and_write(tmp_path / "scan", tmp_path / "out")
        assert isinstance(result, str), (keyword, change)
        assert result.startswith("expected")
        assert not any(secret in result + caplog.text for secret in SECRETS)
