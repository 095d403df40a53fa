"""The anatomy of the knee: surfaces, structures, findings and tissues."""

import itertools

import numpy as np
import pytest
from knee_grids import STILL, grid, knee_of, points, sagittal

from phantom.anatomy.implicit_surfaces import (
    column,
    cord,
    ellipsoid,
    first_hit,
    smooth_max,
    smooth_min,
    two_least,
    union,
)
from phantom.anatomy.knee import BEND_FROM_MM, labels, paint
from phantom.anatomy.texture import foam, random_texture
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS, TISSUES, cartilage_values
from phantom.scanner.partial_volume import scan_knee


@pytest.fixture(scope="module")
def knee():
    return knee_of(0, 0, 0)


def test_a_cord_is_as_thick_as_asked_and_a_band_as_wide():
    band = union(*cord([(0, 0, -20), (0, 0, 0), (0, 0, 20)], 1.0, (0, 1, 0), 6))
    inside = band(points([0.95, 1.05, 0, 0], [0, 0, 5.9, 6.1], 3.0)) < 0
    assert inside.tolist() == [True, False, True, False]


def test_the_segments_of_a_bent_band_leave_no_gap():
    band = union(*cord([(0, 0, -20), (0, 3, 0), (0, -3, 20)], 0.5, (0, 1, 0.2), 10))
    z = np.linspace(-15, 15, 400)
    middle = np.interp(z, (-20, 0, 20), (0, 3, -3))
    assert (band(points(0.0, middle + 1.5, z)) < 0).all()


def test_a_column_ends_where_its_width_does():
    belly = column(
        z=[-10, 0, 10], x=[0, 1, 2], y=[0, 0, 0], half_width=[0, 4, 0], half_depth=[0, 4, 0]
    )
    assert (belly(points(1.0, 0.0, 0.0)) < -3.5).all()
    assert (belly(points(1.0, 0.0, [-10.5, 10.5, 60])) > 0).all()


def test_rounded_edges_only_add_where_bodies_meet_and_only_cut_where_they_intersect():
    a, b = np.float32([-3, 0, 0.5, 5]), np.float32([4, 0, 0.2, -5])
    assert np.all(smooth_min(a, b, 2.0) <= np.minimum(a, b))
    assert np.all(smooth_max(a, b, 2.0) >= np.maximum(a, b))
    assert smooth_min(a, b, 2.0)[[0, 3]].tolist() == [-3, -5]


def test_the_two_least_values_are_those_of_a_sort():
    values = np.random.default_rng(0).integers(0, 9, (5, 200))
    assert np.array_equal(two_least(values), np.sort(values, axis=0)[:2])


def test_the_first_hit_of_a_sphere_is_on_its_surface():
    sphere = ellipsoid((1, 2, 3), (5, 5, 5))
    assert first_hit(sphere, (1, 2, 20), (1, 2, 3)) == pytest.approx([1, 2, 8], abs=0.06)


def test_a_texture_repeats_without_a_seam_and_has_unit_spread():
    texture = random_texture(np.random.default_rng(1), (1.0, 1.0, 1.0), 2.0)
    at = grid(3.0)
    assert texture.sample(at.axes).std() == pytest.approx(1, abs=0.3)
    beyond = points(at.x + 96, at.y, at.z)
    assert texture.sample(beyond.axes) == pytest.approx(texture.sample(at.axes), abs=1e-3)


def test_a_texture_is_averaged_over_the_box_of_a_voxel():
    texture = random_texture(np.random.default_rng(2), (0.3, 0.3, 0.3), 1.0)
    offsets = (np.arange(24) + 0.5) / 24 - 0.5
    box = np.meshgrid(offsets * 1.2, offsets * 0.9, offsets * 1.5)
    for middle in ((3.0, 4.5, 6.0), (12.3, 0.6, 9.9)):
        fine = texture.sample([(axis + m).ravel() for axis, m in zip(box, middle, strict=True)])
        mean = texture.sample([np.float32([m]) for m in middle], (1.2, 0.9, 1.5))
        assert mean[0] == pytest.approx(fine.mean(), abs=0.05)


