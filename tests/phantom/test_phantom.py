"""The knee and its scan: what is where, what it is made of, and what a voxel averages."""

import itertools

import numpy as np
import pytest

from phantom.anatomy import bones, muscles_and_vessels, pathology, soft_tissue
from phantom.anatomy.implicit_surfaces import (
    Points,
    column,
    cord,
    crossing,
    ellipsoid,
    smooth_max,
    smooth_min,
    union,
)
from phantom.anatomy.knee import Knee
from phantom.anatomy.pathology import Finding
from phantom.anatomy.texture import Texture
from phantom.anatomy.tissues import FIRST_CARTILAGE, LABELS, TISSUES, cartilage_values
from phantom.dess import dess_signals
from phantom.scanner import acquisition
from phantom.scanner.acquisition import PROTOCOLS, Sequence, acquire, receive_field, scan

STILL = Sequence(23.0, (7.0, 39.0), 20.0)


def points(*xyz):
    return Points(*(np.asarray(axis, np.float32).ravel() for axis in np.broadcast_arrays(*xyz)))


def grid(step, x=(-60, 60), y=(-60, 70), z=(-75, 75)):
    return points(*np.meshgrid(*(np.arange(*axis, step) for axis in (x, y, z))))


@pytest.fixture(scope="module")
def knee():
    return Knee(np.random.default_rng([0, 0, 0]))


def sagittal(shape, spacing, centre=(-20.0, 6.0, 2.0)):
    """(3, 4): rows down, columns backwards, slices towards lateral."""
    to_knee = np.array([[0, 0, spacing[2], 0], [0, spacing[1], 0, 0], [-spacing[0], 0, 0, 0.0]])
    to_knee[:, 3] = np.array(centre) - to_knee[:, :3] @ ((np.array(shape) - 1) / 2)
    return to_knee


def test_a_cord_is_as_thick_as_asked_and_a_band_as_wide():
    band = union(*cord([(0, 0, -20), (0, 0, 0), (0, 0, 20)], 1.0, (0, 1, 0), 6))
    inside = band(points([0.95, 1.05, 0, 0], [0, 0, 5.9, 6.1], 3.0)) < 0
    assert inside.tolist() == [True, False, True, False]


def test_the_pieces_of_a_bent_band_leave_no_gap():
    band = union(*cord([(0, 0, -20), (0, 3, 0), (0, -3, 20)], 0.5, (0, 1, 0.2), 10))
    z = np.linspace(-15, 15, 400)
    middle = np.interp(z, (-20, 0, 20), (0, 3, -3))
    assert (band(points(0.0, middle + 1.5, z)) < 0).all()


def test_a_column_ends_where_its_width_does():
    belly = column([-10, 0, 10], [0, 1, 2], [0, 0, 0], [0, 4, 0], [0, 4, 0])
    assert (belly(points(1.0, 0.0, 0.0)) < -3.5).all()
    assert (belly(points(1.0, 0.0, [-10.5, 10.5, 60])) > 0).all()


def test_rounded_edges_only_add_where_bodies_meet_and_only_cut_where_they_intersect():
    a, b = np.float32([-3, 0, 0.5, 5]), np.float32([4, 0, 0.2, -5])
    assert np.all(smooth_min(a, b, 2.0) <= np.minimum(a, b))
    assert np.all(smooth_max(a, b, 2.0) >= np.maximum(a, b))
    assert smooth_min(a, b, 2.0)[[0, 3]].tolist() == [-3, -5]


def test_the_crossing_of_a_sphere_is_on_it():
    sphere = ellipsoid((1, 2, 3), (5, 5, 5))
    assert crossing(sphere, (1, 2, 20), (1, 2, 3)) == pytest.approx([1, 2, 8], abs=0.06)


