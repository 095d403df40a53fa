import numpy as np
import pytest

from eval.sparse.lasso_homotopy import BLOCK, SLOTS, encode, learn, unit
from mrsr_tf.errors import InputError

RANDOM = np.random.default_rng(0)
ATOMS = unit(RANDOM.normal(size=(60, 20)))
SIGNALS = unit(RANDOM.normal(size=(200, 20)))


def distance_to_optimal(signals, atoms, codes, penalty):
    """How far the Lasso's optimality conditions are from holding, in double precision."""
    correlation = (signals - codes.astype(float) @ atoms) @ atoms.T
    active = np.abs(correlation - penalty * np.sign(codes))
    return np.where(codes == 0, np.maximum(np.abs(correlation) - penalty, 0), active).max()


@pytest.mark.parametrize("penalty", [0.02, 0.15, 0.6])
def test_codes_meet_the_optimality_conditions(penalty):
    codes = encode(SIGNALS, ATOMS, penalty)
    assert distance_to_optimal(SIGNALS, ATOMS, codes, penalty) < 1e-4
    assert codes.any()


def test_codes_are_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    # Its objective is ours divided by the number of features.
    lasso = linear_model.Lasso(0.1 / 20, fit_intercept=False, tol=1e-12, max_iter=100_000)
    theirs = np.stack([lasso.fit(ATOMS.T, signal).coef_ for signal in SIGNALS])
    np.testing.assert_allclose(encode(SIGNALS, ATOMS, 0.1), theirs, atol=2e-4)


def test_on_orthonormal_atoms_codes_are_the_soft_threshold():
    atoms = np.linalg.qr(RANDOM.normal(size=(12, 12)))[0]
    signals = RANDOM.normal(size=(50, 12))
    products = signals @ atoms.T
    expected = np.sign(products) * np.maximum(np.abs(products) - 0.3, 0)
    np.testing.assert_allclose(encode(signals, atoms, 0.3), expected, atol=1e-5)


def test_codes_can_have_many_atoms():
    codes = encode(SIGNALS, ATOMS, 1e-3)
    assert np.count_nonzero(codes, axis=1).max() > SLOTS
    assert distance_to_optimal(SIGNALS, ATOMS, codes, 1e-3) < 1e-4


def test_a_signal_has_the_same_code_in_every_block():
    many = np.tile(SIGNALS, (BLOCK // len(SIGNALS) + 2, 1))
    codes = encode(many, ATOMS, 0.2)
    np.testing.assert_allclose(codes[-len(SIGNALS) :], encode(SIGNALS, ATOMS, 0.2), atol=1e-5)


def test_signals_within_the_penalty_have_a_code_of_zeros():
    assert not encode(np.zeros((3, 20)), ATOMS, 0.1).any()
    assert not encode(SIGNALS, ATOMS, 1.01).any()
    assert encode(np.zeros((0, 20)), ATOMS, 0.1).shape == (0, 60)


def test_equal_and_opposite_atoms_do_no_harm():
    with_duplicates = np.concatenate([ATOMS, ATOMS[:7], -ATOMS[7:14]])
    codes = encode(SIGNALS, with_duplicates, 0.1)
    assert distance_to_optimal(SIGNALS, with_duplicates, codes, 0.1) < 1e-5
    assert not codes[:, 60:].any()


@pytest.mark.parametrize(
    ("signals", "atoms", "penalty", "message"),
    [
        (SIGNALS[:, :9], ATOMS, 0.1, r"expected signals \(n, 20\)"),
        (np.full((2, 20), np.nan), ATOMS, 0.1, "expected finite signals"),
        (SIGNALS, np.full((2, 20), np.inf), 0.1, "expected finite atoms"),
        (SIGNALS, ATOMS, 0.0, "expected a penalty above 0"),
        (SIGNALS, ATOMS, np.nan, "expected a penalty above 0"),
    ],
)
def test_input_that_cannot_be_encoded_is_refused(signals, atoms, penalty, message):
    with pytest.raises(InputError, match=message):
        encode(signals, atoms, penalty)


def test_nearly_all_atoms_that_compose_the_signals_are_learned():
    random = np.random.default_rng(1)
    atoms = unit(random.normal(size=(15, 20)))
    codes = random.normal(size=(4000, 15)) * (random.random((4000, 15)) < 0.12)
    signals = codes @ atoms
    learned = learn(signals, 15, 0.1, passes=15)
    np.testing.assert_allclose(np.linalg.norm(learned, axis=1), 1, atol=1e-5)
    assert np.count_nonzero(np.abs(atoms @ learned.T).max(axis=1) > 0.97) >= 12

    def objective(atoms):
        codes = encode(signals, atoms, 0.1)
        return np.mean(np.sum((signals - codes @ atoms) ** 2, 1) / 2 + 0.1 * np.abs(codes).sum(1))

    assert objective(learned) < 1.05 * objective(atoms) < 0.8 * objective(unit(signals[:15]))


def test_fewer_signals_than_atoms_are_refused():
    with pytest.raises(InputError, match="as many signals as the 30 atoms, got 10"):
        learn(np.vstack([SIGNALS[:10], np.zeros((50, 20))]), 30, 0.15)
