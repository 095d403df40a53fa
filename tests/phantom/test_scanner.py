"""The scanner: slab, coils, k-space, motion, ghosts and noise of phantoms."""

from dataclasses import replace

import numpy as np
import pytest
from knee_grids import STILL, knee_of, sagittal
from scipy import stats

from phantom.anatomy.implicit_surfaces import Points
from phantom.anatomy.tissues import LABELS
from phantom.scanner import reception
from phantom.scanner.imperfections import Imperfections, random_imperfections
from phantom.scanner.partial_volume import NoiseFreeScan, scan_knee
from phantom.scanner.protocols import PROTOCOLS

NONE = Imperfections(
    fat_excess=1.0, fat_from_mm=50.0, fat_direction=(1.0, 0.0, 0.0), slab_edge=0.0, ghost=0.0,
    ghost_shift=0.25, motion=(), padding=0.0, readout_fraction=1.0, phase_fraction=1.0,
    corners=True, fermi=False, g_factor=1.0, noise_ratio=1.0, coils=1, floor=(0.0, 0.0),
)  # fmt: skip
SPACING = (0.5, 0.5, 0.7)


def random_image(shape=(24, 32, 12)):
    rng = np.random.default_rng(0)
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)


def test_a_perfect_scanner_with_every_frequency_changes_nothing():
    image = random_image() + 10
    plain = reception.acquire(image, 0.0, 0, NONE, np.random.default_rng(0))
    assert plain == pytest.approx(np.abs(image), rel=1e-5)


@pytest.mark.parametrize(("echo", "expected"), [(0, 2.0), (1, 1.4)])
def test_noise_has_the_given_sigma_and_its_ratio_in_s2(echo, expected):
    empty = np.zeros((64, 80, 12), np.complex64)
    scanner = replace(NONE, noise_ratio=0.7, phase_fraction=0.8, corners=False, fermi=True)
    tissue = reception.acquire(empty + 100, 2.0, echo, scanner, np.random.default_rng(1))
    assert tissue.std() == pytest.approx(expected, rel=0.03)
    assert tissue.mean() == pytest.approx(100.0, abs=0.2)


def test_the_g_factor_raises_noise_in_the_middle_of_the_phase_direction():
    image = np.full((200, 81, 10), 100, np.complex64)
    noisy = reception.acquire(image, 1.0, 0, replace(NONE, g_factor=1.5), np.random.default_rng(0))
    deviation = noisy.std(axis=(0, 2))
    assert deviation[38:43].mean() == pytest.approx(1.5, rel=0.05)
    assert deviation[[0, 80]].mean() == pytest.approx(1.0, rel=0.05)


def test_the_noise_of_all_coils_follows_the_g_factor_and_so_does_the_floor():
    scanner = replace(NONE, g_factor=1.5, coils=4, floor=(0.0, 1.0))
    air = np.zeros((200, 81, 10), np.complex64)
    whole, floored = (
        reception.acquire(air, 1.0, echo, scanner, np.random.default_rng(0)) for echo in (0, 1)
    )
    mean = stats.chi(8).mean()
    for columns, g_factor in ((slice(38, 43), 1.5), (slice(0, 3), 1.0)):
        assert whole[:, columns].mean() == pytest.approx(g_factor * mean, rel=0.02)
        assert np.mean(floored[:, columns] == 0) == pytest.approx(stats.chi2(8).cdf(8), abs=0.06)


def test_the_noise_of_all_coils_is_zero_filled():
    scanner = replace(NONE, coils=4, readout_fraction=0.5)
    air = np.zeros((64, 32, 16), np.complex64)
    noisy = reception.acquire(air, 1.0, 0, scanner, np.random.default_rng(0))
    power = noisy[8:-8] ** 2  # away from the ends, which the cosine transform mirrors
    power -= power.mean()
    neighbours = (power[:-1] * power[1:]).mean() / (power**2).mean()
    assert neighbours == pytest.approx((2 / np.pi) ** 2, abs=0.05)  # the square of a sinc


