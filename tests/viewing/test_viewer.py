"""The viewer: what is embedded, and what viewer.js makes of it, run by Node where that is there."""

import base64
import json
import shutil
import subprocess
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mrsr_tf.viewing.html import TEMPLATES, environment
from mrsr_tf.viewing.overlays import T2_WINDOW_MS, deviation_overlay, t2_overlay
from mrsr_tf.viewing.viewer import Plane, Viewer, build_viewer

SCRIPT = (TEMPLATES / "viewer.js").read_text()
NODE = shutil.which("node")
# Beside the program: no element of the page is there, so no viewer starts.
HARNESS = """
globalThis.document = { querySelectorAll: () => [] };
(0, eval)(SCRIPT + "; globalThis.run = (input) => (BODY);");
process.stdout.write(JSON.stringify(run(JSON.parse(require("fs").readFileSync(0, "utf8")))));
"""


def make_viewer(images, overlays=(), **options) -> Viewer:
    names = {name: name.title() for name in images}
    settings = {"spacing_mm": (0.5, 1.0, 2.0), "white": 255, "caption": "", **options}
    return build_viewer("k", names, images, overlays, selected=next(iter(images)), **settings)


def make_levels(shape, echoes=2, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (echoes, *shape), dtype=np.uint8)


def decode(address: str, kind: str) -> np.ndarray:
    head, _, content = address.partition(",")
    assert head == f"data:image/{kind};base64"
    with Image.open(BytesIO(base64.b64decode(content))) as image:
        assert image.mode == "L"
        return np.asarray(image)


def run_script(expression: str, **values):
    """The value of an expression in the scope of viewer.js; it sees the values as `input`."""
    code = HARNESS.replace("SCRIPT", json.dumps(SCRIPT)).replace("BODY", expression)
    result = subprocess.run(
        [NODE, "-e", code], input=json.dumps(values), capture_output=True, text=True, check=True
    )
    return json.loads(result.stdout)


needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 5), (4, 1, 2), (1, 5, 1)])
def test_the_pictures_of_a_volume_are_its_sagittal_planes_without_loss(shape):
    levels = make_levels(shape)
    embedded = make_viewer({"tci": levels}).data["images"]["tci"]
    assert [len(planes) for planes in embedded] == [shape[2]] * 2
    for planes, echo in zip(embedded, levels, strict=True):
        decoded = np.stack([decode(plane, "png") for plane in planes], axis=-1)
        np.testing.assert_array_equal(decoded, echo)


def test_jpeg_is_used_for_images_and_deviations_and_never_for_t2():
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (2, 40, 1))[..., None]
    overlays = [t2_overlay({"tci": ramp[:1]}), deviation_overlay("SD", "ms", 5.0, {"tci": ramp})]
    data = make_viewer({"tci": ramp}, overlays, jpeg_quality=88).data
    t2, deviation = data["overlays"]
    np.testing.assert_array_equal(decode(t2["levels"]["tci"][0][0], "png"), ramp[0, ..., 0])
    for planes in (data["images"]["tci"], deviation["levels"]["tci"]):
        error = decode(planes[0][0], "jpeg").astype(float) - ramp[0, ..., 0]
        assert np.abs(error).max() <= 3


def test_t2_has_the_colour_of_its_place_in_the_window_and_none_where_there_is_no_t2():
    overlay = t2_overlay({})
    assert overlay.colours[0, 3] == 0
    assert (overlay.colours[1:, 3] == 255).all()
    ends = [overlay.colours[round(ms / overlay.step), :3].tolist() for ms in (0.4, T2_WINDOW_MS[1])]
    assert ends == [[68, 2, 85], [253, 231, 36]]  # both ends of viridis
    assert overlay.step * 250 == 100  # the longest T2 has a level


def test_a_deviation_is_the_more_opaque_the_larger():
    overlay = deviation_overlay("SD", "ms", 5.1, {})
    np.testing.assert_array_equal(overlay.colours[:, 3], np.arange(256))
    assert overlay.step == pytest.approx(0.02)
    assert overlay.window == (0.0, 5.1)


@pytest.mark.parametrize(("width_mm", "bar_mm"), [(160, 50), (112, 20), (13, 5), (1.0, 1)])
def test_the_scale_bar_is_a_round_length_that_fits(width_mm, bar_mm):
    assert Plane("axial", width_mm, 10.0, 3, "APRL").bar_mm == bar_mm


def test_the_markup_has_the_length_of_the_bar_and_one_key_for_each_thing_to_choose():
    levels = make_levels((40, 40, 40))
    template = environment().from_string(
        '{% import "viewer.html.jinja" as viewers %}{{ viewers.viewer_of(viewer) }}'
    )
    page = template.render(viewer=make_viewer({"a": levels, "b": levels}, [t2_overlay({})]))
    assert '<span class="millimetres" style="width: 25%">20 mm</span>' in page  # of 80 mm
    assert all(f"<kbd>{key}</kbd>" in page for key in "12f,.eowbdcsr")
    alone = template.render(viewer=make_viewer({"a": levels[:1]}))
    assert not any(f"<kbd>{key}</kbd>" in alone for key in "1f,.eo")


@needs_node
@pytest.mark.parametrize("view", ["sagittal", "coronal", "axial"])
def test_a_plane_shows_its_voxels_blended_and_overlaid(view):
    shape, at, weight, opacity = (3, 4, 5), (1, 2, 3), 0.25, 0.5
    left, right, values = (make_levels(shape, 1, seed)[0] for seed in range(3))
    values[left > 128] = 0
    colours = t2_overlay({}).colours
    in_order = [np.moveaxis(volume, 2, 0).ravel().tolist() for volume in (left, right, values)]
    rgba = run_script(
        "[...pixels(PLANES[input.view], input.at, input.shape, {left: input.left, right: "
        "input.right, weight: input.weight, values: input.values, colours: input.colours, opacity: "
        "input.opacity, grays: screenGrays(255, 0.6, WHOLE)})]",
        **{"view": view, "at": at, "shape": shape, "weight": weight, "opacity": opacity},
        **dict(zip(("left", "right", "values"), in_order, strict=True)),
        colours=colours.ravel().tolist(),
    )
    through = {"sagittal": 2, "coronal": 1, "axial": 0}[view]
    plane = [volume.take(at[through], through) for volume in (left, right, values)]
    gray = ((1 - weight) * plane[0] + weight * plane[1])[..., None]
    cover = opacity * (plane[2] > 0)[..., None]
    expected = (1 - cover) * gray + cover * colours[plane[2], :3]
    drawn = np.reshape(rgba, (*plane[0].shape, 4))
    assert np.abs(drawn[..., :3] - expected).max() <= 0.51
    assert (drawn[..., 3] == 255).all()


@needs_node
def test_a_window_spreads_its_intensities_over_all_grays():
    grays = run_script(
        "[...screenGrays(input.white, input.gamma, {centre: 0.3, width: 0.4})]",
        white=127,
        gamma=0.6,
    )
    intensity = (np.arange(128) / 127) ** (1 / 0.6)
    expected = 255 * np.clip((intensity - 0.1) / 0.4, 0, 1) ** 0.6
    np.testing.assert_allclose(grays[:128], expected, atol=1e-3)


def test_the_viewer_loads_nothing_from_a_network():
    assert not any(word in SCRIPT for word in ("http", "fetch", "import", "XMLHttp"))
