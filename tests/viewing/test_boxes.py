from dataclasses import replace

import numpy as np
import pytest
from small_scans import knee

from mrsr_tf.viewing.boxes import T2_STEP_MS, box_around
from mrsr_tf.volume import Volume


def test_a_box_is_turned_upright():
    scan, _, _ = knee(shape=(6, 5, 4))
    box = box_around(scan, (3, 2, 2), 2)
    assert box.spacing_mm == pytest.approx((0.4, 0.5, 1.6))
    # Rows run to inferior and columns to posterior; slices of this right knee run to the left.
    np.testing.assert_array_equal(box.cut(scan.array[..., 0]), scan.array[..., 0])
    turned = replace(scan, affine=scan.affine @ np.diag([-1, 1, -1, 1]))
    np.testing.assert_array_equal(
        box_around(turned, (3, 2, 2), 2).cut(scan.array[..., 0]), scan.array[::-1, :, ::-1, 0]
    )


@pytest.mark.parametrize("centre", [(0, 0, 0), (39, 39, 9), (20, 20, 5)])
def test_a_box_is_a_cube_within_the_scan_and_the_budget(centre):
    array = np.ones((40, 40, 10, 2), np.float32)
    box = box_around(Volume(array, np.diag([1.0, 1, 2, 1])), centre, 3, samples=3 * 2 * 1000)
    shape = box.cut(array[..., 0]).shape
    assert all(
        0 <= part.start < part.stop <= n for part, n in zip(box.inside, array.shape, strict=False)
    )
    assert 0.8 * 1000 < np.prod(shape) <= 1000
    sides = [part.stop - part.start for part in box.inside]
    assert sides[0] == sides[1]
    assert abs(sides[0] - 2 * sides[2]) <= 2 or sides[2] == 10


def test_a_box_is_the_whole_scan_where_the_budget_allows_it():
    array = np.ones((7, 6, 5, 2), np.float32)
    box = box_around(
        Volume(array, np.diag([0.4, 0.4, 0.7, 1])), (3, 3, 2), 2, samples=4 * 7 * 6 * 5
    )
    assert box.inside == (slice(0, 7), slice(0, 6), slice(0, 5))


def test_gray_levels_and_t2_are_within_half_a_step():
    scan, _, t2_ms = knee(shape=(6, 5, 4))
    t2_ms[0, 0, 0] = np.nan
    box = box_around(scan, (3, 2, 2), 1)
    steps = box.t2(t2_ms)[0]
    assert steps[0, 0, 0] == 0
    error_ms = T2_STEP_MS * steps - t2_ms
    assert np.nanmax(np.abs(error_ms[1:])) <= 0.5001 * T2_STEP_MS
    expected = np.clip(scan.array[..., 1] / np.percentile(scan.array[..., 1], 99.9), 0, 1) ** 0.6
    for white in (127, 255):
        grays = box.images(scan.array, white)[1]
        assert np.abs(grays / white - expected).max() <= 0.501 / white
