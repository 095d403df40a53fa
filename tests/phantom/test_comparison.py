"""The figures that compare a phantom with a real knee, on images whose figures are known."""

import numpy as np
import pytest

from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume
from phantom.comparison import figures
from phantom.comparison.scans import REAL_BOXES, REAL_SHAPE, ComparedScan, real_knee

SHAPE, SPACING = (64, 64, 12), (0.5, 0.5, 1.5)
TISSUES = ("fluid", "muscle", "marrow", "fat", "meniscus", "cartilage")


def compared(array):
    """A leg of 16 to 48 columns; each tissue is a band of it, and air lies beside it."""
    regions = {name: np.zeros(SHAPE, bool) for name in (*TISSUES, "air")}
    for index, name in enumerate(TISSUES):
        regions[name][8 * index : 8 * index + 8, 16:48] = True
    regions["muscle"] = np.zeros(SHAPE, bool)
    regions["muscle"][:, 20:44] = True  # large enough for patches
    regions["air"][:, :12] = True
    scan = Volume(
        np.stack([array, 0.5 * array], axis=-1).astype(np.float32), np.diag([*SPACING, 1])
    )
    return ComparedScan(scan, regions, (32, 32, 6))


@pytest.fixture
def leg():
    rng = np.random.default_rng(0)
    array = np.abs(rng.normal(0, 1, SHAPE) + 1j * rng.normal(0, 1, SHAPE))
    array[:, 16:48] += 100
    return array


def test_signals_are_relative_to_cartilage(leg):
    leg[16:24, 16:48] *= 0.25  # marrow
    knee = compared(leg)
    knee.regions["muscle"][16:24] = False
    signals = figures._signals(knee)
    assert signals["S1 of marrow over S1 of cartilage"] == pytest.approx(0.25, abs=0.01)
    assert signals["S2 of muscle over S1 of cartilage"] == pytest.approx(0.5, abs=0.01)


def test_the_shares_of_an_error_add_up_and_lie_where_the_error_is(leg):
    leg[:, 30, ::2] += 60  # alternating slices, 7 mm below the skin
    result = figures._interpolation(compared(leg), {})
    for text in ("of the scale", "skin"):
        shares = [v for name, v in result.items() if name.startswith("S1: share") and text in name]
        assert sum(shares) == pytest.approx(100)
    assert result["S1: share of TCI's error 5 to 15 mm below the skin, %"] > 90


def test_a_restoration_without_error_gains_without_limit(leg):
    smooth = np.repeat(leg[:, :, :1], SHAPE[2], axis=2)
    smooth[:, :, ::2] += 5
    knee = compared(smooth)
    result = figures._interpolation(knee, {"magic": lambda thick: knee.scan.array + 1e-3})
    assert result["S1: gain of magic over TCI, dB"] > 40


def test_texture_of_one_frequency_is_in_its_band_with_its_amplitude():
    columns = np.arange(SHAPE[1]) * SPACING[1]
    wave = 100 + 10 * np.sin(2 * np.pi * 0.75 * columns)  # 0.75 cycles per mm
    region = np.ones(SHAPE, bool)
    image = np.broadcast_to(wave[None, :, None], SHAPE)
    low, middle, high = figures._power_by_band(image, region, SPACING[0])
    assert middle == pytest.approx(10**2 / 2, rel=0.1)
    assert low + high < 0.1 * middle


def test_noise_in_air_is_rayleigh_and_as_large_as_it_is(leg):
    noises = figures._noises(compared(leg))
    assert noises["S1: mean of air over its SD (Rayleigh: 1.91)"] == pytest.approx(1.91, abs=0.05)
    rayleigh = np.sqrt(2 - np.pi / 2)  # its standard deviation, which muscle has too
    for name in ("air", "muscle"):
        noise = noises[f"S1: noise in {name} over S1 of cartilage"]
        assert noise == pytest.approx(rayleigh / (100 + np.sqrt(np.pi / 2)), rel=0.05)


def test_noise_of_the_outer_slices_is_that_of_their_air(leg):
    leg[:, :12, -4:] *= 2
    leg[:, 16:48, -4:] *= 0.5
    noises = figures._noises(compared(leg))
    first, last = (
        noises[f"S1: noise in air of the {place} slices over S1 of cartilage"]
        for place in ("first 7", "last 4")
    )
    assert last / first == pytest.approx(2, rel=0.05)
    assert noises["S1: brightness of the first 7 slices over the middle"] == pytest.approx(1, 0.01)
    assert noises["S1: brightness of the last 4 slices over the middle"] == pytest.approx(0.5, 0.01)


def cells(line):
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_a_scan_is_compared_with_itself_at_a_ratio_of_one(leg):
    knee = compared(leg)
    *table, _, end = figures.comparison_table(knee, [knee], {}).splitlines()
    rows = [cells(line) for line in table[2:]]
    for name, real, mean, low, high, ratio in rows:
        if "Wasserstein" in name:
            assert (real, mean, ratio) == ("", "0", "")
        else:
            assert real == mean == low == high
            assert ratio in ("1.00", "")
    count = len([row for row in rows if row[1]])
    assert end == f"{count} of {count} figures of the real knee lie within the phantoms'."


def test_phantoms_stand_with_their_mean_and_range(leg):
    real, *phantoms = (compared(leg.copy()) for _ in range(3))
    for knee, factor in zip(phantoms, (0.5, 0.9), strict=True):
        knee.scan.array[16:24, 16:48] *= factor  # marrow
    table = figures.comparison_table(real, iter(phantoms), {}).splitlines()
    (row,) = (cells(line) for line in table if "S1 of marrow over" in line)
    assert [float(cell) for cell in row[1:]] == pytest.approx([1, 0.7, 0.5, 0.9, 0.7], abs=0.01)
    within, total = (int(word) for word in table[-1].split() if word.isdigit())
    assert within < total


def test_only_the_scan_whose_regions_are_known_is_compared(leg):
    with pytest.raises(InputError, match="expected the real knee of 512x512x48"):
        real_knee(compared(leg).scan)
    for boxes in REAL_BOXES.values():
        for box in boxes:
            assert all(b.stop <= n for b, n in zip(box, REAL_SHAPE, strict=True))


def test_a_real_knee_without_its_timing_is_refused():
    scan = Volume(np.zeros((*REAL_SHAPE, 2), np.float32), np.diag([*SPACING, 1]), (7.0, 39.0))
    with pytest.raises(InputError, match=r"flip angle, got \(7.0, 39.0\), None"):
        real_knee(scan)