@pytest.mark.parametrize(("dimensions", "samples"), [(2, 256), (3, 64)])
def test_cells_of_a_foam_are_as_large_and_their_walls_as_thick_as_asked(dimensions, samples):
    """Lines through a Poisson-Voronoi diagram cross 1.27 walls per cell in 2-D and 1.46 in 3-D.

    The length of edges per area is 2 per root of the mean cell area, and the area of walls per
    volume 2.91 per cube root (Okabe et al., Spatial Tessellations): times thickness, this is the
    share of walls.
    """
    walls = foam(
        np.random.default_rng(0), dimensions=dimensions, cell_mm=3.0, wall_mm=0.3, step_mm=0.2,
        samples=samples,
    )  # fmt: skip
    per_cell = {2: 2.0, 3: 2.91}[dimensions]
    assert walls.mean() == pytest.approx(per_cell * 0.3 / 3.0, rel=0.15)
    assert 0 <= walls.min() < walls.max() <= 1


def test_t2_of_cartilage_falls_towards_the_bone():
    t1, t2, m0 = cartilage_values(np.float32([0, 0.25, 0.75, 1]))
    assert t2[1:3] == pytest.approx([46, 27])
    assert np.all(np.diff(t2) < 0)
    assert np.all((t1 > 1150) & (t1 < 1300) & (m0 > 0.6) & (m0 < 0.9))


def test_all_cartilage_of_a_knee_follows_its_own_t2_level(knee, monkeypatch):
    def t2():
        scan = scan_knee(knee, sagittal((30, 30, 8), (0.8, 0.8, 1.5)), (30, 30, 8), STILL)
        return scan.t2_ms[scan.label >= FIRST_CARTILAGE]

    monkeypatch.setattr(knee, "findings", [])
    monkeypatch.setattr(knee, "cartilage_t2", 1.0)
    reference = t2()
    monkeypatch.setattr(knee, "cartilage_t2", 1.2)
    assert len(reference) > 100
    assert t2() == pytest.approx(1.2 * reference, rel=1e-3)


def labels_of(knee, step):
    at = grid(step)
    return labels(knee.structures, paint(at, knee.structures)[0])


@pytest.mark.parametrize("seed", range(3))
def test_every_knee_has_all_its_parts(seed):
    counts = np.bincount(labels_of(knee_of(seed, 0), 2.0), minlength=len(TISSUES))
    optional = {"bone_marrow_lesion", "cyst"}
    assert {t.name for t, n in zip(TISSUES, counts, strict=True) if n == 0} <= optional


def test_knees_of_different_seeds_differ():
    reference_knees = [labels_of(knee_of(seed, 0), 4.0) for seed in range(3)]
    for a, b in itertools.combinations(reference_knees, 2):
        assert (a != b).mean() > 0.05


def test_positions_in_the_knee_and_in_the_reference_knee_are_inverse(knee):
    reference = (10.0, -20.0, 15.0)
    coordinates = (np.float32([axis]) for axis in knee.from_reference(reference))
    position = knee.to_reference(*coordinates)
    assert np.array([position.x[0], position.y[0], position.z[0]]) == pytest.approx(
        reference, abs=1e-3
    )


def test_flexion_bends_the_leg_backwards_below_the_cartilage_alone(knee, monkeypatch):
    def reference(flexion_deg):
        monkeypatch.setattr(knee, "flexion_deg", flexion_deg)
        z = np.float32([60, 0, BEND_FROM_MM, -100]) * np.float32(knee.size)
        return np.stack(knee.to_reference(0 * z, 0 * z, z).axes, axis=1)

    moved = reference(12.0) - reference(0.0)
    assert moved[:3] == pytest.approx(0, abs=1e-4)
    assert moved[3, 1] == pytest.approx(-(100 - 9 - 20) * np.tan(np.deg2rad(12)), abs=3)


def test_labels_name_every_compartment_and_layer():
    cartilage = {name for name, label in LABELS.items() if label >= FIRST_CARTILAGE}
    sides = [f"{side}_{bone}" for side in ("medial", "lateral") for bone in ("femoral", "tibial")]
    assert cartilage == {
        f"{where}_cartilage_{layer}"
        for where in [*sides, "patellar"]
        for layer in ("deep", "superficial")
    }
