"""Joint fluid: its volume, where it lies, and how smooth its surface is."""

from functools import cache

import numpy as np
import pytest
from knee_grids import grid, knee_of, points
from scipy import ndimage

from phantom.anatomy import bones, joint_fluid, pathology, skin
from phantom.anatomy.knee import labels, paint
from phantom.anatomy.pathology import FindingKind
from phantom.anatomy.tissues import LABELS

SEEDS = range(4)
RAGGED_MM = 1.0  # of a surface that must not pass as smooth


@cache
def joint_of(seed):
    shape = bones.Shape(np.random.default_rng(seed))
    joint = bones.joint(shape)
    return joint, (1, bones.groove_y(joint["femoral"], shape), shape.patella_height)


@cache
def fluid_of(seed, effusion):
    """A random fluid and the volume that it was to have."""
    rng = np.random.default_rng(seed)
    joint, patella = joint_of(seed)
    aim = joint_fluid.random_volume_ml(rng, effusion=effusion)
    return joint_fluid.joint_fluid(rng, joint, [], skin.fascia(), patella, aim), aim


@pytest.mark.parametrize(
    ("effusion", "low", "median", "high"),
    [(False, 1, 3, 6), (True, 10, 24.5, 60)],
    ids=["healthy", "effusion"],
)
def test_volumes_are_those_of_people(effusion, low, median, high):
    rng = np.random.default_rng(0)
    volumes = [joint_fluid.random_volume_ml(rng, effusion=effusion) for _ in range(2000)]
    assert low <= min(volumes) < max(volumes) <= high
    assert np.median(volumes) == pytest.approx(median, rel=0.07)


@pytest.mark.parametrize("effusion", [False, True])
def test_the_gap_between_the_walls_is_solved_for_the_volume(effusion):
    for seed in SEEDS:
        fluid, aim = fluid_of(seed, effusion)
        assert fluid.volume_ml == pytest.approx(aim, rel=0.02, abs=0.1)


@pytest.mark.parametrize("effusion", [False, True])
def test_the_volume_is_that_counted_on_a_regular_grid(effusion):
    step = 1.3
    at = grid(step, (-48, 48), (-36, 46), (-24, 112))
    fluid, aim = fluid_of(1, effusion)
    inside = np.any([surface(at) < 0 for surface in fluid.surfaces], axis=0)
    inside &= np.all([bone.outer(at) > 0 for bone in joint_of(1)[0].values()], axis=0)
    assert inside.sum() * step**3 / 1000 == pytest.approx(aim, rel=0.08, abs=0.3)


def gradient(surface, xyz):
    """Unit normals (3, n)."""
    step = 0.1
    axes = [
        surface(points(*(xyz + shift))) - surface(points(*(xyz - shift)))
        for shift in step * np.eye(3)[:, :, None]
    ]
    return np.array(axes) / np.maximum(np.linalg.norm(axes, axis=0), 1e-9)


def turn_deg(surface, xyz):
    """By how much the normal turns within 1 mm along the surface: its median over points."""
    normal = gradient(surface, xyz)
    tangent = np.cross(normal, np.roll(normal, 1, axis=0) + 0.1, axis=0)
    tangent /= np.linalg.norm(tangent, axis=0)
    cosine = np.sum(normal * gradient(surface, xyz + tangent), axis=0)
    return np.median(np.rad2deg(np.arccos(np.clip(cosine, -1, 1))))


@pytest.mark.parametrize("effusion", [False, True])
def test_the_surface_of_fluid_is_smooth(effusion):
    at = grid(1.5, (-45, 45), (-34, 44), (-20, 100))
    noise = np.random.default_rng(0).normal(size=(60, 60, 60))
    noise = ndimage.gaussian_filter(noise, 1.0, mode="wrap")
    noise *= RAGGED_MM / noise.std()
    for seed in (0, 1):
        pools = fluid_of(seed, effusion)[0].surfaces[-1]

        def ragged(p, pools=pools):
            return pools(p) + ndimage.map_coordinates(noise, p.axes, order=1, mode="grid-wrap")

        near = np.flatnonzero(np.abs(pools(at)) < 0.2)
        assert len(near) > 200
        xyz = np.array(at.take(near).axes, float)
        assert turn_deg(pools, xyz) < 8
        assert turn_deg(ragged, xyz) > 20


