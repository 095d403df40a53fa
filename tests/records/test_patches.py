import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrsr_tf.errors import InputError
from mrsr_tf.records.patches import cut, positions, triple

RNG = np.random.default_rng(0)


def test_the_papers_volume_has_5625_patches():
    grid = positions((416, 416, 160))
    assert grid.shape == (25 * 25 * 9, 3)
    assert grid[0].tolist() == [0, 0, 0]
    assert grid[-1].tolist() == [384, 384, 128]


@pytest.mark.parametrize(
    ("length", "size", "stride", "starts"),
    [
        (9, 4, 3, [0, 3, 5]),
        (10, 4, 3, [0, 3, 6]),
        (4, 4, 3, [0]),
        (5, 4, 4, [0, 1]),
        (5, 4, 9, [0, 1]),
        (48, 32, 16, [0, 16]),
        (49, 32, 16, [0, 16, 17]),
        (3, 1, 1, [0, 1, 2]),
    ],
)
def test_an_axis_has_its_multiples_of_the_stride_and_a_flush_end(length, size, stride, starts):
    for axis in range(3):
        shape, expected = [size] * 3, np.zeros((len(starts), 3), int)
        shape[axis], expected[:, axis] = length, starts
        np.testing.assert_array_equal(positions(shape, size, stride), expected)


def test_sizes_and_strides_may_differ_by_axis_and_the_slice_is_fastest():
    grid = positions((4, 5, 6), patch_size=(4, 2, 3), stride=(1, 3, 3))
    assert grid.tolist() == [[0, 0, 0], [0, 0, 3], [0, 3, 0], [0, 3, 3]]


@given(st.data())
def test_every_voxel_is_covered_and_no_patch_reaches_out_or_comes_twice(data):
    size = data.draw(st.tuples(*[st.integers(1, 5)] * 3))
    stride = tuple(data.draw(st.integers(1, n)) for n in size)
    shape = tuple(data.draw(st.integers(n, n + 9)) for n in size)
    grid = positions(shape, size, stride)
    covered = np.zeros(shape, bool)
    for start in grid:
        covered[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] = True
    assert covered.all()
    assert (grid >= 0).all()
    assert (grid + size <= shape).all()
    assert len(np.unique(grid, axis=0)) == len(grid)


@pytest.mark.parametrize("echoes", [(), (1,), (2,)])
def test_cut_gives_what_slicing_gives(echoes):
    array = RNG.normal(size=(9, 8, 7, *echoes)).astype(np.float32)
    grid = positions(array.shape[:3], (4, 3, 2), (2, 3, 1))
    patches = cut(array, grid, (4, 3, 2))
    assert patches.dtype == array.dtype
    assert patches.shape == (len(grid), 4, 3, 2, *echoes)
    for patch, (r, c, s) in zip(patches, grid, strict=True):
        np.testing.assert_array_equal(patch, array[r : r + 4, c : c + 3, s : s + 2])


@pytest.mark.parametrize("start", [(-1, 0, 0), (0, 6, 0), (0, 0, 9)])
def test_a_patch_outside_the_array_is_refused(start):
    with pytest.raises(InputError, match=r"expected patches \(4, 4, 4\) inside \(9, 9, 9\)"):
        cut(np.zeros((9, 9, 9)), np.array([(0, 0, 0), start]), 4)


@pytest.mark.parametrize("shape", [(31, 416, 160), (416, 31, 160), (416, 416, 1), (0, 32, 32)])
def test_a_volume_smaller_than_a_patch_is_refused(shape):
    with pytest.raises(InputError, match=r"at least one patch \(32, 32, 32\), got"):
        positions(shape)


def test_a_shape_of_another_number_of_axes_is_refused():
    with pytest.raises(InputError, match="rows, cols, slices"):
        positions((416, 416, 160, 2))


@pytest.mark.parametrize("value", [0, -1, 1.5, (1, 2), (1, 2, 3, 4), (4, 4, 0)])
def test_sizes_and_strides_that_are_not_positive_whole_numbers_are_refused(value):
    with pytest.raises(InputError, match="one positive whole number or three"):
        positions((9, 9, 9), value)
    with pytest.raises(InputError, match="expected a stride"):
        positions((9, 9, 9), 4, value)


def test_one_number_stands_for_three():
    assert triple(np.int64(32), "patch size") == triple([32, 32, 32], "patch size") == (32, 32, 32)
