"""Menisci, ligaments and tendons: their signal, their sizes and where they run."""

import numpy as np
import pytest
from knee_grids import grid, points
from scipy import ndimage, special

from mrsr_tf.mri.dess import dess_signals
from phantom.anatomy import bones, menisci, soft_tissue
from phantom.anatomy.implicit_surfaces import cord, union
from phantom.anatomy.tissues import DEEP, LABELS, SUPERFICIAL, TISSUES

SEEDS = range(4)


def joint_of(seed):
    shape = bones.Shape(np.random.default_rng(seed))
    patella = bones.patella(shape, -24.0)
    return {
        "femoral": bones.femur(shape),
        "tibial": bones.tibia(shape),
        "patellar": patella,
    }, shape


def tissue(name):
    return TISSUES[LABELS[name]]


def signals(name, relative_t2=1.0):
    """Both echoes at TE 7 ms over S1 of cartilage, in the middle of which all layers meet."""
    timing = {"tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0}
    t1, t2, m0 = np.mean([DEEP, SUPERFICIAL], axis=0)
    cartilage, _ = dess_signals(m0, t1, t2, **timing)
    values = tissue(name)
    echoes = dess_signals(values.m0, values.t1_ms, values.t2_ms * relative_t2, **timing)
    return np.array(echoes) / cartilage * np.exp(-7.0 / values.t2_prime_ms)


def test_meniscus_is_dark_and_ligaments_and_tendons_are_darker():
    meniscus, meniscus_s2 = signals("meniscus")
    assert 0.3 < meniscus < 0.5
    assert meniscus_s2 < 0.05
    for name in ("tendon", "ligament", "cruciate_ligament", "capsule", "fascia"):
        s1, s2 = signals(name)
        assert s1 < 0.6 * meniscus
        assert s2 < 0.05


@pytest.mark.parametrize("name", ["tendon", "ligament", "cruciate_ligament"])
def test_dipolar_relaxation_of_fibres_follows_the_legendre_polynomial(name):
    """R2 - R2 at the magic angle goes with the square of P2, whose zero is that angle."""
    values = tissue(name)
    magic = np.rad2deg(np.arccos(special.roots_legendre(2)[0][1]))
    assert magic == pytest.approx(54.7356, abs=1e-3)
    angles = np.array([0.0, 20.0, magic, 75.0, 90.0])
    r2 = 1 / (values.t2_ms * values.relative_t2(np.cos(np.deg2rad(angles))))
    p2 = special.eval_legendre(2, np.cos(np.deg2rad(angles)))
    assert (r2 - r2[2]) / (r2[0] - r2[2]) == pytest.approx(p2**2, abs=1e-9)
    assert 1 / r2[0] == pytest.approx(values.t2_ms)
    assert r2[2] == pytest.approx(values.relative_r2_at_magic_angle / values.t2_ms)


def test_a_bent_cord_turns_its_fibres_smoothly():
    arc = np.deg2rad(np.linspace(0, 90, 7))
    path = 20 * np.stack([np.cos(arc), 0 * arc, np.sin(arc)], axis=1)
    segments = cord(path, 1.0)
    fine = np.deg2rad(np.linspace(6, 84, 200))
    at = points(20 * np.cos(fine), 0.0, 20 * np.sin(fine))
    inside = np.argmin([segment(at) for segment in segments], axis=0)
    cosine = np.array([segment.cosine_to_z(at) for segment in segments])[inside, range(200)]
    assert cosine == pytest.approx(np.cos(fine), abs=0.03)
    assert np.abs(np.diff(cosine)).max() < 0.02


def horns_and_body(seed, side):
    """Widths and heights (mm) of the anterior horn, the body and the posterior horn."""
    joint, _ = joint_of(seed)
    meniscus = menisci.random_meniscus(np.random.default_rng(seed), side)
    wedge = menisci.wedge(meniscus, joint["femoral"], joint["tibial"].plateau)
    step = 0.25
    z = np.arange(-4, 13, step)
    middle = side * bones.PLATEAU_X
    sizes = []
    for x, y in (
        (middle, np.arange(-25, 3, step)),
        (side * np.arange(22, 44, step), menisci.CENTRE_Y),
        (middle, np.arange(9, 36, step)),
    ):
        along = np.atleast_1d(x) if np.ndim(x) else np.atleast_1d(y)
        xs, zs = np.meshgrid(x, z, indexing="ij") if np.ndim(x) else (x, np.tile(z, len(along)))
        ys = y if np.ndim(x) else np.repeat(y, len(z))
        inside = (wedge(points(xs, ys, zs)) < 0).reshape(len(along), len(z))
        sizes.append((inside.any(axis=1).sum() * step, inside.sum(axis=1).max() * step))
    return np.array(sizes).T


@pytest.mark.parametrize(
    ("side", "widths"), [(-1, (8.0, 8.1, 13.5)), (1, (10.0, 10.0, 10.5))], ids=["medial", "lateral"]
)
def test_menisci_are_as_wide_and_high_as_in_people(side, widths):
    sizes = np.array([horns_and_body(seed, side) for seed in SEEDS])
    width, height = sizes.mean(axis=0)
    assert width == pytest.approx(widths, rel=0.2)
    assert np.all((height > 3.5) & (height < 8))
    assert height[2] == pytest.approx(6.8 if side < 0 else 7.6, abs=1.5)
    assert sizes[:, 0].std(axis=0).min() > 0.1


def test_menisci_lie_between_the_cartilages_and_their_roots_end_in_the_tibia():
    for seed in SEEDS:
        joint, _ = joint_of(seed)
        femur, tibia = joint["femoral"], joint["tibial"]
        rng = np.random.default_rng(seed)
        shapes = {"medial": menisci.random_meniscus(rng, -1)}
        shapes["lateral"] = menisci.random_meniscus(rng, 1)
        at = grid(0.8, (-44, 44), (-26, 34), (-6, 12))
        free = (tibia.outer(at) > 0) & (femur.outer(at) > 0)
        roots = union(*menisci.roots(shapes))(at) < 0
        for shape in shapes.values():
            inside = menisci.wedge(shape, femur, tibia.plateau)(at) < 0
            assert 1000 < inside.sum() * 0.8**3 < 4500  # mm^3
            assert (femur.outer(at)[inside] > 0).all()
            assert (tibia.plateau(at)[inside] > 0).all()
            assert (inside & roots & free).sum() > 10  # a root continues it
        assert (roots & (tibia.osseous(at) < 0)).sum() > 10


def is_continuous(cords, start, end):
    """Whether all points of the cords are one body that enters both bones."""
    axes = np.arange(-46, 46, 0.8), np.arange(-45, 40, 0.8), np.arange(-64, 40, 0.8)
    at = points(*np.meshgrid(*axes, indexing="ij"))
    inside = (union(*cords)(at) < 0).reshape([len(axis) for axis in axes])
    _, bodies = ndimage.label(inside, np.ones((3, 3, 3)))
    ends = [(bone(at).reshape(inside.shape) < -0.3) & inside for bone in (start, end)]
    return bodies == 1 and all(end.any() for end in ends)


def test_ligaments_run_between_their_bones_without_gaps():
    joint, shape = joint_of(1)
    femur, tibia = joint["femoral"].osseous, joint["tibial"].osseous
    rng = np.random.default_rng(1)
    anterior = soft_tissue.anterior_cruciate(rng, shape.notch_width)
    bundles = anterior[: len(anterior) // 2], anterior[len(anterior) // 2 :]
    collaterals = soft_tissue.collaterals(rng, joint)
    for cords, start, end in (
        *((bundle, femur, tibia) for bundle in bundles),
        (soft_tissue.posterior_cruciate(rng, shape.notch_width), femur, tibia),
        (collaterals[:15], femur, tibia),  # the superficial medial one
        (collaterals[-6:], femur, bones.fibula().osseous),
    ):
        assert is_continuous(cords, start, end)


def test_cruciates_lie_in_the_notch_and_the_anterior_one_along_its_roof():
    """The sagittal angle to the plateau is 51.2 +- 3.4 degrees (doi 10.7759/cureus.7511)."""
    for seed in SEEDS:
        joint, shape = joint_of(seed)
        rng = np.random.default_rng(seed)
        anterior = soft_tissue.anterior_cruciate(rng, shape.notch_width)
        at = grid(0.7, (-14, 14), (-12, 34), (-14, 34))
        outside = joint["femoral"].outer(at) > 0
        inside = union(*anterior)(at) < 0
        low, high = (at.y[inside & (np.abs(at.z - z) < 0.5)].mean() for z in (6, 16))
        assert 44 < np.rad2deg(np.arctan2(10, high - low)) < 60
        posterior = union(*soft_tissue.posterior_cruciate(rng, shape.notch_width))(at) < 0
        assert (inside & posterior & outside).sum() * 0.7**3 < 60  # mm^3


def test_knees_differ_in_their_meniscofemoral_and_transverse_ligaments():
    counts = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shapes = {"medial": menisci.random_meniscus(rng, -1)}
        shapes["lateral"] = menisci.random_meniscus(rng, 1)
        counts.append(len(menisci.meniscal_ligaments(rng, shapes, 9.5)))
    assert len(set(counts)) >= 3
    assert 0.5 < np.mean(np.array(counts) > 6) < 0.95