def test_zero_filling_leaves_the_frequencies_that_were_not_acquired_empty():
    scanner = replace(NONE, readout_fraction=0.5, phase_fraction=0.75)
    cut = reception._sampled(random_image((32, 64, 4)), scanner)
    spectrum = np.abs(np.fft.fft(np.concatenate([cut, cut[:, ::-1]], axis=1), axis=1))
    assert spectrum[:, 49:80].max() < 1e-4 * spectrum.max()
    spectrum = np.abs(np.fft.fft(np.concatenate([cut, cut[::-1]], axis=0), axis=0))
    assert spectrum[17:48].max() < 1e-4 * spectrum.max()


def test_ghosts_of_the_artery_lie_on_both_sides_along_the_columns():
    image = np.zeros((8, 40, 3), np.complex64)
    image[4, 10, 1] = 2
    reception._add_ghosts(image, image != 0, replace(NONE, ghost=0.05, ghost_shift=0.2))
    assert np.argwhere(image).tolist() == [[4, 2, 1], [4, 10, 1], [4, 18, 1]]
    assert image[4, [2, 10, 18], 1] == pytest.approx([0.1, 2, 0.1])


def test_a_leg_that_moves_is_imaged_where_the_truth_is():
    columns = np.arange(64)
    bump = np.exp(-((columns - 30.0) ** 2) / 18)[None, :, None].astype(np.complex64)

    def moved(*motion):  # places in mm, 0.5 mm a column
        return np.abs(reception._moved(bump, 0.5, replace(NONE, motion=motion)))[0, :, 0]

    assert moved((0.0, 1.0)) == pytest.approx(bump[0, :, 0].real, abs=1e-4)
    for motion in ([(0.4, 0.4)], [(0.6, -0.4)], [(0.2, 0.1), (0.45, -0.4), (0.7, 0.4)]):
        image = moved(*motion)
        assert np.abs(image - bump[0, :, 0].real).max() > 0.01  # blurred, with ghosts
        peak = image > image.max() / 2
        assert np.average(columns[peak], weights=image[peak]) == pytest.approx(30, abs=0.1)


def test_a_slab_folds_its_ends_and_shifts_no_slice():
    knee = knee_of(0, 0, 0)
    shape, beyond = (40, 40, 20), 6
    scan = scan_knee(knee, sagittal(shape, SPACING), shape, STILL)
    field = np.ones(shape, np.complex64)
    image = reception.received(scan, 0, field, beyond, SPACING, NONE)
    inner = reception.received(scan.cropped(beyond), 0, field[..., :8], 0, SPACING, NONE)
    assert image.shape == (40, 40, 8)
    assert image == pytest.approx(inner, abs=2e-4)  # a sharp slab excites nothing beyond


def test_receive_fields_vary_two_to_fourfold_over_a_leg():
    for seed in range(6):
        field = reception.receive_field(
            (104, 104, 40), (1.54, 1.54, 2.8), np.random.default_rng(seed)
        )
        size = np.abs(field)
        assert size.mean() == pytest.approx(1, abs=0.01)
        middle = size[20:84, 20:84]
        assert 1.5 < middle.max() / middle.min() < 5
        assert np.abs(np.diff(size, axis=0)).max() < 0.2


def test_padding_lies_in_air_behind_the_leg():
    scan = NoiseFreeScan((10, 60, 3))
    scan.label[:, 20:30] = LABELS["muscle"]
    sheet = reception._padding(scan, SPACING)
    assert np.flatnonzero(sheet[5, :, 1]).tolist() == [35, 36, 37, 38, 39, 40]


def test_fat_is_suppressed_at_the_isocentre_and_fails_far_away():
    excess = replace(NONE, fat_excess=5.0).fat_excitation()
    x = np.float32([0, 30, 60, 90])
    values = excess(Points(x, 0 * x, 0 * x))
    assert values[0] == 1
    assert np.all(np.diff(values) >= 0)
    assert values[-1] == 5


def test_scanners_differ_in_all_their_properties():
    drawn = [
        random_imperfections(np.random.default_rng(seed), PROTOCOLS["high_resolution"])
        for seed in range(40)
    ]
    for name in Imperfections.__dataclass_fields__:
        assert len({getattr(scanner, name) for scanner in drawn}) > 1, name
    assert {scanner.coils for scanner in drawn} == {1, 2, 4, 8, 16}
