"""Dual-echo steady state (DESS): the signals of a tissue, and its T2 from them.

One repetition time (TR) is pulse, S1 at the echo time (TE), spoiler, S2 at TR - TE:

    pulse ---- S1 ---- spoiler ---- S2 ---- pulse          TE2 = 2 TR - TE: S2 lives through
      0        TE                 TR - TE    TR            one whole TR before it is seen

The steady state is a phase graph: each TR raises the order n of the transverse magnetisation by one
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

d_n contains the integral of the squared wavenumber: (TR - Tg)/2 each at n^2 and (n+1)^2 before and
after the spoiler, Tg (n^2 + n + 1/3) during it, and the same on the way back. Without diffusion
all h_n are one h, the root of a quadratic equation with E = E2^2:

    h = 2 k / (1 - E + 2 k E + sqrt((1 - E) (1 - E + 4 k E (1 - k))))

which makes S1 and S2 the textbook's closed form (`dess_signals`).

The analytic T2 of Sveinsson et al. 2017 (doi 10.1016/j.mri.2016.12.018) stops at the first term,
h_1 = k_1, and so overestimates long T2. The exact method keeps all terms.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsr_tf.errors import InputError

GYROMAGNETIC_RATIO = 2 * math.pi * 4258  # rad / (s G), the value that goes with GE's areas
WATER_IN_CARTILAGE = 1.25e-9  # m^2 / s
T2_LIMIT_MS = 100.0
TIMING_TOLERANCE = 0.02  # of TR; headers print rounded times
LONGEST_TR_MS = 1000.0  # a steady state has pulses every few ms to some tens of ms
VOXELS_AT_ONCE = 1 << 18

Floats = NDArray[np.floating]


class T2Method(StrEnum):
    """How T2 follows from the two echoes; see `t2_map`."""

    ANALYTIC = "analytic"
    EXACT = "exact"


def is_dess_timing(echo_times_ms: Sequence[float] | None, tr_ms: float | None) -> bool:
    """Whether the times are those of a DESS with two echoes; False if any of them is unknown.

    The second echo of a DESS forms before the next pulse, so TE1 + TE2 = 2 TR, which no other
    sequence has: their second echo would come after that pulse. TR is at most `LONGEST_TR_MS`.
    """
    if echo_times_ms is None or len(echo_times_ms) != 2 or tr_ms is None or tr_ms > LONGEST_TR_MS:
        return False
    first, second = echo_times_ms
    return first < second and abs(first + second - 2 * tr_ms) <= TIMING_TOLERANCE * tr_ms


class _Sequence(NamedTuple):
    """Times in ms; `w` = dk^2 D in 1/ms, a scalar or a map."""

    tr: float
    te: float
    tg: float
    w: Floats | float

    @classmethod
    def checked(
        cls,
        tr_ms: float,
        te_ms: float,
        flip_deg: ArrayLike,
        spoiler_area: float = 0.0,
        spoiler_duration_us: float = 0.0,
        diffusivity: ArrayLike = 0.0,
    ) -> "_Sequence":
        if not 0 <= te_ms < tr_ms < math.inf:
            raise InputError(
                f"expected an echo time from 0 to below the repetition time, got TE {te_ms} ms "
                f"and TR {tr_ms} ms"
            )
        flip = np.asarray(flip_deg)
        if not (flip.ndim or 0 < flip < 180):
            raise InputError(f"expected a flip angle between 0 and 180 degrees, got {flip}")
        if not 0 <= spoiler_duration_us <= 1000 * tr_ms:
            raise InputError(
                f"expected a spoiler that lasts from 0 us to one repetition time ({tr_ms} ms), "
                f"got {spoiler_duration_us} us"
            )
        wavenumber = GYROMAGNETIC_RATIO * spoiler_area * 1e-4
        w = np.asarray(diffusivity) * (wavenumber**2 / 1000)
        if not np.all((w >= 0) & np.isfinite(w)):
            raise InputError("expected a diffusivity of 0 m^2/s or more everywhere")
        return cls(tr_ms, te_ms, spoiler_duration_us / 1000, w)

    def decay(self, n: int) -> Floats:
        """d_n."""
        return np.exp(-self.w * ((2 * n * (n + 1) + 1) * self.tr - self.tg / 3))

    def turned_back(self, n: int, e1: Floats, angle: Floats) -> Floats:
        """k_n: the part of order n that one pulse turns back."""
        e = e1 * np.exp(-(n**2) * self.tr * self.w)
        return np.sin(angle / 2) ** 2 * (1 + e) / (1 - np.cos(angle) * e)


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
    """Steady-state signals of both echoes, spoiled once per TR, by the formulas of this module.

    Without diffusion they are, in their usual form, with
    r = sqrt((1 - E2^2) / ((1 - E1 cos a)^2 - E2^2 (E1 - cos a)^2)),
    S1 = M0 tan(a/2) (1 - (E1 - cos a) r) exp(-TE/T2),
    S2 = M0 tan(a/2) (1 - (1 - E1 cos a) r) exp(+TE/T2),
    rearranged so that nothing cancels where T2 is short. Diffusion takes some twenty times longer.

    Args:
        m0: proton density in any unit. It, the relaxation times, the flip angle and the diffusivity
            broadcast together; float32 maps give float32 signals.
        t1_ms: longitudinal relaxation time, 0 or more.
        t2_ms: transverse relaxation time, 0 or more; where it is 0 there is no signal.
        tr_ms: repetition time.
        te_ms: echo time of S1.
        flip_deg: flip angle, a scalar or a map.
        spoiler_area: as GE stores it (3132 -> 8379 rad/m); 0: no diffusion.
        spoiler_duration_us: the spoiler's duration.
        diffusivity: m^2/s, a scalar or a map; without a spoiler area it has no effect.

    Returns:
        (S1, S2), in the unit of `m0`.

    Raises:
        InputError: the sequence is impossible, or a relaxation time is negative or not finite.
    """
    m0, t1, t2, flip, d = _floats(m0, t1_ms, t2_ms, flip_deg, diffusivity)
    sequence = _Sequence.checked(tr_ms, te_ms, flip_deg, spoiler_area, spoiler_duration_us, d)
    r1, r2, angle = _rate(t1, "T1"), _rate(t2, "T2"), np.deg2rad(flip)
    e1, e2_squared, c = np.exp(-tr_ms * r1), np.exp(-2 * tr_ms * r2), np.cos(angle)
    returning = sequence.decay(0) * _returning(e1, e2_squared, angle, sequence)
    q = e2_squared * returning
    scale = m0 * np.sin(angle) * -np.expm1(-tr_ms * r1)
    s1 = scale * np.exp(-te_ms * r2) / (1 - e1 * c + q * (c - e1))
    return s1, s1 * returning * np.exp(-2 * (tr_ms - te_ms) * r2)


def t2_map(
    s1: ArrayLike,
    s2: ArrayLike,
    *,
    tr_ms: float,
    te_ms: float,
    flip_deg: ArrayLike,
    t1_ms: ArrayLike = 1200.0,
    spoiler_area: float = 0.0,
    spoiler_duration_us: float = 0.0,
    diffusivity: float = WATER_IN_CARTILAGE,
    method: str = T2Method.ANALYTIC,
    limit_ms: float = T2_LIMIT_MS,
) -> Floats:
    """T2 from the two echoes of a DESS scan.

    Analytic (Sveinsson et al. 2017): T2 = -2 (TR - TE) / (ln(S2 / (S1 k_1)) + w (TR - Tg/3)).
    Exact: the same with h_1(T2) for k_1, so that the steady state itself is inverted.

    Args:
        s1: first echo, any shape; float32 stays float32.
        s2: second echo, of the same shape and scale.
        tr_ms: repetition time.
        te_ms: echo time of S1.
        flip_deg: flip angle, a scalar or a map.
        t1_ms: T1, a scalar or a map. Where either map is not positive there is no T2.
        spoiler_area: as GE stores it (3132 -> 8379 rad/m); 0: no diffusion.
        spoiler_duration_us: the spoiler's duration.
        diffusivity: m^2/s.
        method: "analytic" (biased upward: 1 % at 27 ms, 5 % at 50, 13 % at 80) or "exact".
        limit_ms: the longest T2 that is valid.

    Returns:
        T2 in ms, in (0, limit]; NaN where either echo is not positive or T2 is outside this range.

    Raises:
        InputError: the shapes do not match, the sequence is impossible, T1 is not positive or the
            method is unknown.
    """
    if method not in tuple(T2Method):
        raise InputError(f"expected the T2 method {' or '.join(T2Method)}, got {method!r}")
    s1, s2 = _floats(s1, s2)
    t1, flip = np.asarray(t1_ms), np.asarray(flip_deg)
    sequence = _Sequence.checked(tr_ms, te_ms, flip, spoiler_area, spoiler_duration_us, diffusivity)
    _check_maps(s1, s2, t1, flip)
    with np.errstate(divide="ignore", invalid="ignore"):
        e1 = np.exp(-tr_ms / np.where(t1 > 0, t1, np.nan))
        k = sequence.turned_back(1, e1, np.deg2rad(np.where(flip > 0, flip, np.nan)))
        rate = np.divide(s2, s1, where=s1 > 0, out=np.full(s1.shape, np.nan, s1.dtype))
        np.log(rate, out=rate)
        np.subtract(np.log(k * sequence.decay(0)).astype(rate.dtype), rate, out=rate)
        rate /= 2 * (tr_ms - te_ms)
        if method == T2Method.EXACT:
            _add_higher_orders(rate, k, flip, sequence, limit_ms)
        t2 = np.divide(1, rate, out=rate)
        np.copyto(t2, np.nan, where=~((t2 > 0) & (t2 <= limit_ms)))
    return t2[()]


def _add_higher_orders(
    rate: Floats, k: Floats, flip_deg: Floats, sequence: _Sequence, limit_ms: float
) -> None:
    """Makes analytic rates 1/T2 exact, in place, with a table of their smooth, small difference."""
    from scipy import ndimage  # slow to load

    k_nodes, flip_nodes = _nodes(k), _nodes(flip_deg)
    rate_nodes, table = _higher_orders(k_nodes, flip_nodes, sequence, limit_ms)
    axes = [(rate, rate_nodes), (k, k_nodes), (flip_deg, flip_nodes)]
    maps = [
        (np.broadcast_to(values, rate.shape).reshape(-1), nodes)
        for values, nodes in axes
        if nodes.size > 1
    ]
    flat, table = rate.reshape(-1), table.reshape([nodes.size for _, nodes in maps])
    for start in range(0, flat.size, VOXELS_AT_ONCE):
        part = slice(start, start + VOXELS_AT_ONCE)
        index = [(values[part] - nodes[0]) / (nodes[1] - nodes[0]) for values, nodes in maps]
        flat[part] += ndimage.map_coordinates(table, np.nan_to_num(index), order=1, mode="nearest")


def _higher_orders(
    k_nodes: Floats, flip_nodes: Floats, sequence: _Sequence, limit_ms: float
) -> tuple[Floats, Floats]:
    """Analytic rates, and for each of them, k_1 and flip angle the difference of the exact rate.

    It is ln(h_1 / k_1) / (2 (TR - TE)). Without diffusion T1 enters through k_1 alone, with it
    almost, so that k_1 is the better axis of the table.
    """
    # From slightly beyond the limit, so that longer T2 is recognised as such, to E2^2 = 1e-6.
    exact = np.linspace(0.9 / limit_ms, max(0.9 / limit_ms, 7 / sequence.tr), 1024)[:, None, None]
    k, angle = k_nodes[:, None], np.deg2rad(flip_nodes)
    turned = np.sin(angle / 2) ** 2
    e1 = (k - turned) / (turned + np.cos(angle) * k) / np.exp(-sequence.tr * sequence.w)
    h = _returning(e1, np.exp(-2 * sequence.tr * exact), angle, sequence)
    analytic = exact - np.log(h / k) / (2 * (sequence.tr - sequence.te))
    rates = np.linspace(analytic.min(), analytic[-1].min(), 1024)
    table = np.empty((rates.size, *h.shape[1:]))
    for column in np.ndindex(h.shape[1:]):
        table[:, *column] = np.interp(rates, analytic[:, *column], exact[:, 0, 0]) - rates
    return rates, table


def _nodes(values: Floats, count: int = 32) -> NDArray[np.float64]:
    """Nodes of a table over a map, from its lowest to its highest usable value."""
    usable = values[np.isfinite(values) & (values > 0)].astype(np.float64)
    lowest, highest = usable.min(initial=np.inf), usable.max(initial=0)
    return np.linspace(lowest, highest, count) if lowest < highest else np.resize(usable, 1)


def _check_maps(s1: Floats, s2: Floats, t1_ms: Floats, flip_deg: Floats) -> None:
    if s1.shape != s2.shape:
        raise InputError(f"expected two echoes of one shape, got {s1.shape} and {s2.shape}")
    for name, values in (("T1", t1_ms), ("flip angle", flip_deg)):
        if values.ndim and values.shape != s1.shape:
            raise InputError(
                f"expected a {name} that is a number or a map of shape {s1.shape}, "
                f"got {values.shape}"
            )
    if not t1_ms.ndim and not 0 < t1_ms < math.inf:
        raise InputError(f"expected a T1 above 0 ms, got {t1_ms}")


def _returning(e1: Floats, e2_squared: Floats, angle: Floats, sequence: _Sequence) -> Floats:
    """h_1; without diffusion from the order on whose error contributes less than 1e-9."""
    weight, order, diffusing = 1.0, 1, np.extract(sequence.w, sequence.w)
    longest, slowest = float(np.max(e2_squared)), sequence._replace(w=diffusing.min(initial=1))
    while diffusing.size and weight > 1e-9:
        weight *= longest * float(slowest.decay(order))
        order += 1
    k = sequence.turned_back(order, e1, angle)
    lost, mixed = 1 - e2_squared, k * e2_squared
    h = 2 * k / (lost + 2 * mixed + np.sqrt(lost * (lost + 4 * mixed * (1 - k))))
    for n in range(order - 1, 0, -1):
        k = sequence.turned_back(n, e1, angle)
        q = e2_squared * sequence.decay(n) * h
        h = k + (1 - k) ** 2 * q / (1 - k * q)
    return h


def _floats(*values: ArrayLike) -> list[Floats]:
    """The values in one type: the type of the arrays among them, float64 if there are none."""
    numbers = [v if isinstance(v, int | float) else np.asarray(v) for v in values]
    dtype = np.result_type(1.0, *numbers)
    return [np.asarray(v, dtype) for v in numbers]


def _rate(time_ms: Floats, name: str) -> Floats:
    if not (np.all(time_ms >= 0) and np.all(np.isfinite(time_ms))):
        raise InputError(f"expected a finite {name} of 0 ms or more, got {time_ms.min()}")
    with np.errstate(divide="ignore"):
        return 1 / time_ms
