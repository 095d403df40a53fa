import numpy as np
import pytest
import tensorflow as tf

from mrsr_tf.mri.dess import dess_signals
from mrsr_tf.training import losses
from mrsr_tf.training.config import Loss

SEQUENCE = {"tr_ms": 23.0, "te_ms": 7.0, "flip_deg": 20.0}


def patches(seed=0, echoes=2):
    chance = np.random.default_rng(seed)
    return chance.uniform(0.1, 1, (3, 12, 12, 4, echoes)).astype(np.float32)


@pytest.mark.parametrize("name", Loss)
def test_the_truth_itself_costs_nothing_and_every_patch_has_its_own_loss(name):
    truth, other = patches(), patches(1)
    other[0] = truth[0]
    by_patch = losses.make_loss(name)(truth, other).numpy()
    assert by_patch.shape == (3,)
    assert by_patch[0] == pytest.approx(0, abs=1e-6)
    assert (by_patch[1:] > 0.01).all()


def test_l1_and_l2_are_their_formulas():
    truth, other = patches(), patches(1)
    d = (truth - other).astype(np.float64)
    axes = (1, 2, 3, 4)
    np.testing.assert_allclose(losses.l1(truth, other), np.abs(d).mean(axes), rtol=1e-5)
    np.testing.assert_allclose(losses.l2(truth, other), (d**2).mean(axes), rtol=1e-5)


def test_log_l2_counts_a_decibel_alike_in_each_slice_and_echo():
    truth, noise = patches(), np.random.default_rng(2).normal(0, 0.1, (3, 12, 12, 4, 2))
    noise[..., 1] /= 10
    before = losses.log_l2(truth, (truth + noise).astype(np.float32)).numpy()
    squares = np.square(noise).mean((1, 2))
    np.testing.assert_allclose(before, np.log1p(squares / 1e-6).mean((1, 2)), rtol=1e-4)
    for part in (np.s_[..., 0], np.s_[..., 1], np.s_[:, :, :, :2]):  # an echo, or half the slices
        halved = noise.copy()
        halved[part] /= 2
        after = losses.log_l2(truth, (truth + halved).astype(np.float32)).numpy()
        np.testing.assert_allclose(before - after, np.log(4) / 2, rtol=0.03)


def test_the_t2_term_is_the_error_of_1_over_t2_and_blind_to_brightness():
    """ln(S2/S1) = const - 2 (TR - TE) / T2 nearly, by the analytic formula of T2."""
    truth = np.stack(dess_signals(1.0, 1200.0, 35.0, **SEQUENCE))
    other = np.stack(dess_signals(1.0, 1200.0, 40.0, **SEQUENCE))
    shape = (1, 2, 2, 2, 2)
    truth, other = (np.broadcast_to(10 * s, shape).astype(np.float32) for s in (truth, other))
    expected = (2 * 16 * (1 / 35 - 1 / 40)) ** 2
    assert float(losses.t2(truth, other)[0]) == pytest.approx(expected, rel=0.1)
    np.testing.assert_allclose(losses.t2(truth, 3 * other), losses.t2(truth, other), rtol=1e-3)


def test_the_t2_term_leaves_out_voxels_without_signal_in_both_echoes():
    truth = np.full((2, 4, 4, 4, 2), 0.5, np.float32)
    truth[0, ..., 1] = losses.SIGNAL_THRESHOLD / 2
    assert losses.t2(truth, patches()[:2, :4, :4]).numpy()[0] == 0


def test_its_gradient_is_finite_where_the_estimate_is_negative():
    truth, estimate = patches(), tf.Variable(-patches(1))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(losses.make_loss(Loss.L2, 0.1)(truth, estimate))
    assert np.isfinite(tape.gradient(loss, estimate).numpy()).all()