def test_a_texture_repeats_without_a_seam_and_has_unit_spread():
    texture = Texture(np.random.default_rng(1), (1.0, 1.0, 1.0), 2.0)
    at = grid(3.0)
    assert texture.at(at).std() == pytest.approx(1, abs=0.3)
    assert texture.at(points(at.x + 96, at.y, at.z)) == pytest.approx(texture.at(at), abs=1e-3)


def test_blocks_see_every_structure_that_reaches_into_them():
    knee = Knee(np.random.default_rng([3, 1]))
    shape, spacing = (40, 48, 32), (3.1, 3.0, 3.3)
    to_knee = sagittal(shape, spacing, (0, 6, 0))
    seen = scan(knee, to_knee, shape, STILL, finest_mm=9.0)
    index = np.indices(shape).reshape(3, -1).astype(float)
    every = knee.points(*acquisition._positions(to_knee, index))
    assert np.array_equal(
        seen.label.ravel(), knee.material(every, knee.structures, margin=0.0).label
    )


def test_threads_do_not_change_the_scan(knee):
    shape = (40, 40, 20)
    to_knee = sagittal(shape, (0.5, 0.5, 0.7))
    one, two = (scan(knee, to_knee, shape, STILL, threads) for threads in (1, 2))
    for name in ("signal", "label", "t1_ms", "t2_ms", "m0"):
        assert np.array_equal(getattr(one, name), getattr(two, name))


def test_voxels_of_one_tissue_hold_its_signal_and_mixed_ones_the_mean_of_complex_signals(knee):
    shape, spacing = (24, 24, 10), (0.4, 0.4, 0.7)
    seen = scan(knee, sagittal(shape, spacing), shape, STILL)
    n = (4, 4, 6)
    fine_shape = tuple(a * b for a, b in zip(shape, n, strict=True))
    fine = scan(
        knee, sagittal(fine_shape, [d / k for d, k in zip(spacing, n, strict=True)]),
        fine_shape, STILL,
    )  # fmt: skip
    split = [part for size, k in zip(shape, n, strict=True) for part in (size, k)]
    mean = fine.signal.reshape(*split, 2).mean(axis=(1, 3, 5))
    label = fine.label.reshape(split)
    pure = label.min(axis=(1, 3, 5)) == label.max(axis=(1, 3, 5))
    mixed = ~pure & (np.abs(seen.signal[..., 0]) > 0.01)
    assert mixed.sum() > 500
    off = np.abs(seen.signal - mean)[mixed] / np.abs(mean).max()
    assert np.sqrt((off**2).mean()) < 0.04
    s1, s2 = dess_signals(seen.m0, seen.t1_ms, seen.t2_ms, tr_ms=23.0, te_ms=7.0, flip_deg=20.0)
    cartilage = pure & (seen.label >= FIRST_CARTILAGE)
    assert cartilage.sum() > 300
    for echo, signal in enumerate((s1, s2)):
        # within a voxel that touches no other tissue T2 still runs with depth
        error = np.abs(np.abs(seen.signal[..., echo]) / signal - 1)[cartilage]
        assert np.median(error) == 0
        assert error.max() < 0.08


def test_cartilage_is_as_thick_as_in_people_and_its_t2_falls_towards_the_bone():
    for seed in range(5):
        shape = bones.Shape.drawn(np.random.default_rng(seed))
        femur, tibia = bones.femur(shape), bones.tibia(shape)
        for bone, thickest in ((femur, 3.5), (tibia, 4.0)):
            x = np.float32([-22, 22])
            thickness = bone.thickness(points(x, 6.0, 1.0))
            assert np.all((thickness > 1.5) & (thickness < thickest))
    t1, t2, m0 = cartilage_values(np.float32([0, 0.25, 0.75, 1]))
    assert t2[1:3] == pytest.approx([46, 27])
    assert np.all(np.diff(t2) < 0)
    assert np.all((t1 > 1150) & (t1 < 1300) & (m0 > 0.6) & (m0 < 0.9))


