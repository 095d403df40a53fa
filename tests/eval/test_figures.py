import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar
from small_scans import knee, sagittal_affine

from eval.reporting import figures, plots
from eval.reporting.style import render, save_figure
from eval.results.planes import Picture, load_pictures, reformats, save_pictures, upright_plane
from mrsr_tf.volume import Volume


def located(affine=None, shape=(6, 5, 4)) -> Volume:
    """A scan whose echoes hold each voxel's position in the patient: S1 to the left, S2 up."""
    affine = sagittal_affine() if affine is None else affine
    index = np.stack(np.indices(shape), axis=-1)
    position = index @ affine[:3, :3].T + affine[:3, 3]
    return Volume(position[..., [0, 2]], affine)


AXIAL = np.diag([1.0, 1, 1, 1])[:, [1, 0, 2, 3]]  # rows to posterior, columns to the left
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = sagittal_affine()[:3, :3]
OBLIQUE[:3, :3] = [[0.9, -0.1, 0.4], [0.1, 1.0, 0], [-0.4, 0, 0.9]] @ OBLIQUE[:3, :3]


@pytest.mark.parametrize("affine", [sagittal_affine(), OBLIQUE, AXIAL])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
def test_every_plane_is_upright_with_the_patients_right_to_the_left(affine, flips):
    affine = affine @ np.diag([*flips, 1.0])
    scan = located(affine)
    for axis in range(3):
        plane = upright_plane(scan, axis, 1)
        shown = plane.cut(scan.array)
        if plane.view in ("coronal", "axial"):
            assert (np.diff(shown[..., 0], axis=1) > 0).all()  # towards the patient's left
        if plane.view in ("coronal", "sagittal"):
            assert (np.diff(shown[..., 1], axis=0) < 0).all()  # downwards


def test_a_sagittal_scan_is_reformatted_to_a_coronal_and_an_axial_view_across_its_slices():
    scan, _, _ = knee()
    coronal, axial = reformats(scan)
    assert (coronal.view, axial.view) == ("coronal", "axial")
    assert coronal.cut(scan.array).shape == (24, 12, 2)
    assert axial.cut(scan.array).shape == (20, 12, 2)
    assert coronal.spacing_mm == pytest.approx((0.4, 1.6))
    assert axial.spacing_mm == pytest.approx((0.5, 1.6))


def test_the_plane_shown_is_the_one_that_changes_most_from_slice_to_slice():
    array = np.zeros((32, 32, 6, 1))
    array[17, 5, ::2] = 1
    array[2, 14, ::2] = 9  # outside the middle: not shown
    planes = reformats(Volume(array, sagittal_affine()))
    assert {plane.axis: plane.index for plane in planes} == {0: 17, 1: 14}


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 2, 1, 2), (2, 3, 7, 1)])
def test_a_scan_of_any_size_has_two_reformats(shape):
    scan = Volume(np.ones(shape), sagittal_affine())
    for plane in reformats(scan):
        assert plane.cut(scan.array).shape[-1] == shape[-1]


def test_saved_pictures_load_unchanged(tmp_path):
    panels = {"truth": np.ones((3, 2, 2)), "mrsr": np.zeros((3, 2, 2))}
    saved = [Picture("coronal", (0.4, 1.6), panels), Picture("axial", (0.5, 1.6), panels)]
    save_pictures(tmp_path / "s.npz", saved)
    loaded = load_pictures(tmp_path / "s.npz")
    assert [(p.view, p.spacing_mm, list(p.panels)) for p in loaded.values()] == [
        (p.view, p.spacing_mm, list(p.panels)) for p in saved
    ]
    np.testing.assert_array_equal(loaded["coronal"].panels["truth"], 1)


def reformat(shape=(40, 24, 2), spacing=(0.4, 0.8), methods=("fi", "mrsr")) -> figures.Figure:
    random = np.random.default_rng(0)
    truth = random.uniform(0, 1, shape)
    panels = {"truth": truth, "tci": truth + random.normal(0, 0.1, shape)}
    panels |= {method: truth + random.normal(0, 0.05, shape) for method in methods}
    return figures.reformat(Picture("coronal", spacing, panels))


