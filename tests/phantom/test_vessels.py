"""Vessels: how they branch, where they run and how they are drawn."""

import numpy as np
import pytest
from knee_grids import points

from phantom.anatomy import skin, vessels
from phantom.anatomy.implicit_surfaces import complement, dilated, ellipsoid, intersection


def test_branches_of_vessels_obey_murrays_law_and_stay_in_their_region():
    ball = ellipsoid((0, 30, 0), (30, 30, 60))
    root = vessels.Root((0.0, 30.0, 0.0), (0.0, 0.0, 1.0), 1.2)
    places, radii = vessels.grow(np.random.default_rng(0), [root], ball)
    assert (ball(points(*places.T)) < 0).all()
    assert vessels.FINEST_MM < radii.min() < radii.max() == 1.2
    assert np.linalg.norm(places - root.position, axis=1).max() > 10
    cubes = np.unique(radii**3)[::-1]  # of every branch; the first two are the root and a child
    rest = cubes[0] - cubes[1]
    assert np.abs(cubes - rest).min() < 1e-9  # the other child


def test_drawn_tubes_are_as_far_as_their_walls():
    z = np.arange(-20, 20, 0.8)
    places = np.stack([0.13 + 0 * z, 20.21 + 0 * z, z], axis=1)
    tube = vessels.drawn(places, np.full(len(z), 1.0))
    x = np.linspace(0.13, 2.0, 12)
    exact = np.clip(x - 0.13 - 1.0, vessels.DEEPEST_MM, vessels.FARTHEST_MM)
    distance = tube(points(x, 20.21, 0.0))
    assert distance[3:] == pytest.approx(exact[3:], abs=0.1)
    assert distance[:3] == pytest.approx(exact[:3], abs=0.35)  # linear over the axis of the tube
    assert tube(points(40.0, 20.0, 0.0))[0] == pytest.approx(vessels.FARTHEST_MM, abs=0.01)


def test_tubes_that_overlap_or_leave_the_grid_are_drawn_as_one():
    places = np.array([[0.0, 0, 0], [0.6, 0, 0], [0, 0, vessels.HIGH_MM[2]], [0, 0, 95]])
    radii = np.array([1.0, 0.5, 0.3, 2.0])
    tube = vessels.drawn(places, radii)
    along = points(np.arange(-2, 2.5, 0.5), 0, 0)  # where the grid has samples
    distance = np.abs(along.x[:, None] - places[:2, 0]) - radii[:2]
    expected = np.clip(distance.min(axis=1), vessels.DEEPEST_MM, vessels.FARTHEST_MM)
    assert tube(along) == pytest.approx(expected, abs=0.006)
    assert tube(points(0, 0, vessels.HIGH_MM[2] - 0.5))[0] == pytest.approx(0.2, abs=0.006)


@pytest.mark.parametrize("seed", range(3))
def test_saphenous_veins_run_on_the_fascia_below_the_skin(seed):
    rng, fascia = np.random.default_rng(seed), skin.fascia()
    places, radii = vessels.saphenous_veins(rng, fascia)
    at = points(*places.T)
    assert fascia(at) == pytest.approx(radii + vessels.CLEARANCE_MM, abs=0.1)
    assert (skin.skin(rng, fascia, 5.0)(at) < -radii).all()
    great = places[:, 0] < -25
    assert great.any()
    assert (places[~great, 1] > 40).all()  # the small one is behind


def test_every_vessel_below_the_skin_leads_on_from_another_or_from_its_root():
    rng, fascia = np.random.default_rng(0), skin.fascia()
    layer = intersection(complement(fascia), dilated(fascia, 7.0))
    trunks, _ = vessels.saphenous_veins(rng, fascia)
    roots = vessels.superficial_roots(rng, layer, trunks)
    places, _ = vessels.grow(rng, roots, layer)
    later = places[len(roots) :: 40]
    gap = np.linalg.norm(later[:, None] - places, axis=2)
    gap[np.arange(len(later)), np.arange(len(later)) * 40 + len(roots)] = np.inf
    assert gap.min(axis=1).max() <= vessels.STEP_MM + 1e-6


@pytest.mark.parametrize("seed", range(3))
def test_artery_vein_and_nerve_lie_behind_each_other_and_do_not_meet(seed):
    trunks = vessels.trunks(np.random.default_rng(seed))
    at = points(*np.mgrid[-15:50:1.0, 15:60:1.0, -85:86:8.5].reshape(3, -1))
    bodies = {name: np.min([part(at) for part in parts], axis=0) for name, parts in trunks.items()}
    inside = np.array([body < 0 for body in bodies.values()])
    assert inside.any(axis=1).all()
    assert inside.sum(axis=0).max() == 1
    assert at.y[bodies["artery"] < 0].mean() < at.y[bodies["vein"] < 0].mean() - 3