def test_all_cartilage_of_a_knee_follows_its_own_t2_level(knee, monkeypatch):
    def t2():
        seen = scan(knee, sagittal((30, 30, 8), (0.8, 0.8, 1.5)), (30, 30, 8), STILL)
        return seen.t2_ms[seen.label >= FIRST_CARTILAGE]

    monkeypatch.setattr(knee, "findings", [])
    monkeypatch.setattr(knee, "cartilage_t2", 1.0)
    usual = t2()
    monkeypatch.setattr(knee, "cartilage_t2", 1.2)
    assert len(usual) > 100
    assert t2() == pytest.approx(1.2 * usual, rel=1e-3)


def material(tissue):
    values = (np.float32([getattr(tissue, name)]) for name in ("t1_ms", "t2_ms", "m0"))
    label = np.array([LABELS[tissue.name]], np.int16)
    return acquisition.Material(label, *values, near=np.zeros(1, bool))


@pytest.mark.parametrize(("name", "faster"), [("synovial_fluid", 2), ("muscle", 1)])
def test_liquids_diffuse_twice_as_fast_as_tissue(name, faster):
    spoiler = {"spoiler_area": 3132.0, "spoiler_duration_us": 1560.0}
    (tissue,) = (tissue for tissue in TISSUES if tissue.name == name)
    sequence = Sequence(23.0, (7.0, 39.0), 20.0, 1.25e-9, **spoiler)
    signal = acquisition._signal(material(tissue), sequence)
    expected = dess_signals(
        tissue.m0, tissue.t1_ms, tissue.t2_ms, tr_ms=23.0, te_ms=7.0, flip_deg=20.0,
        diffusivity=faster * 1.25e-9, **spoiler,
    )  # fmt: skip
    assert signal[:, 0].real == pytest.approx(expected, rel=1e-5)


