"""The paper's Table 2 from its values per subject, and the tests against known results."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.statistics import (
    agreement,
    holm,
    limits_of_agreement,
    mann_whitney,
    mean_interval,
    wilcoxon,
)
from mrsr_tf.errors import InputError

TRUTH = [35.2, 42.6, 27.9, 35.3, 36.6]
METHODS = {
    "MRSR": [35.8, 44.1, 29.1, 38.5, 38.0],
    "TCI": [36.4, 44.4, 29.8, 39.5, 39.0],
    "FI": [36.1, 44.5, 29.4, 39.0, 39.2],
    "ScSR": [42.4, 50.1, 35.9, 58.3, 46.7],
}
# Printed: average, its SD, CV %, its SD, difference, its SD, CCC.
TABLE_2 = {
    "MRSR": ("37.1", "5.4", "3.1", "1.8", "1.6", "1.0", "0.93"),
    "TCI": ("37.8", "5.3", "4.5", "2.2", "2.3", "1.1", "0.87"),
    "FI": ("37.6", "5.5", "4.1", "2.0", "2.1", "1.1", "0.89"),
    "ScSR": ("46.7", "8.4", "18.8", "9.3", "11.2", "6.7", "0.21"),
}
KEYS = ("mean", "sd", "cv_percent", "cv_percent_sd", "difference", "difference_sd", "ccc")


@pytest.mark.parametrize("method", METHODS)
def test_agreement_reproduces_the_papers_table_2_to_the_printed_digit(method):
    computed = agreement(TRUTH, METHODS[method])
    assert computed.keys() == set(KEYS)
    printed = TABLE_2[method]
    digits = (1, 1, 1, 1, 1, 1, 2)
    assert tuple(f"{computed[k]:.{n}f}" for k, n in zip(KEYS, digits, strict=True)) == printed


def test_agreement_reproduces_the_papers_ground_truth_column():
    computed = agreement(TRUTH, TRUTH)
    assert (f"{computed['mean']:.1f}", f"{computed['sd']:.1f}") == ("35.5", "5.2")


def test_equal_measurements_agree_perfectly():
    computed = agreement(TRUTH, TRUTH)
    assert (computed["difference"], computed["cv_percent"], computed["ccc"]) == (
        0,
        0,
        pytest.approx(1),
    )


def test_equal_constant_measurements_have_no_concordance():
    assert math.isnan(agreement([30, 30], [30, 30])["ccc"])


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(1, 100)), min_size=2, max_size=20))
def test_concordance_is_at_most_the_correlation(pairs):
    x, y = np.array(pairs).T
    if x.std() > 1e-3 and y.std() > 1e-3:
        assert abs(agreement(x, y)["ccc"]) <= abs(np.corrcoef(x, y)[0, 1]) + 1e-9


def exact_mann_whitney(a, b):
    """The p-value from all ways to deal the ranks."""
    values = [*a, *b]

    def u(chosen):
        return sum(
            values[i] > values[j] for i in chosen for j in set(range(len(values))) - {*chosen}
        )

    centre = len(a) * len(b) / 2
    observed = abs(u(range(len(a))) - centre)
    deals = [*itertools.combinations(range(len(values)), len(a))]
    return sum(abs(u(deal) - centre) >= observed for deal in deals) / len(deals)


def test_mann_whitney_is_exact_without_ties():
    rng = np.random.default_rng(1)
    for size in (2, 4, 5):
        a, b = rng.permutation(100)[: size + 4][:size], rng.random(4) * 60 + 0.5
        assert mann_whitney(a, b) == pytest.approx(exact_mann_whitney(a, b), abs=1e-12)


def test_mann_whitney_of_five_against_five_without_overlap_is_2_in_252():
    assert mann_whitney([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == pytest.approx(2 / 252)


def test_mann_whitney_is_exact_beyond_eight_subjects():
    assert mann_whitney(range(10), range(10, 20)) == pytest.approx(2 / math.comb(20, 10))


def test_mann_whitney_with_ties_is_the_corrected_normal_approximation():
    a, b = [1, 2, 2, 3, 5], [2, 4, 4, 6, 7, 8]
    ranks = {1: 1, 2: 3, 3: 5, 4: 6.5, 5: 8, 6: 9, 7: 10, 8: 11}  # mid-ranks, by hand
    u = sum(ranks[v] for v in a) - 5 * 6 / 2
    ties = (3**3 - 3) + (2**3 - 2)  # three 2s, two 4s
    sd = math.sqrt(5 * 6 / 12 * (12 - ties / (11 * 10)))
    z = (abs(u - 15) - 0.5) / sd
    assert mann_whitney(a, b) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=1e-12)


def test_mann_whitney_does_not_reject_for_the_papers_five_subjects():
    p = {name: mann_whitney(TRUTH, values) for name, values in METHODS.items()}
    assert all(value > 0.05 for value in p.values())


def test_wilcoxon_is_exact_for_few_subjects():
    # All five differences of one sign: 2 of 2^5 sign patterns are as extreme.
    assert wilcoxon(TRUTH, METHODS["ScSR"]) == pytest.approx(2 / 2**5)


def test_equal_samples_do_not_differ():
    assert mann_whitney([3, 3], [3, 3, 3]) == 1
    assert wilcoxon(TRUTH, TRUTH) == 1


def test_holm_returns_the_textbook_values_in_the_given_order():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.9, 0.8]), [1, 1])
    assert holm([]).shape == (0,)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_raw_and_bonferroni_and_keeps_the_order(p):
    adjusted, raw = holm(p), np.array(p)
    assert np.all(adjusted >= raw)
    assert np.all(adjusted <= np.minimum(1, raw * raw.size) + 1e-15)
    assert np.all(np.diff(adjusted[np.argsort(raw)]) >= 0)


@pytest.mark.parametrize("compare", [agreement, mann_whitney, wilcoxon])
def test_one_subject_is_refused(compare):
    with pytest.raises(InputError, match="got 1: no test"):
        compare([35.2], [35.8])


@pytest.mark.parametrize("compare", [agreement, wilcoxon])
def test_paired_comparisons_need_the_same_subjects(compare):
    with pytest.raises(InputError, match="same subjects in both, got 5 and 4"):
        compare(TRUTH, TRUTH[:4])


@pytest.mark.parametrize("compare", [agreement, mann_whitney, wilcoxon])
def test_values_that_are_not_finite_are_refused(compare):
    with pytest.raises(InputError, match="got 1 that are not"):
        compare([35.2, np.nan], [35.8, 44.1])


@pytest.mark.parametrize("p", [[-0.1], [1.1], [np.nan]])
def test_numbers_that_are_not_p_values_are_refused(p):
    with pytest.raises(InputError, match="p-values in"):
        holm(p)


def test_limits_of_agreement_are_those_of_bland_and_altmans_peak_flow_meters():
    # Their Table 1 (Lancet 1986): Wright's large and mini meter, first readings of 17 people; they
    # print a mean difference of -2.1 l/min with SD 38.8 and limits of about -80 and 76.
    large = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
    mini = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
    low, high = limits_of_agreement(mini, large)
    assert low == pytest.approx(-2.1 - 1.96 * 38.8, abs=0.1)
    assert high == pytest.approx(-2.1 + 1.96 * 38.8, abs=0.1)


def test_the_bootstrap_interval_of_normal_samples_has_its_nominal_coverage():
    random = np.random.default_rng(0)
    samples = random.normal(5, 2, (60, 20))
    intervals = [mean_interval(sample) for sample in samples]
    coverage = np.mean([low <= 5 <= high for low, high in intervals])
    assert 0.85 <= coverage <= 1  # nominally 95 %; with 20 values a little less
    student = 2.093 * samples.std(axis=1, ddof=1) / np.sqrt(20)
    widths = np.array([high - low for low, high in intervals]) / 2
    np.testing.assert_allclose(widths, student, rtol=0.25)


def test_the_interval_of_equal_values_is_that_value_and_of_two_values_lies_between_them():
    assert mean_interval([3.0, 3.0, 3.0]) == (3.0, 3.0)
    low, high = mean_interval([1.0, 2.0])
    assert 1 <= low < high <= 2