def images(figure, cmap: str) -> list:
    """All images of a colour map, those in insets too."""
    axes = [child for ax in figure.axes for child in (ax, *ax.child_axes)]
    return [image for ax in axes for image in ax.images if image.get_cmap().name == cmap]


def test_input_methods_and_truth_share_one_window_and_differences_one_scale():
    figure = reformat()
    gray, differences = images(figure, "gray"), images(figure, "RdBu_r")
    assert len(gray) == 2 * 4 * 2  # echoes x panels, and an inset in each
    assert len(differences) == 2 * 3
    assert len({image.get_clim() for image in gray}) == 1
    assert len({image.get_clim() for image in differences}) == 1
    low, high = differences[0].get_clim()
    assert low == -high


def test_columns_run_from_the_input_to_the_truth_with_the_network_beside_it():
    titles = [ax.get_title() for ax in reformat().axes if ax.get_title()]
    assert titles == ["Input (TCI)", "FI", "MRSR", "Truth"]


@pytest.mark.parametrize(
    ("shape", "spacing"), [((40, 24, 2), (0.4, 0.8)), ((20, 90, 1), (0.4, 0.3))]
)
def test_a_panel_has_the_aspect_ratio_of_its_image(shape, spacing):
    figure = reformat(shape, spacing)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    rows, cols = ax.images[0].get_array().shape
    box = ax.get_window_extent()
    assert box.height / box.width == pytest.approx(
        rows * spacing[0] / (cols * spacing[1]), rel=0.02
    )


def scale_bar(figure) -> AnchoredSizeBar:
    (bar,) = figure.axes[0].findobj(AnchoredSizeBar)
    return bar


