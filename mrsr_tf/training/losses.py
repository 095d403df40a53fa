"""What training makes small: the difference of the estimate from the truth, patch by patch.

The paper's loss is L2. The others are options; docs/training.md says what each is for.
"""

from collections.abc import Callable

import tensorflow as tf

from mrsr_tf.errors import InputError

# (truth, estimate), float32 (patches, rows, cols, slices, echoes) -> (patches,)
Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

CHARBONNIER = 1e-3
# Zhao, Gallo, Frosio, Kautz 2017, doi:10.1109/TCI.2016.2644865, of SSIM against L1.
SSIM_SHARE = 0.84
# Of the subject's scale: below it there is air or bone, and the log of a ratio is all noise.
SIGNAL = 0.05
SSIM_WINDOW = 11


def l2(truth: tf.Tensor, estimate: tf.Tensor) -> tf.Tensor:
    """Mean squared difference."""
    return _by_patch((truth - estimate) ** 2)


def l1(truth: tf.Tensor, estimate: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference."""
    return _by_patch(tf.abs(truth - estimate))


def charbonnier(truth: tf.Tensor, estimate: tf.Tensor) -> tf.Tensor:
    """Mean of sqrt(d^2 + 0.001^2): L1 that is smooth at 0 (Charbonnier et al. 1994)."""
    return _by_patch(tf.sqrt((truth - estimate) ** 2 + CHARBONNIER**2))


def ssim_l1(truth: tf.Tensor, estimate: tf.Tensor) -> tf.Tensor:
    """0.84 (1 - SSIM of the row x column slices, data range 1) + 0.16 L1."""
    return SSIM_SHARE * (1 - ssim(truth, estimate)) + (1 - SSIM_SHARE) * l1(truth, estimate)


LOSSES = {loss.__name__: loss for loss in (l2, l1, charbonnier, ssim_l1)}


def make_loss(name: str, t2_weight: float = 0.0) -> Loss:
    """The loss of a name, with so many times the T2 term.

    Raises:
        InputError: no loss of this name.
    """
    if name not in LOSSES:
        raise InputError(f"expected the loss {', '.join(LOSSES)}, got {name!r}")
    loss = LOSSES[name]
    if not t2_weight:
        return loss
    return lambda truth, estimate: loss(truth, estimate) + t2_weight * t2(truth, estimate)


def t2(truth: tf.Tensor, estimate: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of ln(S2/S1), where both echoes of the truth have signal.

    T2 = -2 (TR - TE) / (ln(S2/S1) - const), so this is, whatever the sequence, the error of 1/T2
    in units of 1 / (2 (TR - TE)). An estimate below half the threshold counts as that half, so
    that the logarithm stays finite.

    Args:
        truth: in units of the subject's scale; of two echoes.
        estimate: of the same shape.

    Returns:
        (patches,); 0 for a patch without signal.
    """
    signal = tf.cast(tf.reduce_all(truth > SIGNAL, axis=-1), tf.float32)
    difference = _log_ratio(estimate) - _log_ratio(truth)
    voxels = tf.reduce_sum(signal, axis=[1, 2, 3])
    return tf.reduce_sum(signal * difference**2, axis=[1, 2, 3]) / tf.maximum(voxels, 1)


def ssim(truth: tf.Tensor, estimate: tf.Tensor) -> tf.Tensor:
    """Wang's SSIM, data range 1: the mean over row x column slices and echoes; (patches,)."""
    planes = [
        tf.reshape(
            tf.transpose(patches, [0, 3, 4, 1, 2]),
            tf.concat([[-1], tf.shape(patches)[1:3], [1]], 0),
        )
        for patches in (truth, estimate)
    ]
    window = min(SSIM_WINDOW, *truth.shape[1:3])
    by_plane = tf.image.ssim(*planes, max_val=1.0, filter_size=window)
    return tf.reduce_mean(tf.reshape(by_plane, [tf.shape(truth)[0], -1]), axis=1)


def _log_ratio(echoes: tf.Tensor) -> tf.Tensor:
    first, second = tf.unstack(tf.maximum(echoes, SIGNAL / 2), axis=-1)
    return tf.math.log(second / first)


def _by_patch(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(values, axis=[1, 2, 3, 4])
