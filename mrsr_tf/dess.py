"""Dual-echo steady state (DESS): the signals that a tissue gives, and its T2 from them.

One repetition time (TR) is pulse, S1 at the echo time (TE), spoiler, S2 at TR - TE:

    pulse ---- S1 ---- spoiler ---- S2 ---- pulse          TE2 = 2 TR - TE: S2 lives through
      0        TE                 TR - TE    TR            one whole TR before it is seen

The steady state is a phase graph: each TR lifts the order n of the transverse magnetisation by one
(by dk in wavenumber), each pulse mixes the orders n and -n with the longitudinal one. What returns
from order n, h_n, is a continued fraction (Freed et al. 2001, doi 10.1063/1.1389859; diffusion as
in Weigel 2015, doi 10.1002/jmri.24619). With E1, E2 = exp(-TR/T1), exp(-TR/T2), flip angle a,
w = dk^2 D and a spoiler of duration Tg in the middle of TR,

    e_n = E1 exp(-n^2 TR w)                                 longitudinal, one TR at order n
    d_n = exp(-w ((2 n^2 + 2 n + 1) TR - Tg/3))             transverse, from n to n+1 and back
    k_n = sin^2(a/2) (1 + e_n) / (1 - cos(a) e_n)
    h_n = k_n + (1 - k_n)^2 q_n / (1 - k_n q_n),   q_n = E2^2 d_n h_(n+1)

    S1 = M0 sin(a) (1 - E1) exp(-TE/T2) / (1 - E1 cos(a) + q_0 (cos(a) - E1))
    S2 = S1 d_0 h_1 exp(-2 (TR - TE)/T2)

d_n holds the integral of the squared wavenumber: (TR - Tg)/2 each at n^2 and (n+1)^2 before and
after the spoiler, Tg (n^2 + n + 1/3) during it, and the same on the way back.

The analytic T2 of Sveinsson et al. 2017 (doi 10.1016/j.mri.2016.12.018) stops at the first term,
h_1 = k_1, and so reads long T2 too long. The exact one keeps them all.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsr_tf.errors import InputError

GYROMAGNETIC_RATIO = 2 * math.pi * 4258  # rad / (s G), the value that goes with GE's areas
WATER_IN_CARTILAGE = 1.25e-9  # m^2 / s

Floats = NDArray[np.floating]


def dess_signals(
    m0: ArrayLike,
    t1_ms: ArrayLike,
    t2_ms: ArrayLike,
    *,
    tr_ms: float,
    te_ms: float,
    flip_deg: ArrayLike,
    spoiler_area: float = 0.0,
    spoiler_duration_us: float = 0.0,
    diffusivity: ArrayLike = WATER_IN_CARTILAGE,
) -> tuple[Floats, Floats]:
    """Steady-state signals of both echoes; closed form unless the spoiler makes spins diffuse.

    With r = sqrt((1 - E2^2) / ((1 - E1 cos a)^2 - E2^2 (E1 - cos a)^2)), no diffusion:
    S1 = M0 tan(a/2) (1 - (E1 - cos a) r) exp(-TE/T2),
    S2 = M0 tan(a/2) (1 - (1 - E1 cos a) r) exp(+TE/T2).

    Args:
        m0: proton density, any unit. This, the relaxation times, the flip angle and the
            diffusivity broadcast together; float32 maps give float32 signals.
        t1_ms: longitudinal relaxation time, 0 or more.
        t2_ms: transverse relaxation time, 0 or more; where it is 0 there is no signal.
        tr_ms: repetition time.
        te_ms: echo time of S1.
        flip_deg: flip angle, a scalar or a map.
        spoiler_area: as GE stores it (3132 -> 8379 rad/m); 0: no diffusion.
        spoiler_duration_us: the spoiler's duration.
        diffusivity: m^2/s, a scalar or a map; counts only with a spoiler area.

    Returns:
        (S1, S2), in the unit of `m0`.

    Raises:
        InputError: the sequence is impossible, or a relaxation time is negative or not finite.
    """
    if spoiler_area:
        return phase_graph_signals(
            m0,
            t1_ms,
            t2_ms,
            tr_ms=tr_ms,
            te_ms=te_ms,
            flip_deg=flip_deg,
            spoiler_area=spoiler_area,
            spoiler_duration_us=spoiler_duration_us,
            diffusivity=diffusivity,
        )
    _check_sequence(tr_ms, te_ms, flip_deg)
    m0, t1, t2, flip = _floats(m0, t1_ms, t2_ms, flip_deg)
    r1, r2, angle = _rate(t1, "T1"), _rate(t2, "T2"), np.deg2rad(flip)
    e1, e2_squared, c = np.exp(-tr_ms * r1), np.exp(-2 * tr_ms * r2), np.cos(angle)
    a = 1 - e1 * c
    denominator = a**2 - e2_squared * (e1 - c) ** 2
    r = np.sqrt(-np.expm1(-2 * tr_ms * r2) / denominator)
    scale = m0 * np.tan(angle / 2)
    s1 = scale * (1 - (e1 - c) * r) * np.exp(-te_ms * r2)
    # 1 - a r, multiplied out so that nothing cancels where T2 is short; the E2^2 that comes out
    # of it turns exp(+TE/T2) into the decay over TE2.
    rest = -np.expm1(-2 * tr_ms * r1) * np.sin(angle) ** 2 / (denominator * (1 + a * r))
    s2 = scale * rest * np.exp(-(2 * tr_ms - te_ms) * r2)
    return s1, s2


def phase_graph_signals(
    m0: ArrayLike,
    t1_ms: ArrayLike,
    t2_ms: ArrayLike,
    *,
    tr_ms: float,
    te_ms: float,
    flip_deg: ArrayLike,
    spoiler_area: float = 0.0,
    spoiler_duration_us: float = 0.0,
    diffusivity: ArrayLike = WATER_IN_CARTILAGE,
) -> tuple[Floats, Floats]:
    """What `dess_signals` gives, by the phase graph: the formulas at the head of this file.

    Takes some twenty passes over the maps with the usual spoiler, and 10 T2/TR without one.
    """
    _check_sequence(tr_ms, te_ms, flip_deg)
    m0, t1, t2, flip, d = _floats(m0, t1_ms, t2_ms, flip_deg, diffusivity)
    r1, r2, angle = _rate(t1, "T1"), _rate(t2, "T2"), np.deg2rad(flip)
    w, tg_ms = d * _squared_wavenumber(spoiler_area), spoiler_duration_us / 1000
    e1, e2_squared, c = np.exp(-tr_ms * r1), np.exp(-2 * tr_ms * r2), np.cos(angle)
    returning = _returning(e1, e2_squared, angle, tr_ms, tg_ms, w)
    q = e2_squared * returning
    s1 = m0 * np.sin(angle) * (1 - e1) * np.exp(-te_ms * r2) / (1 - e1 * c + q * (c - e1))
    return s1, s1 * returning * np.exp(-2 * (tr_ms - te_ms) * r2)


def _returning(
    e1: Floats, e2_squared: Floats, angle: Floats, tr_ms: float, tg_ms: float, w: Floats
) -> Floats:
    """d_0 h_1, the continued fraction cut where what is left weighs less than 1e-9."""
    left, order = 1.0, 1
    longest, least = float(np.max(e2_squared)), float(np.min(w)) * tr_ms
    while left > 1e-9:
        left *= longest * math.exp(-least * (2 * order * (order + 1) + 1))
        order += 1
    h = _first_order(e1, angle, order**2 * tr_ms * w)
    for n in range(order - 1, 0, -1):
        k = _first_order(e1, angle, n**2 * tr_ms * w)
        q = e2_squared * np.exp(-w * ((2 * n * (n + 1) + 1) * tr_ms - tg_ms / 3)) * h
        h = k + (1 - k) ** 2 * q / (1 - k * q)
    return np.exp(-w * (tr_ms - tg_ms / 3)) * h


def _first_order(e1: Floats, angle: Floats, diffusion: Floats) -> Floats:
    """k_n, the part of an order that one pulse turns back."""
    e = e1 * np.exp(-diffusion)
    return np.sin(angle / 2) ** 2 * (1 + e) / (1 - np.cos(angle) * e)


def _squared_wavenumber(spoiler_area: float) -> float:
    """dk^2 / (1000 m^2): times a diffusivity in m^2/s it is a rate in 1/ms."""
    return (GYROMAGNETIC_RATIO * spoiler_area * 1e-4) ** 2 / 1000


def _floats(*values: ArrayLike) -> list[Floats]:
    """The values in one type: that of the arrays among them, float64 if there are none."""
    numbers = [v if isinstance(v, int | float) else np.asarray(v) for v in values]
    dtype = np.result_type(1.0, *numbers)
    return [np.asarray(v, dtype) for v in numbers]


def _rate(time_ms: Floats, name: str) -> Floats:
    if not (np.all(time_ms >= 0) and np.all(np.isfinite(time_ms))):
        raise InputError(f"expected a finite {name} of 0 ms or more, got {float(np.min(time_ms))}")
    with np.errstate(divide="ignore"):
        return 1 / time_ms


def _check_sequence(tr_ms: float, te_ms: float, flip_deg: ArrayLike) -> None:
    if not 0 <= te_ms < tr_ms < math.inf:
        raise InputError(
            f"expected an echo time from 0 to below the repetition time, got TE {te_ms} ms and "
            f"TR {tr_ms} ms"
        )
    if np.ndim(flip_deg) == 0 and not 0 < float(flip_deg) < 180:  # type: ignore[arg-type]
        raise InputError(f"expected a flip angle between 0 and 180 degrees, got {flip_deg}")
