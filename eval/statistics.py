"""Agreement of two measurements over subjects, and tests of whether they differ.

Samples have one finite value per subject, two subjects or more; paired samples have the same
subjects in the same order. Anything else is an `InputError`.
"""

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from mrsr_tf.errors import InputError

Values = NDArray[np.float64]

BOOTSTRAPS = 9999


class Agreement(TypedDict):
    """The result of `agreement`."""

    mean: float
    sd: float
    difference: float
    difference_sd: float
    cv_percent: float
    cv_percent_sd: float
    ccc: float


def agreement(reference: ArrayLike, estimate: ArrayLike) -> Agreement:
    """Agreement of an estimate with a reference, paired, as in the paper's Table 2.

    Returns:
        mean, sd: of the estimate; every SD has ddof 1.
        difference, difference_sd: of estimate minus reference.
        cv_percent, cv_percent_sd: of 100 abs(difference) / (sqrt 2 x mean of the pair), by subject.
        ccc: Lin's concordance correlation coefficient (doi 10.2307/2532051) with ddof 0,
        2 s_xy / (s_x^2 + s_y^2 + (mean_x - mean_y)^2); NaN if all values are equal.
    """
    x, y = _pairs(reference, estimate)
    difference = y - x
    cv = 100 * np.abs(difference) / (np.sqrt(2) * (x + y) / 2)
    spread = x.var() + y.var() + (y.mean() - x.mean()) ** 2
    covariance = np.mean((x - x.mean()) * (y - y.mean()))
    return {
        "mean": float(y.mean()),
        "sd": float(y.std(ddof=1)),
        "difference": float(difference.mean()),
        "difference_sd": float(difference.std(ddof=1)),
        "cv_percent": float(cv.mean()),
        "cv_percent_sd": float(cv.std(ddof=1)),
        "ccc": float(2 * covariance / spread) if spread else float("nan"),
    }


def limits_of_agreement(reference: ArrayLike, estimate: ArrayLike) -> tuple[float, float]:
    """Bland and Altman's limits (doi 10.1016/S0140-6736(86)90837-8): mean difference -+ 1.96 SD.

    Between them, 95 % of the differences of estimate minus reference (paired) are expected, if they
    are normally distributed.
    """
    x, y = _pairs(reference, estimate)
    mean, reach = float((y - x).mean()), 1.96 * float((y - x).std(ddof=1))
    return mean - reach, mean + reach


def mean_interval(values: ArrayLike, *, seed: int = 0) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean over subjects (bias-corrected and accelerated).

    The same values and seed give the same interval. If all values are equal, both ends are that
    value.
    """
    sample = _sample(values)
    if np.ptp(sample) == 0:
        return float(sample[0]), float(sample[0])
    # For two or three values the acceleration of BCa is meaningless and may be 0 / 0.
    method = "BCa" if sample.size > 3 else "percentile"
    interval = stats.bootstrap(
        (sample,), np.mean, n_resamples=BOOTSTRAPS, method=method, rng=np.random.default_rng(seed)
    ).confidence_interval
    return float(interval.low), float(interval.high)


def mann_whitney(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p-value of the Mann-Whitney U test for unpaired samples.

    The p-value is exact if no value occurs twice. Otherwise it is the normal approximation,
    corrected for ties and continuity. It is 1 if all values are equal.
    """
    a, b = _sample(a), _sample(b)
    distinct = np.unique(np.concatenate([a, b])).size
    if distinct == 1:
        return 1.0
    method = "exact" if distinct == a.size + b.size else "asymptotic"
    return float(stats.mannwhitneyu(a, b, alternative="two-sided", method=method).pvalue)


def wilcoxon(a: ArrayLike, b: ArrayLike) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test for paired samples.

    The p-value is exact for up to 50 subjects if there are no ties or zeros among the differences;
    otherwise SciPy chooses an approximation. Zeros are left out. If all differences are zero, the
    p-value is 1.
    """
    a, b = _pairs(a, b)
    if np.array_equal(a, b):
        return 1.0
    return float(stats.wilcoxon(a, b).pvalue)


def holm(p_values: ArrayLike) -> Values:
    """Holm's step-down adjustment (1979) of p-values, in the order given.

    The k-th smallest of m p-values is multiplied by m - k + 1. An adjusted p-value is at least as
    large as those of smaller p-values, and at most 1.

    Raises:
        InputError: a p-value is outside [0, 1].
    """
    p = np.asarray(p_values, np.float64).reshape(-1)
    if not np.all((p >= 0) & (p <= 1)):
        raise InputError(f"expected p-values in [0, 1], got {p.tolist()}")
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return np.minimum(adjusted, 1)


def _pairs(a: ArrayLike, b: ArrayLike) -> tuple[Values, Values]:
    a, b = _sample(a), _sample(b)
    if a.size != b.size:
        raise InputError(f"expected the same subjects in both, got {a.size} and {b.size}")
    return a, b


def _sample(values: ArrayLike) -> Values:
    values = np.asarray(values, np.float64).reshape(-1)
    if values.size < 2:
        raise InputError(
            f"expected two subjects or more, got {values.size}: no test or spread is possible"
        )
    if not np.isfinite(values).all():
        raise InputError(f"expected finite values, got {(~np.isfinite(values)).sum()} that are not")
    return values
