"""Training losses: the difference of a prediction from the target, one value per patch.

The paper's loss is L2. docs/training.md says what the others are for.
"""

from collections.abc import Callable

import tensorflow as tf

from mrsr_tf.training.config import Loss

# (targets, predictions), float32 (patches, rows, cols, slices, echoes) -> (patches,)
LossFunction = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

# Weight of SSIM against L1: Zhao, Gallo, Frosio, Kautz 2017, doi:10.1109/TCI.2016.2644865.
SSIM_WEIGHT = 0.84
SSIM_WINDOW = 11
# In units of the subject's scale. Below it is air or bone, where a ratio of echoes is noise.
SIGNAL_THRESHOLD = 0.05
# Squared: a thousandth of the subject's scale.
NEGLIGIBLE_ERROR = 1e-6


def l2(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Mean squared difference."""
    return _mean_per_patch((targets - predictions) ** 2)


def l1(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference."""
    return _mean_per_patch(tf.abs(targets - predictions))


def ssim_l1(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """0.84 (1 - SSIM of the row x column slices, data range 1) + 0.16 L1."""
    dissimilarity = 1 - ssim(targets, predictions)
    return SSIM_WEIGHT * dissimilarity + (1 - SSIM_WEIGHT) * l1(targets, predictions)


def log_l2(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Mean of ln(1 + e / 1e-6), where e is the mean squared difference of a slice of an echo.

    A decibel counts alike in every slice and echo, however dark, unless its error is negligible.
    """
    by_slice = tf.reduce_mean((targets - predictions) ** 2, axis=[1, 2])
    return tf.reduce_mean(tf.math.log1p(by_slice / NEGLIGIBLE_ERROR), axis=[1, 2])


FUNCTIONS: dict[Loss, LossFunction] = {
    Loss.L2: l2,
    Loss.L1: l1,
    Loss.LOG_L2: log_l2,
    Loss.SSIM_L1: ssim_l1,
}


def make_loss(name: Loss, t2_weight: float = 0.0) -> LossFunction:
    """Returns the loss of a name plus `t2_weight` times the T2 term."""
    loss = FUNCTIONS[name]
    if not t2_weight:
        return loss
    return lambda targets, predictions: (
        loss(targets, predictions) + t2_weight * t2(targets, predictions)
    )


def t2(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of ln(S2/S1) where both echoes of the target have signal.

    T2 = -2 (TR - TE) / (ln(S2/S1) - const), so that for any sequence this is the error of 1/T2 in
    units of 1 / (2 (TR - TE)). Predictions below half the threshold are clipped to it, which keeps
    the logarithm finite.

    Args:
        targets: in units of the subject's scale; two echoes.
        predictions: of the same shape.

    Returns:
        (patches,); 0 for a patch without signal.
    """
    signal = tf.cast(tf.reduce_all(targets > SIGNAL_THRESHOLD, axis=-1), tf.float32)
    difference = _log_ratio(predictions) - _log_ratio(targets)
    voxels = tf.reduce_sum(signal, axis=[1, 2, 3])
    return tf.reduce_sum(signal * difference**2, axis=[1, 2, 3]) / tf.maximum(voxels, 1)


def ssim(targets: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Wang's SSIM, data range 1: the mean over row x column slices and echoes; (patches,)."""
    planes = [
        tf.reshape(
            tf.transpose(patches, [0, 3, 4, 1, 2]),
            tf.concat([[-1], tf.shape(patches)[1:3], [1]], 0),
        )
        for patches in (targets, predictions)
    ]
    window = min(SSIM_WINDOW, *targets.shape[1:3])
    by_plane = tf.image.ssim(*planes, max_val=1.0, filter_size=window)
    return tf.reduce_mean(tf.reshape(by_plane, [tf.shape(targets)[0], -1]), axis=1)


def _log_ratio(echoes: tf.Tensor) -> tf.Tensor:
    first, second = tf.unstack(tf.maximum(echoes, SIGNAL_THRESHOLD / 2), axis=-1)
    return tf.math.log(second / first)


def _mean_per_patch(values: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(values, axis=[1, 2, 3, 4])
