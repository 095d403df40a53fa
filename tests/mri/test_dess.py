"""The steady state against published values, a pulse-by-pulse simulation and the textbook."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrsr_tf.errors import InputError
from mrsr_tf.mri.dess import GYROMAGNETIC_RATIO, dess_signals, t2_map

PAPER = {"tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0}
SPOILER = {"spoiler_area": 3132.0, "spoiler_duration_us": 1560.0}
TISSUES = {
    "deep cartilage": (1200, 27),
    "superficial cartilage": (1250, 46),
    "degenerated cartilage": (1300, 60),
    "meniscus": (1000, 15),
    "muscle": (1420, 32),
    "ligament": (1000, 20),
    "tendon": (700, 6),
    "synovial fluid": (3620, 767),
    "subcutaneous fat": (371, 133),
    "marrow fat": (365, 133),
    "cortical bone": (250, 0.5),
}


def simulated(t1, t2, *, tr_ms, te_ms, flip_deg, area=0.0, duration_us=0.0, diffusivity=1.25e-9):
    """(S1, S2) after pulse upon pulse: extended phase graphs, all configurations kept.

    Diffusion is the numerical integral of the squared wavenumber over each part of TR.
    """
    a = np.deg2rad(flip_deg)
    e1, e2 = np.exp(-tr_ms / t1), np.exp(-tr_ms / t2)
    orders = 60 if area else int(20 * t2 / tr_ms) + 10
    n = np.arange(orders)
    w = (GYROMAGNETIC_RATIO * area * 1e-4) ** 2 * diffusivity / 1000
    time = np.linspace(0, tr_ms, 100_001)
    tg = max(duration_us / 1000, 1e-9)
    ramp = np.clip((time - (tr_ms - tg) / 2) / tg, 0, 1)
    lift = np.exp([-w * np.trapezoid((order + ramp) ** 2, time) for order in n])
    stay = np.exp(-w * tr_ms * n**2)
    plus, minus, along = np.zeros((3, orders))
    along[0] = 1
    for _ in range(int(15 * t1 / tr_ms)):
        plus, minus, along = (
            np.cos(a / 2) ** 2 * plus - np.sin(a / 2) ** 2 * minus + np.sin(a) * along,
            np.cos(a / 2) ** 2 * minus - np.sin(a / 2) ** 2 * plus + np.sin(a) * along,
            np.cos(a) * along - np.sin(a) / 2 * (plus + minus),
        )
        s1 = plus[0] * np.exp(-te_ms / t2)
        # From order -(n+1) to -n the squared wavenumber runs as from n to n+1, backwards.
        minus = np.append((e2 * lift)[:-1] * minus[1:], 0)
        plus = np.append(minus[0], (e2 * lift * plus)[:-1])
        along *= e1 * stay
        along[0] += 1 - e1
        s2 = abs(minus[0]) * np.exp(te_ms / t2)
    return s1, s2


def textbook(t1, t2, *, tr_ms, te_ms, flip_deg):
    a = np.deg2rad(flip_deg)
    e1, e2, c = np.exp(-tr_ms / t1), np.exp(-tr_ms / t2), np.cos(a)
    r = np.sqrt((1 - e2**2) / ((1 - e1 * c) ** 2 - e2**2 * (e1 - c) ** 2))
    return (
        np.tan(a / 2) * (1 - (e1 - c) * r) * np.exp(-te_ms / t2),
        np.tan(a / 2) * (1 - (1 - e1 * c) * r) * np.exp(te_ms / t2),
    )


def test_cartilage_gives_the_published_signals():
    np.testing.assert_allclose(
        dess_signals(1.0, 1240.0, 36.9, **PAPER), (0.07633, 0.02516), atol=1e-5
    )


@pytest.mark.parametrize("tissue", TISSUES)
def test_signals_are_those_of_the_simulation_without_diffusion(tissue):
    t1, t2 = TISSUES[tissue]
    np.testing.assert_allclose(
        dess_signals(1.0, t1, t2, **PAPER), simulated(t1, t2, **PAPER), atol=1e-6
    )


@pytest.mark.parametrize("tissue", TISSUES)
def test_signals_are_those_of_the_simulation_with_diffusion(tissue):
    t1, t2 = TISSUES[tissue]
    np.testing.assert_allclose(
        dess_signals(1.0, t1, t2, **PAPER, **SPOILER),
        simulated(t1, t2, **PAPER, area=3132, duration_us=1560),
        atol=1e-6,
    )


@given(
    t1=st.floats(200, 4000),
    relative_t2=st.floats(0.01, 1),
    flip=st.floats(2, 90),
    tr=st.floats(10, 40),
    relative_te=st.floats(0.05, 0.5),
)
def test_signals_are_the_textbook_closed_form(t1, relative_t2, flip, tr, relative_te):
    sequence = {"tr_ms": tr, "te_ms": relative_te * tr, "flip_deg": flip}
    t2 = max(relative_t2 * t1, 8.0)  # below, the textbook's form cancels
    np.testing.assert_allclose(
        dess_signals(1.0, t1, t2, **sequence), textbook(t1, t2, **sequence), rtol=1e-6, atol=1e-9
    )


def test_an_ever_weaker_spoiler_leads_to_the_closed_form():
    weak = dess_signals(1.0, 1200.0, 40.0, **PAPER, spoiler_area=1e-3)
    np.testing.assert_allclose(weak, dess_signals(1.0, 1200.0, 40.0, **PAPER), rtol=1e-9)


def test_maps_give_what_their_voxels_give():
    t1, t2 = np.array([[1200.0, 1000.0]]), np.array([[27.0], [15.0], [46.0]])
    diffusivity = np.array([[0.0, 2e-9]])
    s1, s2 = dess_signals(1.0, t1, t2, **PAPER, **SPOILER, diffusivity=diffusivity)
    assert s1.shape == s2.shape == (3, 2)
    for i, j in np.ndindex(3, 2):
        voxel = dess_signals(
            1.0, t1[0, j], t2[i, 0], **PAPER, **SPOILER, diffusivity=diffusivity[0, j]
        )
        np.testing.assert_allclose((s1[i, j], s2[i, j]), voxel, rtol=1e-8)


def test_float32_maps_stay_float32_and_accurate():
    t1, t2 = np.random.default_rng(0).uniform([[200], [0.5]], [[4000], [1000]], (2, 500))
    for spoiler in ({}, SPOILER):
        single = dess_signals(1.0, t1.astype("f"), t2.astype("f"), **PAPER, **spoiler)
        assert {s.dtype for s in single} == {np.dtype(np.float32)}
        np.testing.assert_allclose(
            single, dess_signals(1.0, t1, t2, **PAPER, **spoiler), rtol=3e-5, atol=1e-12
        )


def test_air_is_silent():
    zero = np.zeros(3)
    for spoiler in ({}, SPOILER):
        assert not np.any(dess_signals(zero, zero, zero, **PAPER, **spoiler))
        assert not np.any(dess_signals(1.0, 0.0, 0.0, **PAPER, **spoiler))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"te_ms": 23.0}, "echo time"),
        ({"te_ms": -1.0}, "echo time"),
        ({"tr_ms": np.nan}, "echo time"),
        ({"flip_deg": 0.0}, "flip angle"),
        ({"flip_deg": 180.0}, "flip angle"),
        ({"spoiler_duration_us": 24_000.0}, "spoiler"),
        ({"diffusivity": -1e-9, "spoiler_area": 3132.0}, "diffusivity"),
    ],
)
def test_an_impossible_sequence_is_refused(changed, message):
    with pytest.raises(InputError, match=message):
        dess_signals(1.0, 1200.0, 40.0, **(PAPER | changed))
    with pytest.raises(InputError, match=message):
        t2_map(1.0, 0.3, **(PAPER | changed))


@pytest.mark.parametrize(("t1", "t2"), [(-1.0, 40.0), (1200.0, np.nan), (np.inf, 40.0)])
def test_an_impossible_relaxation_time_is_refused(t1, t2):
    with pytest.raises(InputError, match=r"T[12] of 0 ms or more"):
        dess_signals(1.0, t1, t2, **PAPER)
