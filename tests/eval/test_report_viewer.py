import json
from dataclasses import replace

import numpy as np
from small_scans import t2_rows, write_results

from eval.reporting import html, sections
from eval.reporting.summaries import summarize
from eval.results.planes import IMAGES, T2_MAPS, Picture, save_pictures
from eval.results.rows import read_results

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