def test_fat_turns_by_its_chemical_shift_until_each_echo_and_keeps_the_ratio_of_both():
    (fat,) = (tissue for tissue in TISSUES if tissue.name == "subcutaneous_fat")
    s1, s2 = acquisition._signal(material(fat), STILL)[:, 0]
    plain = dess_signals(fat.m0, fat.t1_ms, fat.t2_ms, tr_ms=23.0, te_ms=7.0, flip_deg=20.0)
    assert np.rad2deg(np.angle(s1)) == pytest.approx(-430 * 0.007 % -1 * 360, abs=0.1)
    assert np.angle(s2) == pytest.approx(-np.angle(s1), abs=1e-4)
    assert abs(s2) / abs(s1) == pytest.approx(plain[1] / plain[0], rel=1e-5)
    assert abs(s1) == pytest.approx(plain[0], rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_every_knee_has_all_its_parts_and_bones_do_not_touch(seed):
    knee = Knee(np.random.default_rng([seed, 0]))
    shape = (100, 88, 72)
    label = scan(
        knee, sagittal(shape, (1.5, 1.5, 1.5), (0, 6, 2)), shape, STILL, finest_mm=9.0
    ).label
    counts = np.bincount(label.ravel(), minlength=len(TISSUES))
    optional = {"bone_marrow_lesion", "cyst"}
    assert {t.name for t, n in zip(TISSUES, counts, strict=True) if n == 0} <= optional
    joint = points(*np.meshgrid([-22, 22], np.arange(2, 10, 0.2), np.arange(-6, 8, 0.05)))
    shape = bones.Shape.drawn(np.random.default_rng(seed))
    femur, tibia = bones.femur(shape), bones.tibia(shape)
    assert not np.any((femur.osseous(joint) < 0.5) & (tibia.osseous(joint) < 0.5))


@pytest.mark.parametrize("seed", range(4))
def test_fluid_stays_below_the_fascia_and_off_the_medial_collateral_ligament(seed):
    knee = Knee(np.random.default_rng([1000, seed, 0]))
    everywhere = grid(2.5, y=(-75, 70))
    wet = knee.material(everywhere, knee.structures, 0).label == LABELS["synovial_fluid"]
    assert wet.sum() > 300  # 5 ml
    assert muscles_and_vessels.fascia()(everywhere.at(np.flatnonzero(wet))).max() < 0
    x, y, z = np.arange(-46.0, -41.5, 0.5), np.arange(0.0, 4.5, 0.5), np.arange(6.0, 24.0)
    about = points(x[:, None, None], y[:, None], z)
    assert LABELS["synovial_fluid"] not in knee.material(about, knee.structures, 0).label


def test_no_two_knees_are_alike(knee):
    shape = (48, 44, 36)
    to_knee = sagittal(shape, (3.0, 3.0, 3.0), (0, 6, 2))
    knees = [knee, *(Knee(np.random.default_rng([seed, 0])) for seed in (1, 2))]
    labels = [scan(knee, to_knee, shape, STILL, finest_mm=9.0).label for knee in knees]
    for a, b in itertools.combinations(labels, 2):
        assert (a != b).mean() > 0.05


def test_a_position_in_the_knee_comes_back(knee):
    reference = (10.0, -20.0, 15.0)
    there = knee.points(*(np.float32([axis]) for axis in knee.position(reference)))
    assert np.array([there.x[0], there.y[0], there.z[0]]) == pytest.approx(reference, abs=1e-3)


def test_the_meniscus_lies_between_the_cartilages_and_opens_to_the_midline():
    shape = bones.Shape.drawn(np.random.default_rng(0))
    femur, tibia = bones.femur(shape), bones.tibia(shape)
    for side in (-1, 1):
        wedge = soft_tissue.meniscus(side, femur, tibia.plateau)
        x, y, z = np.meshgrid(
            np.arange(4, 45, 0.7), np.arange(-25, 35, 0.7), np.arange(-5, 12, 0.7)
        )
        at = points(side * x, y, z)
        inside = wedge(at) < 0
        assert 1000 < inside.sum() * 0.7**3 < 4500  # mm^3
        assert (femur.outer(at)[inside] > 0).all()
        assert (tibia.plateau(at)[inside] > 0).all()
        assert np.abs(at.x[inside]).min() > 6


@pytest.fixture(scope="module")
def joint():
    shape = bones.Shape.drawn(np.random.default_rng(0))
    return {
        "femoral": bones.femur(shape),
        "tibial": bones.tibia(shape),
        "patellar": bones.patella(shape, -20.0),
    }


def test_every_finding_lies_where_it_says_and_about_one_knee_in_ten_has_none(joint):
    drawn = [pathology.drawn(np.random.default_rng(seed), joint) for seed in range(200)]
    assert 0.02 < np.mean([not findings for findings in drawn]) < 0.3
    kinds = {finding.kind for findings in drawn for finding in findings}
    assert kinds == set(pathology.PROBABILITY)
    for finding in itertools.chain(*drawn):
        assert 1 < finding.size_mm < 15
        assert 0 < finding.severity <= 1
        if finding.kind == "cartilage_defect":
            bone = joint[finding.where.split("_")[-1]]
            at = points(*([axis] for axis in finding.centre))
            assert abs(bone.outer(at)[0]) < 0.15
            assert bone.thickness(at)[0] > 0.5


def test_a_defect_takes_cartilage_and_leaves_bone(joint):
    femur = joint["femoral"]
    centre = crossing(femur.outer, (-22, 10, -20), (-22, 10, 22))
    worn = pathology.affected(
        femur, "femoral", [Finding("cartilage_defect", "medial_femoral", tuple(centre), 5.0, 0.6)]
    )
    at = points(*([axis] for axis in centre))
    assert worn.thickness(at)[0] == pytest.approx(0.4 * femur.thickness(at)[0], rel=1e-4)
    around = grid(2.0, (-40, 40), (-30, 40), (-5, 40))
    assert worn.osseous(around) == pytest.approx(femur.osseous(around), abs=1e-4)


def test_raised_t2_stays_within_its_radius_and_below_degenerated_cartilage():
    finding = Finding("raised_cartilage_t2", "medial_femoral", (0, 0, 0), 8.0, 1.0)
    at = points([0.0, 4.0, 8.1], 0.0, 0.0)
    start = [np.full(3, value, np.float32) for value in (1225.0, 36.0, 0.77)]
    t1, t2, m0 = pathology.softened([finding], at, *start)
    assert 50 < t2[0] < 60
    assert t2[0] > t2[1] > t2[2] == 36
    assert t1[2] == 1225
    assert m0[2] == pytest.approx(0.77)


def test_a_tear_lies_within_its_meniscus_and_an_osteophyte_on_its_bone(joint):
    menisci = {
        "medial": soft_tissue.meniscus(-1, joint["femoral"], joint["tibial"].plateau),
        "lateral": soft_tissue.meniscus(1, joint["femoral"], joint["tibial"].plateau),
    }
    tear = Finding("meniscal_tear", "medial", (-24, 19, 2.5), 8.0, 1.0)
    (cleft,) = pathology.tears([tear], menisci)
    at = grid(0.5, (-42, -5), (5, 32), (-3, 10))
    inside = cleft(at) < 0
    assert inside.sum() > 20
    assert (menisci["medial"](at)[inside] < 0).all()
    spur = Finding("osteophyte", "medial_tibial", (-36.5, 5, -2.5), 4.0)
    spurred = pathology.affected(joint["tibial"], "tibial", [spur])
    assert spurred.outer(points(-39.5, 5.0, -2.5))[0] < 0 < joint["tibial"].outer(
        points(-39.5, 5.0, -2.5)
    )[0]  # fmt: skip


def test_noise_is_rician_of_the_given_sigma_in_what_is_acquired():
    empty = np.zeros((64, 80, 12), np.complex64)
    field = np.ones_like(empty)
    for fraction in (1.0, 0.8):
        air = acquire(empty, field, 2.0, fraction, [1])
        assert np.sqrt((air**2).mean() / 2) == pytest.approx(2.0, rel=0.02)
        tissue = acquire(empty + 100, field, 2.0, fraction, [1])
        assert tissue.std() == pytest.approx(2.0, rel=0.03)
        assert tissue.mean() == pytest.approx(100.0, abs=0.2)


def test_what_is_not_acquired_of_k_space_is_gone_and_without_it_nothing_changes():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((8, 64, 3)).astype(np.float32) + 10 + 0j
    signal = signal.astype(np.complex64)
    field = np.ones_like(signal)
    assert acquire(signal, field, 0.0, None, [0]) == pytest.approx(np.abs(signal), rel=1e-6)
    cut = acquire(signal, field, 0.0, 0.75, [0])
    mirrored = np.concatenate([cut, cut[:, ::-1]], axis=1)
    power = np.abs(np.fft.rfft(mirrored, axis=1))
    assert power[:, 49:].max() < 1e-4 * power.max()


def test_the_receive_field_is_smooth_and_about_one():
    field = receive_field((104, 104, 40), (1.54, 1.54, 2.8), np.random.default_rng(0))
    size = np.abs(field)
    assert 0.5 < size.min() < size.max() < 1.8
    assert np.abs(np.diff(field, axis=0)).max() < 0.06


def test_every_protocol_times_its_second_echo_by_the_sequence():
    for protocol in PROTOCOLS.values():
        assert protocol.te_ms[1] == pytest.approx(2 * protocol.tr_ms - protocol.te_ms[0])


def test_labels_name_every_compartment_and_layer():
    cartilage = {name for name, label in LABELS.items() if label >= FIRST_CARTILAGE}
    sides = [f"{side}_{bone}" for side in ("medial", "lateral") for bone in ("femoral", "tibial")]
    assert cartilage == {
        f"{where}_cartilage_{layer}"
        for where in [*sides, "patellar"]
        for layer in ("deep", "superficial")
    }
