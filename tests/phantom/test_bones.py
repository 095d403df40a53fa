"""Shapes of the bones and thickness of their cartilage."""

import numpy as np
import pytest
from knee_grids import grid, points

from phantom.anatomy import bones, menisci

# Means of 686 people (Eckstein et al. 2010, PubMed 20691798), and of men and women in the patella.
PUBLISHED_MM = {
    "medial_tibial": 1.73,
    "lateral_tibial": 2.09,
    "medial_femoral": 1.86,
    "lateral_femoral": 1.77,
    "patellar": 2.51,
}
LEAST_MM = 0.35  # what counts as cartilage
AXIS_MM = np.array([0.0, bones.AXIS_Y, bones.AXIS_Z])


def lines(compartment, shape):
    """Starts of parallel or radial lines that cross an articular surface, and unit directions."""
    side = -1 if compartment.startswith("medial") else 1
    if compartment.endswith("femoral"):
        angle, x = np.meshgrid(np.deg2rad(np.arange(-55, 36, 5)), side * np.arange(6, 40, 2.5))
        angle, x = angle.ravel(), x.ravel()
        direction = np.stack([0 * angle, np.sin(angle), np.cos(angle)], axis=1)
        return AXIS_MM - 32 * direction + np.outer(x, [1, 0, 0]), direction
    across, along = (axis.ravel() for axis in np.mgrid[-24:25:3, -24:25:3])
    if compartment.endswith("tibial"):
        start = np.stack([side * (bones.PLATEAU_X + across * 0.8), 6 + along, 0 * across + 12], 1)
        return start, np.broadcast_to([0, 0, -1.0], start.shape)
    start = np.stack([across, 0 * across - 14, shape.patella_height + along], axis=1)
    return start, np.broadcast_to([0, -1.0, 0], start.shape)


def thickness_mm(compartment, joint, shape):
    """Thickness of the cartilage where each line enters a bone, 0 where it does not."""
    bone = joint[compartment.split("_")[-1]]
    start, direction = lines(compartment, shape)
    along = start[:, None] + np.arange(0, 24, 0.3)[:, None] * direction[:, None]
    inside = (bone.outer(points(*np.moveaxis(along, -1, 0))) < 0).reshape(along.shape[:2])
    surface = along[np.arange(len(along)), inside.argmax(axis=1)]
    return bone.thickness(points(*surface.T)) * inside.any(axis=1)


@pytest.fixture(scope="module")
def knees():
    shapes = [bones.Shape(np.random.default_rng(seed)) for seed in range(50)]
    return [(bones.joint(shape), shape) for shape in shapes]


@pytest.fixture(scope="module")
def maps(knees):
    """Maps of thickness by compartment, one row per knee."""
    return {name: np.stack([thickness_mm(name, *knee) for knee in knees]) for name in PUBLISHED_MM}


def means(thickness):
    return np.array([knee[knee > LEAST_MM].mean() for knee in thickness])


@pytest.mark.parametrize(("compartment", "published_mm"), PUBLISHED_MM.items())
def test_cartilage_is_as_thick_as_in_people_and_varies_as_much(compartment, published_mm, maps):
    thickness = means(maps[compartment])
    assert thickness.mean() == pytest.approx(published_mm, rel=0.07)
    assert 0.10 < thickness.std() / thickness.mean() < 0.18


def test_thickness_of_cartilage_is_correlated_between_plates_as_in_people(maps):
    correlation = np.corrcoef([means(thickness) for thickness in maps.values()])
    between = correlation[np.triu_indices(len(maps), 1)]
    assert 0.08 < between.min() < between.max() < 0.78


def test_no_two_knees_share_the_map_of_their_femoral_cartilage(maps):
    for compartment in ("medial_femoral", "lateral_femoral"):
        thickness = maps[compartment][:8]
        covered = (thickness > 1).all(axis=0)
        pattern = thickness[:, covered] / thickness[:, covered].mean(axis=1, keepdims=True)
        for first in range(8):
            for second in range(first):
                assert (pattern[first] - pattern[second]).std() > 0.03


def test_bones_leave_room_for_each_other(knees):
    for joint, shape in knees[:16]:
        behind_patella = shape.patella_height + np.array([-24, 24])
        around = {
            "tibial": grid(1.5, (-40, 40), (-24, 36), (-8, 14)),
            "patellar": grid(1.5, (-26, 28), (-48, 0), behind_patella),
        }
        for name, at in around.items():
            apart = np.maximum(joint["femoral"].outer(at), joint[name].outer(at))
            assert apart.min() > 0.4 * bones.CLEARANCE_MM


def test_menisci_lie_between_the_cartilages_of_all_knees(knees):
    at = grid(1.2, (-42, 42), (-22, 32), (-4, 12))
    for seed, (joint, _) in enumerate(knees[:10]):
        rng, plateau = np.random.default_rng(seed), joint["tibial"].plateau
        for side in (-1, 1):
            wedge = menisci.wedge(menisci.random_meniscus(rng, side), joint["femoral"], plateau)
            inside = wedge(at) < 0
            assert 0.9 < inside.sum() * 1.2**3 / 1000 < 3.2  # ml
            assert (joint["femoral"].outer(at)[inside] > 0).all()
            assert (plateau(at)[inside] > 0).all()
            assert (side * at.x[inside] > 0).all()
