"""Intensities: the scale of each image, padding, and what must be refused."""

import numpy as np
import pytest
from dicom_studies import write_enhanced, write_study
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from random_scans import make_array

from mrsr_tf.errors import InputError
from mrsr_tf.io import dicom

SHAPE = (4, 5, 3)
STORED = make_array(SHAPE)
PHILIPS = "Philips MR Imaging DD 001"


def read(folder, change, array=STORED):
    return dicom.read_series(write_study(folder, array, change=change)).array


def frames_of(header):
    """Each frame's functional groups, with its slice and its echo."""
    for number, groups in enumerate(header.PerFrameFunctionalGroupsSequence):
        yield groups, SHAPE[2] - 1 - number // 2, number % 2


def test_frames_have_their_own_slopes(tmp_path):
    def rescale(header):
        for groups, index, echo in frames_of(header):
            item = Dataset()
            item.RescaleSlope, item.RescaleIntercept = str(0.5 + index), str(-7 * echo)
            groups.PixelValueTransformationSequence = [item]

    write_enhanced(tmp_path, STORED, change=rescale)
    slopes = np.arange(3)[:, None] + 0.5
    np.testing.assert_array_equal(
        dicom.read_series(tmp_path).array, STORED * slopes + np.array([0, -7])
    )


@pytest.mark.parametrize("empty", [None, ""])
def test_empty_slopes_and_intercepts_are_1_and_0(tmp_path, empty):
    def rescale(header, index, echo):
        header.RescaleSlope = header.RescaleIntercept = empty

    np.testing.assert_array_equal(read(tmp_path, rescale), STORED)


def philips(header, scale_slope, rescale_slope, intercept=0.0):
    header.private_block(0x2005, PHILIPS, create=True).add_new(0x0E, "FL", scale_slope)
    header.RescaleSlope, header.RescaleIntercept = str(rescale_slope), str(intercept)


def test_the_scale_slope_of_philips_makes_images_comparable(tmp_path):
    """(stored x RS + RI) / (RS x SS)."""

    def rescale(header, index, echo):
        philips(header, [0.25, 0.5][echo], [2.5, 4][echo], [0, -8][echo])

    expected = [STORED[..., 0] / 0.25, (STORED[..., 1] * 4.0 - 8) / (4 * 0.5)]
    np.testing.assert_allclose(read(tmp_path, rescale), np.stack(expected, -1), rtol=1e-6)


def test_frames_of_philips_have_their_scale_slope_in_a_private_sequence(tmp_path):
    def rescale(header):
        for groups, _, echo in frames_of(header):
            item = Dataset()
            philips(item, [0.25, 0.5][echo], "999")  # only the frame's own RescaleSlope counts
            block = groups.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
            block.add_new(0x0F, "SQ", Sequence([item]))

    write_enhanced(tmp_path, STORED, change=rescale)
    np.testing.assert_allclose(dicom.read_series(tmp_path).array, STORED / np.array([0.25, 0.5]))


def test_a_scale_slope_in_some_images_only_is_refused(tmp_path):
    def rescale(header, index, echo):
        if echo == 1:
            philips(header, 0.5, 2)

    with pytest.raises(InputError, match="expected one kind of scale"):
        read(tmp_path, rescale)


@pytest.mark.parametrize(
    ("slope", "scale_slope", "factor"), [(None, None, 3), ("2", None, 2), ("2", 0.5, 2)]
)
def test_a_real_world_slope_counts_only_where_nothing_else_does(
    tmp_path, slope, scale_slope, factor
):
    def rescale(header, index, echo):
        mapping = Dataset()
        mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept = 3.0, 0.0
        header.RealWorldValueMappingSequence = [mapping]
        header.RescaleSlope = slope
        if scale_slope:
            philips(header, scale_slope, slope)

    np.testing.assert_array_equal(read(tmp_path, rescale), STORED * factor)


