import base64
import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from small_scans import knee, t2_rows, write_results

from eval.reporting import html, sections
from eval.reporting.summaries import summarize
from eval.results import viewer_boxes
from eval.results.planes import IMAGES, T2_MAPS, Picture, save_pictures
from eval.results.rows import read_results
from mrsr_tf.volume import Volume

SCRIPT = Path(html.__file__).parent / "templates" / "viewer.js"
EVIL = "</script><script>alert(1)</script>"


def section_of(tmp_path, boxes: list[Picture]) -> sections.Section:
    """The section in the report of results with these boxes."""
    configuration = {"roi": [], "t1_ms": [], "t2_method": "exact", "outliers": "none"}
    configuration["combination"] = "covering"
    rows = t2_rows([35.0], {"tci": [36.0]})
    folder = write_results(tmp_path / "t2", "t2", rows, **configuration)
    flat = Picture("unrolled", (1.0, 1.0), {"thick": np.ones((2, 2))})
    save_pictures(folder / "reformats" / "s0.npz", [flat, *boxes])
    results = read_results(folder)
    return sections.section(results, summarize(results))


def make_box(view: str, names: list[str], echoes: int) -> Picture:
    panel = np.zeros((echoes, 2, 3, 4), np.uint8)
    return Picture(view, (0.5, 1.0, 2.0), dict.fromkeys(names, panel))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (4, 1, 2), (1, 5, 1)])
def test_the_pixels_of_a_volumes_png_are_its_voxels_in_order(tmp_path, shape):
    echoes = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    box = Picture(IMAGES, (0.5, 1.0, 2.0), {"tci": echoes})
    pngs = section_of(tmp_path, [box]).viewer.data["images"]["tci"]
    for png, echo in zip(pngs, echoes, strict=True):
        with Image.open(BytesIO(base64.b64decode(png))) as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.asarray(image).ravel(), echo.ravel())


def test_a_box_is_turned_upright():
    scan, _, _ = knee(shape=(6, 5, 4))
    box = viewer_boxes.box_around(scan, (3, 2, 2), 2)
    assert box.spacing_mm == pytest.approx((0.4, 0.5, 1.6))
    # Rows run to inferior and columns to posterior; slices of this right knee run to the left.
    np.testing.assert_array_equal(box.cut(scan.array[..., 0]), scan.array[..., 0])
    turned = replace(scan, affine=scan.affine @ np.diag([-1, 1, -1, 1]))
    np.testing.assert_array_equal(
        viewer_boxes.box_around(turned, (3, 2, 2), 2).cut(scan.array[..., 0]),
        scan.array[::-1, :, ::-1, 0],
    )


@pytest.mark.parametrize("centre", [(0, 0, 0), (39, 39, 9), (20, 20, 5)])
def test_a_box_is_a_cube_within_the_scan_and_the_budget(monkeypatch, centre):
    monkeypatch.setattr(viewer_boxes, "SAMPLES", 3 * 2 * 1000)
    array = np.ones((40, 40, 10, 2), np.float32)
    box = viewer_boxes.box_around(Volume(array, np.diag([1.0, 1, 2, 1])), centre, 3)
    shape = box.cut(array[..., 0]).shape
    assert all(
        0 <= part.start < part.stop <= n for part, n in zip(box.inside, array.shape, strict=False)
    )
    assert 0.8 * 1000 < np.prod(shape) <= 1000
    sides = [part.stop - part.start for part in box.inside]
    assert sides[0] == sides[1]
    assert abs(sides[0] - 2 * sides[2]) <= 2 or sides[2] == 10


def test_gray_levels_and_t2_are_within_half_a_step():
    scan, _, t2_ms = knee(shape=(6, 5, 4))
    t2_ms[0, 0, 0] = np.nan
    box = viewer_boxes.box_around(scan, (3, 2, 2), 1)
    steps = box.t2(t2_ms)[0]
    assert steps[0, 0, 0] == 0
    error_ms = viewer_boxes.T2_STEP_MS * steps - t2_ms
    assert np.nanmax(np.abs(error_ms[1:])) <= 0.5001 * viewer_boxes.T2_STEP_MS
    grays = box.images(scan.array)[1]
    expected = np.clip(scan.array[..., 1] / np.percentile(scan.array[..., 1], 99.9), 0, 1) ** 0.6
    assert np.abs(grays / 127 - expected).max() <= 0.501 / 127


def test_results_without_boxes_have_no_viewer(tmp_path):
    assert section_of(tmp_path, []).viewer is None


def test_planes_have_the_scans_aspect_ratio_and_the_thick_scan_comes_first(tmp_path):
    boxes = [make_box(IMAGES, ["thick", "tci"], 2), make_box(T2_MAPS, ["thick", "truth", "tci"], 1)]
    shown = section_of(tmp_path, boxes).viewer
    assert list(shown.names) == ["thick", "tci", "truth"]
    assert shown.data["background"] == "thick"
    assert shown.data["shape"] == [2, 3, 4]
    assert [(p.view, p.width_mm, p.height_mm, p.count) for p in shown.planes] == [
        ("sagittal", 3.0, 1.0, 4),
        ("coronal", 8.0, 1.0, 3),
        ("axial", 8.0, 3.0, 2),
    ]
    assert [p.letters for p in shown.planes] == ["SIAP", "SIRL", "APRL"]


def test_names_cannot_end_the_script_that_holds_the_data(tmp_path):
    section = section_of(tmp_path, [make_box(IMAGES, [EVIL, "tci"], 1)])
    shown = replace(section, viewer=replace(section.viewer, caption=EVIL))
    page = html.page([shown], {"mrsr_tf": "0"})
    assert "alert(1)</script>" not in page
    data = page.split('<script type="application/json">')[1].split("</script>")[0]
    assert EVIL in json.loads(data)["images"]


def test_the_viewer_loads_nothing_from_a_network():
    assert not any(word in SCRIPT.read_text() for word in ("http", "fetch", "import", "XMLHttp"))