def test_fluid_lies_inside_the_capsule_and_below_the_fascia():
    at = grid(1.5, (-48, 48), (-36, 46), (-24, 100))
    behind = (at.y > -8) & (at.z < 38)
    for effusion in (False, True):
        fluid, _ = fluid_of(0, effusion)
        inside = fluid.surfaces[-1](at) < 0
        assert (inside & behind).sum() > 20
        assert fluid.capsule(at)[inside & behind].max() < -1
        assert fluid.lining(at)[inside].max() < -0.25
        assert skin.fascia()(at)[inside].max() < -1


def test_an_effusion_fills_the_pouch_to_above_the_patella_but_not_the_tendon():
    axes = np.meshgrid(np.arange(-30, 30, 2.0), np.arange(-34, 0, 1.0), np.arange(50, 110, 2.0))
    at = points(*axes)
    for seed in SEEDS:
        (fluid, aim), (_, patella) = fluid_of(seed, True), joint_of(seed)
        pouch = fluid.surfaces[-1](at) < 0
        upper_pole = patella[2] + 20
        assert 15 < at.z[pouch].max() - upper_pole < 60
        assert at.y[pouch].min() > patella[1] - 5
        assert fluid.gap_mm > fluid_of(seed, False)[0].gap_mm
        assert aim >= 10


def test_some_knees_have_a_suprapatellar_plica():
    """A fold of synovium, which interrupts the fluid along a line up the pouch."""
    step = 0.2
    up = points(-13.0, -17.0, np.arange(52, 80, step))
    numbers = []
    for seed in range(8):
        fluid, _ = fluid_of(seed, True)
        pools, number = ndimage.label(fluid.surfaces[-1](up) < 0)
        numbers.append(number)
        if number == 2:
            between = slice(np.flatnonzero(pools == 1)[-1] + 1, np.flatnonzero(pools == 2)[0])
            assert fluid.lining(up)[between].max() < 0
            assert 0.5 < step * (between.stop - between.start) < 4
    assert set(numbers) == {1, 2}


@pytest.mark.parametrize("size_mm", [4.0, 8.0])
def test_a_popliteal_cyst_is_one_body_from_the_joint_to_below_the_fascia(size_mm):
    centre = (-24, 45, 5)
    finding = pathology.Finding(FindingKind.POPLITEAL_CYST, "medial", centre, size_mm)
    (cyst,) = pathology.popliteal_cysts([finding])
    step = 0.7
    axes = np.arange(-45, -5, step), np.arange(22, 64, step), np.arange(-24, 30, step)
    at = points(*np.meshgrid(*axes, indexing="ij"))
    inside = cyst(at) < 0
    _, bodies = ndimage.label(inside.reshape([len(axis) for axis in axes]), np.ones((3, 3, 3)))
    assert bodies == 1
    assert 1 < inside.sum() * step**3 / 1000 < 6  # ml
    assert joint_of(0)[0]["femoral"].outer(at)[inside].min() < 2
    assert skin.fascia()(at)[inside].max() < 0


def test_fluid_of_a_knee_meets_neither_muscle_nor_skin():
    knee = knee_of(1000, 1, 0)
    assert knee.joint_fluid_ml > 10
    shape, step = (40, 50, 50), 0.7
    for corner in ((-40, -30, 50), (-40, 8, 4)):  # the medial half of the pouch; behind a condyle
        axes = [start + step * np.arange(n) for start, n in zip(corner, shape, strict=True)]
        at = points(*np.meshgrid(*axes, indexing="ij"))
        label = labels(knee.structures, paint(at, knee.structures)[0]).reshape(shape)
        fluid = label == LABELS["synovial_fluid"]
        around = ndimage.binary_dilation(fluid) & ~fluid
        cut = np.isin(label, [LABELS["muscle"], LABELS["skin"], LABELS["air"]]) & around
        assert around.sum() > 500
        assert cut.sum() < 0.02 * around.sum()