@pytest.mark.parametrize(("columns", "length_mm"), [(150, 20), (50, 10), (20, 5)])
def test_the_scale_bar_has_the_length_it_names_and_at_most_a_third_of_the_width(columns, length_mm):
    figure = reformat(shape=(200, columns, 2), spacing=(0.4, 0.8))
    bar, panel = scale_bar(figure), figure.axes[0]
    (line,) = bar.size_bar.get_children()
    assert bar.txt_label.get_text() == f"{length_mm} mm"
    assert line.get_width() * 0.8 == pytest.approx(length_mm)
    figure.draw_without_rendering()
    inside, whole = line.get_window_extent(), panel.get_window_extent()
    assert inside.width <= whole.width / 3
    assert whole.x0 <= inside.x0 < inside.x1 <= whole.x1


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 2), (11, 400, 1)])
def test_pictures_of_any_size_are_drawn(shape):
    assert render(reformat(shape), "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_an_input_equal_to_the_truth_is_drawn(value):
    same = np.full((8, 8, 1), value)
    figure = figures.reformat(Picture("axial", (1.0, 1.0), {"truth": same, "tci": same}))
    assert render(figure, "png").startswith(b"\x89PNG")


def t2_picture(**more) -> Picture:
    roi = np.zeros((30, 40), bool)
    roi[10:14, 8:30] = True
    t2 = np.where(np.indices(roi.shape)[1] == 9, np.nan, 40.0)
    panels = {"s1": np.ones(roi.shape), "roi": roi, "thick": t2, "mrsr": t2 + 3, **more}
    return Picture("t2", (0.4, 0.4), panels)


def test_t2_maps_share_one_scale_and_show_only_the_region():
    figure = figures.t2_maps(t2_picture())
    maps = images(figure, "viridis")
    assert len(maps) == 2
    assert len({image.get_clim() for image in maps}) == 1
    shown = ~maps[0].get_array().mask
    assert shown.sum() == 4 * 21  # the region without the column that is not a number
    (difference,) = images(figure, "RdBu_r")
    np.testing.assert_allclose(difference.get_array().compressed(), 3)


def test_the_true_t2_is_shown_where_it_is_known():
    figure = figures.t2_maps(t2_picture(truth=np.full((30, 40), 38.0)))
    assert "Truth" in [ax.get_title() for ax in figure.axes]


def test_dots_has_a_dot_per_subject_and_a_bar_at_the_mean():
    figure = plots.dots({"gain": {"mrsr": [1.0, 2.0, 6.0], "fi": [0.0, 0.1, 0.2]}})
    (ax,) = figure.axes
    _, dots, bar, *_ = ax.lines
    assert list(dots.get_xdata()) == [1.0, 2.0, 6.0]
    assert list(bar.get_xdata()) == [3.0, 3.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["MRSR", "FI"]


def test_a_figure_is_saved_as_png_and_svg_the_same_each_time(tmp_path):
    for folder in ("a", "b"):
        save_figure(plots.dots({"$x_$": {"mrsr": [1.0, 2.0]}}), tmp_path / folder, "gains")
    for name in ("gains.png", "gains.svg"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = (tmp_path / "a" / "gains.svg").read_text()
    ElementTree.fromstring(text)
    assert "$x_$" in text  # a dollar is a dollar


def test_panels_share_their_axis_on_request():
    values = {"T2 minus thick": {"mrsr": [1.0, 2.0]}, "T2 minus truth": {"mrsr": [30.0, 40.0]}}
    apart, together = plots.dots(values), plots.dots(values, shared_x=True)
    assert apart.axes[0].get_xlim() != apart.axes[1].get_xlim()
    assert together.axes[0].get_xlim() == together.axes[1].get_xlim()


def test_bland_altman_shows_differences_over_means_and_the_limits():
    reference, values = [30.0, 40.0, 50.0], [31.0, 42.0, 54.0]
    figure = plots.bland_altman(reference, {"mrsr": values, "tci": reference}, "the truth")
    ours = figure.axes[0]
    points = ours.lines[-1]
    np.testing.assert_allclose(points.get_xdata(), [30.5, 41, 52])
    np.testing.assert_allclose(points.get_ydata(), [1, 2, 4])
    (band,) = ours.patches
    low, high = band.get_y(), band.get_y() + band.get_height()
    half = 1.96 * np.std([1, 2, 4], ddof=1)
    np.testing.assert_allclose([low, high], [7 / 3 - half, 7 / 3 + half])
    assert figure.axes[1].get_ylim() == ours.get_ylim()


def test_maps_of_flat_cartilage_share_one_window_in_real_proportions():
    flat = np.full((60, 20), 40.0)
    flat[:5] = np.nan
    panels = {"thick": flat, "truth": flat, "mrsr": flat + 1}
    figure = figures.unrolled(Picture("unrolled", (0.5, 1.6), panels))
    maps = images(figure, "viridis")
    assert len(maps) == 3
    assert len({image.get_clim() for image in maps}) == 1
    figure.draw_without_rendering()
    boxes = [figure.axes[place].get_window_extent() for place in range(3)]
    assert boxes[0].height / boxes[0].width == pytest.approx(60 * 0.5 / (20 * 1.6), rel=0.02)
    assert len({(round(box.height), round(box.width), round(box.y0)) for box in boxes}) == 1


def test_flat_cartilage_has_its_scale_bar_below_and_its_colour_bar_beside():
    flat = np.full((60, 12), 40.0)
    panels = {"thick": flat, "truth": flat, "mrsr": flat + 1}
    figure = figures.unrolled(Picture("unrolled", (0.5, 1.6), panels))
    figure.draw_without_rendering()
    (line,) = scale_bar(figure).size_bar.get_children()
    for drawn in (line, scale_bar(figure).txt_label):
        extent = drawn.get_window_extent()
        assert 0 < extent.y0 < extent.y1 < figure.axes[0].get_window_extent().y0
    (colours,) = figure.axes[2].child_axes
    beside = colours.get_tightbbox()
    assert figure.axes[2].get_window_extent().x1 < beside.x0
    assert 0.95 * figure.bbox.x1 < beside.x1 < figure.bbox.x1
