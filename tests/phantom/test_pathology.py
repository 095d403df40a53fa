"""Findings and how they change the anatomy."""

import itertools

import numpy as np
import pytest
from knee_grids import grid, points

from phantom.anatomy import bones, menisci, pathology
from phantom.anatomy.implicit_surfaces import first_hit
from phantom.anatomy.pathology import Finding, FindingKind


@pytest.fixture(scope="module")
def joint():
    return bones.joint(bones.Shape(np.random.default_rng(0)))


def test_findings_lie_where_they_say_and_about_one_knee_in_ten_has_none(joint):
    knees = [pathology.random_findings(np.random.default_rng(seed), joint) for seed in range(200)]
    assert 0.02 < np.mean([not findings for findings in knees]) < 0.3
    kinds = {finding.kind for findings in knees for finding in findings}
    assert kinds == set(pathology.PROBABILITY)
    for finding in itertools.chain(*knees):
        assert 1 < finding.size_mm < 19
        assert 0 < finding.severity <= 1
        if finding.where.startswith(("medial", "lateral")):
            assert np.sign(finding.centre[0]) == (-1 if finding.where.startswith("medial") else 1)
        if finding.kind == "cartilage_defect":
            bone = joint[finding.where.split("_")[-1]]
            at = points(*([axis] for axis in finding.centre))
            assert abs(bone.outer(at)[0]) < 0.15
            assert bone.thickness(at)[0] > 0.5


def test_a_defect_takes_cartilage_and_leaves_bone(joint):
    femur = joint["femoral"]
    centre = first_hit(femur.outer, (-22, 10, -20), (-22, 10, 22))
    worn = pathology.apply_findings(
        femur,
        "femoral",
        [Finding(FindingKind.CARTILAGE_DEFECT, "medial_femoral", tuple(centre), 5.0, 0.6)],
    )
    at = points(*([axis] for axis in centre))
    assert worn.thickness(at)[0] == pytest.approx(0.4 * femur.thickness(at)[0], rel=1e-4)
    around = grid(2.0, (-40, 40), (-30, 40), (-5, 40))
    assert worn.osseous(around) == pytest.approx(femur.osseous(around), abs=1e-4)


def test_osteoarthritis_wears_cartilage_down_to_the_bone_in_its_middle_and_less_around_it(joint):
    tibia = joint["tibial"]
    x, y, z = first_hit(tibia.outer, (-21, 6, 20), (-21, 6, -20))
    worn = pathology.apply_findings(
        tibia,
        "tibial",
        [Finding(FindingKind.CARTILAGE_THINNING, "medial_tibial", (x, y, z), 14.0, 1.0)],
    )
    at = points([x, x, x], [y, y + 7, y + 14.5], z)
    left = worn.thickness(at) / tibia.thickness(at)
    assert left[0] == pytest.approx(0, abs=1e-4)
    assert 0.1 < left[1] < 0.9
    assert left[2] == pytest.approx(1)


def test_raised_t2_stays_within_its_radius_and_below_degenerated_cartilage():
    finding = Finding(FindingKind.RAISED_CARTILAGE_T2, "medial_femoral", (0, 0, 0), 8.0, 1.0)
    at = points([0.0, 4.0, 8.1], 0.0, 0.0)
    start = [np.full(3, value, np.float32) for value in (1225.0, 36.0, 0.77)]
    t1, t2, m0 = pathology.degenerate_cartilage([finding], at, *start)
    assert 50 < t2[0] < 60
    assert t2[0] > t2[1] > t2[2] == 36
    assert t1[2] == 1225
    assert m0[2] == pytest.approx(0.77)


def test_a_tear_lies_within_its_meniscus_and_an_osteophyte_on_its_bone(joint):
    medial = menisci.random_meniscus(np.random.default_rng(0), -1)
    wedge = menisci.wedge(medial, joint["femoral"], joint["tibial"].plateau)
    tear = Finding(FindingKind.MENISCAL_TEAR, "medial", (-24, 19, 2.5), 8.0, 1.0)
    (cleft,) = pathology.meniscal_tears([tear], {"medial": wedge})
    at = grid(0.5, (-42, -5), (5, 32), (-3, 10))
    inside = cleft(at) < 0
    assert inside.sum() > 20
    assert (wedge(at)[inside] < 0).all()
    spur = Finding(FindingKind.OSTEOPHYTE, "medial_tibial", (-36.5, 5, -2.5), 4.0)
    spurred = pathology.apply_findings(joint["tibial"], "tibial", [spur])
    assert spurred.outer(points(-39.5, 5.0, -2.5))[0] < 0 < joint["tibial"].outer(
        points(-39.5, 5.0, -2.5)
    )[0]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "size_mm"),
    [(FindingKind.BONE_MARROW_LESION, 9.0), (FindingKind.SUBCHONDRAL_CYST, 3.0)],
)
def test_bodies_in_bone_are_as_large_as_they_say_and_no_spheres(kind, size_mm):
    finding = Finding(kind, "medial_femoral", (-20, 4, 10), size_mm)
    step = size_mm / 12
    axes = [middle + np.arange(-2, 2, 1 / 12) * size_mm for middle in finding.centre]
    at = points(*np.meshgrid(*axes))
    radii = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        ((body, depth),) = pathology.bodies_in_bone(rng, [finding], kind)
        inside = body(at) < 0
        radii.append(np.cbrt(inside.sum() * step**3 * 3 / (4 * np.pi)))
        assert not (inside == (finding.distance(at) < radii[-1])).all()
        assert (depth(at)[inside] > 0).all()
    assert np.mean(radii) == pytest.approx(size_mm, rel=0.2)
