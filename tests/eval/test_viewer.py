import base64
import json
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_scans import knee, t2_rows, write_results

from eval.reporting import html as page
from eval.reporting.viewer import viewer
from eval.results import planes, rows, viewer_boxes
from eval.results.planes import IMAGES, T2_MAPS, Picture
from mrsr_tf.volume import Volume

SCRIPT = Path(page.__file__).parent / "templates" / "viewer.js"
EVIL = "</script><script>alert(1)</script>"


def decoded(coded: np.ndarray) -> np.ndarray:
    """Voxel by voxel, from the description of the code alone."""
    values = np.zeros(coded.shape, int)
    for down, back, left in np.ndindex(coded.shape):
        above = values[down - 1, back, left] if down else 0
        before = values[down, back - 1, left] if back else 0
        values[down, back, left] = (int(coded[down, back, left]) + (above + before) // 2) % 256
    return values


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (4, 1, 2), (1, 5, 1)])
def test_what_was_coded_is_decoded_to_the_same_bytes(shape):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(decoded(viewer_boxes.coded(values)), values)


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js to run the page's script")
def test_the_pages_script_decodes_what_was_packed():
    values = np.random.default_rng(1).integers(0, 256, (4, 3, 5), dtype=np.uint8)
    packed = base64.b64encode(zlib.compress(viewer_boxes.coded(values).tobytes())).decode()
    call = f"inflated('{packed}').then((v) => console.log(decoded(v, [4, 3, 5]).join()))"
    run = subprocess.run(
        ["node", "-e", SCRIPT.read_text(encoding="utf-8") + call],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert [int(value) for value in run.stdout.split(",")] == values.ravel().tolist()


def test_a_box_is_turned_upright():
    scan, _, _ = knee(shape=(6, 5, 4))
    cut = viewer_boxes.box(scan, (3, 2, 2), 2)
    assert cut.spacing_mm == pytest.approx((0.4, 0.5, 1.6))
    # Rows run to inferior and columns to posterior; slices of this right knee run to the left.
    np.testing.assert_array_equal(cut.cut(scan.array[..., 0]), scan.array[..., 0])
    turned = replace(scan, affine=scan.affine @ np.diag([-1, 1, -1, 1]))
    np.testing.assert_array_equal(
        viewer_boxes.box(turned, (3, 2, 2), 2).cut(scan.array[..., 0]), scan.array[::-1, :, ::-1, 0]
    )


@pytest.mark.parametrize("centre", [(0, 0, 0), (39, 39, 9), (20, 20, 5)])
def test_a_box_is_a_cube_that_lies_within_the_scan_and_the_budget(monkeypatch, centre):
    monkeypatch.setattr(viewer_boxes, "SAMPLES", 3 * 2 * 1000)
    array = np.ones((40, 40, 10, 2), np.float32)
    cut = viewer_boxes.box(Volume(array, np.diag([1.0, 1, 2, 1])), centre, 3)
    shape = cut.cut(array[..., 0]).shape
    assert all(
        0 <= part.start < part.stop <= n for part, n in zip(cut.inside, array.shape, strict=False)
    )
    assert 0.8 * 1000 < np.prod(shape) <= 1000
    sides = [part.stop - part.start for part in cut.inside]
    assert sides[0] == sides[1]
    assert abs(sides[0] - 2 * sides[2]) <= 2 or sides[2] == 10


def test_grays_and_t2_are_within_half_a_step():
    scan, _, t2_ms = knee(shape=(6, 5, 4))
    t2_ms[0, 0, 0] = np.nan
    cut = viewer_boxes.box(scan, (3, 2, 2), 1)
    steps = decoded(cut.t2(t2_ms)[0])
    assert steps[0, 0, 0] == 0
    known = np.isfinite(t2_ms)
    assert (
        np.abs(viewer_boxes.T2_STEP_MS * steps - t2_ms)[known].max()
        <= 0.5001 * viewer_boxes.T2_STEP_MS
    )
    grays = decoded(cut.images(scan.array)[1])
    expected = np.clip(scan.array[..., 1] / np.percentile(scan.array[..., 1], 99.9), 0, 1) ** 0.6
    assert np.abs(grays / 127 - expected).max() <= 0.501 / 127


def shown(tmp_path, boxes: list[Picture], subject: str = "s0"):
    folder = write_results(tmp_path / "t2", "t2", t2_rows([35.0], {"tci": [36.0]}))
    planes.save(folder / "reformats" / f"{subject}.npz", boxes)
    return rows.read(folder)


def a_box(view: str, names: list[str], echoes: int) -> Picture:
    panel = np.zeros((echoes, 2, 3, 4), np.uint8)
    return Picture(view, (0.5, 1.0, 2.0), dict.fromkeys(names, panel))


def test_results_without_boxes_have_no_viewer(tmp_path):
    plane = Picture("t2", (1.0, 1.0), {"s1": np.zeros((2, 2))})
    assert viewer(shown(tmp_path, [plane]), "s0") is None


def test_planes_have_the_scans_own_aspect_and_the_thick_scan_comes_first(tmp_path):
    boxes = [a_box(IMAGES, ["thick", "tci"], 2), a_box(T2_MAPS, ["thick", "truth", "tci"], 1)]
    made = viewer(shown(tmp_path, boxes), "s0")
    assert list(made.names) == ["thick", "tci", "truth"]
    assert made.data["shape"] == [2, 3, 4]
    assert [(p.view, p.width_mm, p.height_mm, p.count) for p in made.planes] == [
        ("sagittal", 3.0, 1.0, 4),
        ("coronal", 8.0, 1.0, 3),
        ("axial", 8.0, 3.0, 2),
    ]
    assert [p.letters for p in made.planes] == ["SIAP", "SIRL", "APRL"]


def test_names_cannot_end_the_script_that_holds_the_data(tmp_path):
    made = viewer(shown(tmp_path, [a_box(IMAGES, ["tci", "a"], 1)]), "s0")
    hostile = replace(made, names={EVIL: EVIL}, caption=EVIL, data={**made.data, "under": EVIL})
    section = page.Section(
        "t2",
        [],
        [],
        {},
        {},
        hostile,
        "",
        {},
        {"model": None, "combination": ""}
        | {"t1_ms": [], "roi": [], "t2_method": "", "outliers": ""},
        {},
    )
    html = page.html([section], {"mrsr_tf": "0"})
    assert "alert(1)</script>" not in html
    data = html.split('<script type="application/json">')[1].split("</script>")[0]
    assert json.loads(data)["under"] == EVIL


def test_the_viewer_asks_nothing_of_a_network():
    assert not any(word in SCRIPT.read_text() for word in ("http", "fetch", "import", "XMLHttp"))
