"""The page in a browser: keys, mouse and a narrow window change what it shows."""

import numpy as np
import pytest
from browser import CHROMIUM, Browser

from mrsr_tf.viewing.html import environment
from mrsr_tf.viewing.overlays import t2_overlay
from mrsr_tf.viewing.viewer import build_viewer

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
GRAY = (
    "viewers[0].planes[0].querySelector('canvas').getContext('2d').getImageData(2, 2, 1, 1).data[1]"
)
PLACE = "viewers[0].at.join()"
TEXT = "document.querySelector('output').textContent"
SHAPE = (8, 8, 8)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Uniform images of levels 100 (S1) and 40 (S2), and 200 and 60, with T2 of 40 ms over both."""
    images = {
        name: np.stack([np.full(SHAPE, level, np.uint8) for level in levels])
        for name, levels in (("a", (100, 40)), ("b", (200, 60)))
    }
    t2 = t2_overlay({name: np.full((1, *SHAPE), 100, np.uint8) for name in images})
    viewer = build_viewer(
        "look",
        {"a": "Interpolated", "b": "Super-resolved"},
        images,
        [t2],
        spacing_mm=(1.0, 1.0, 1.0),
        white=255,
        selected="b",
        caption="",
    )
    path = tmp_path_factory.mktemp("page") / "look.html"
    template = environment().get_template("look.html.jinja")
    path.write_text(template.render(configuration="{}", viewer=viewer, facts={"Slices": "4 → 8"}))
    return path


def test_keys_and_mouse_change_what_is_shown_and_nothing_is_loaded(page, tmp_path):
    with Browser(page, tmp_path / "profile") as browser:
        browser.wait_for(GRAY, 144)  # green of 40 ms in viridis
        assert browser.evaluate(TEXT).startswith("T2 40.0 ms at the crosshair")
        for key, gray in (("o", 200), ("f", 100), ("e", 40), (".", 42), ("2", 60), ("e", 200)):
            browser.press(key)
            browser.wait_for(GRAY, gray)
        browser.press("b")
        browser.wait_for(TEXT, "window -5 to 95 % of the brightest")
        browser.press("r")
        browser.wait_for(GRAY, 200)
        for key, place in (("ArrowDown", "5,4,4"), ("ArrowLeft", "5,3,4"), ("PageUp", "5,3,3")):
            browser.press(key)
            browser.wait_for(PLACE, place)
        box = browser.evaluate(
            "(({x, y, width, height}) => [x, y, width, height])"
            "(viewers[0].planes[0].getBoundingClientRect())"
        )
        points = [(box[0] + part * box[2], box[1] + part * box[3]) for part in (0.1, 0.9)]
        browser.drag(*points, "left")
        browser.wait_for(PLACE, "7,7,3")
        browser.drag(*points, "right")
        browser.wait_for(TEXT, "window 10 to 190 % of the brightest")
        assert browser.evaluate(PLACE) == "7,7,3"
        assert {request.partition(":")[0] for request in browser.requests} == {"data", "file"}


def test_the_image_before_is_dimmed_until_the_next_is_decoded(page, tmp_path):
    busy = "viewers[0].root.getAttribute('aria-busy')"
    opacity = "+getComputedStyle(viewers[0].planes[0].querySelector('canvas')).opacity"
    with Browser(page, tmp_path / "profile") as browser:
        browser.wait_for(busy, "false")
        assert browser.evaluate(opacity) == 1
        choice = "viewers[0].choices('echo')[1].click()"  # S2, which has not been shown
        assert browser.evaluate(f"{choice}, [{busy}, {opacity}]") == ["true", 0.3]
        browser.wait_for(f"[{busy}, {opacity}].join()", "false,1")


def test_a_phone_shows_the_whole_width(page, tmp_path):
    with Browser(page, tmp_path / "profile") as browser:
        size = {"width": 375, "height": 812, "deviceScaleFactor": 1, "mobile": True}
        browser.call("Emulation.setDeviceMetricsOverride", **size)
        browser.wait_for(GRAY, 144)
        assert browser.evaluate("document.documentElement.scrollWidth") == 375
        widths = browser.evaluate("viewers[0].planes.map((plane) => plane.clientWidth)")
        assert widths[0] > 1.9 * widths[1] > 250