def test_a_lookup_table_is_refused(tmp_path):
    def look_up(header, index, echo):
        table = Dataset()
        table.LUTDescriptor, table.ModalityLUTType = [4, 0, 16], "US"
        table.add_new("LUTData", "US", [0, 5, 9, 11])
        header.ModalityLUTSequence = [table]

    with pytest.raises(InputError, match="expected a RescaleSlope, got a ModalityLUTSequence"):
        read(tmp_path, look_up)


@pytest.mark.parametrize(
    ("padding", "limit", "inside"),
    [
        (-1000, None, [-999, 0, 7]),
        (-1000, -990, [-989, 0, 7]),
        (-990, -1000, [-989, -1001, 7]),
        (64536, None, [-999, 0, 7]),  # -1000 as unsigned, as many files have it
    ],
)
def test_padding_is_background_and_counted(tmp_path, caplog, padding, limit, inside):
    def pad(header, index, echo):
        header.RescaleIntercept = "100"
        for keyword, value in (("PixelPaddingValue", padding), ("PixelPaddingRangeLimit", limit)):
            if value is not None:
                vr = "SS" if value < 0 else "US"
                header.add_new(keyword, vr, value)

    stored = STORED.copy()
    stored[0, :, :, 0] = -1000
    stored[1, :3, 0, 0] = inside
    array = read(tmp_path, pad, stored)
    assert not array[0, :, :, 0].any()
    np.testing.assert_array_equal(array[1:], stored[1:] + 100)
    assert f"15 padded voxels are set to 0 in {tmp_path}" in caplog.text


def test_inverted_display_does_not_change_intensities(tmp_path):
    def invert(header, index, echo):
        header.PhotometricInterpretation = "MONOCHROME1"

    np.testing.assert_array_equal(read(tmp_path, invert), STORED)


# Magnitude


def part_by_image_type(header, part):
    header.ImageType = ["ORIGINAL", "PRIMARY", {"magnitude": "M", "phase": "P"}[part], "ND"]


def part_of_philips(header, part):
    values = {"magnitude": ["M_FFE", "M"], "phase": ["PHASE MAP", "P"]}[part]
    header.ImageType = ["ORIGINAL", "PRIMARY", *values, "FFE"]


def part_by_component(header, part):
    header.ComplexImageComponent = part.upper()


def part_of_ge(header, part):
    block = header.private_block(0x0043, "GEMS_PARM_01", create=True)
    block.add_new(0x2F, "SS", ["magnitude", "phase"].index(part))


PARTS = [part_by_image_type, part_of_philips, part_by_component, part_of_ge]


@pytest.mark.parametrize("set_part", PARTS)
def test_the_magnitude_is_taken_and_the_phase_counted(tmp_path, caplog, set_part):
    array = np.concatenate([STORED, -STORED], axis=2)  # slices 3 to 5 are the phase of 0 to 2

    def mark(header, index, echo):
        set_part(header, "phase" if index >= 3 else "magnitude")
        header.ImagePositionPatient = [f"{35.25 - 1.5 * (index % 3)}", "-68.125", "79.75"]

    volume = read(tmp_path, mark, array)
    np.testing.assert_array_equal(np.sort(volume, axis=None), np.sort(STORED, axis=None))
    assert "6 DICOM image of phase" in caplog.text


@pytest.mark.parametrize("set_part", PARTS)
def test_a_phase_alone_is_refused(tmp_path, set_part):
    with pytest.raises(InputError, match="expected MR images, found 6 DICOM image of phase in"):
        read(tmp_path, lambda header, index, echo: set_part(header, "phase"))


def test_frames_of_phase_are_left_out(tmp_path, caplog):
    def mark(header):
        for groups, _, echo in frames_of(header):
            item = Dataset()
            item.ComplexImageComponent = ["MAGNITUDE", "REAL"][echo]
            groups.MRImageFrameTypeSequence = [item]

    write_enhanced(tmp_path, STORED, change=mark)
    np.testing.assert_array_equal(dicom.read_series(tmp_path).array, STORED[..., :1])
    assert "3 DICOM image of real" in caplog.text


def test_a_mosaic_is_refused(tmp_path):
    def mark(header, index, echo):
        header.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]

    with pytest.raises(InputError, match="found 6 DICOM mosaic of many slices"):
        read(tmp_path, mark)
