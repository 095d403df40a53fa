"""Random changes of patches: mirroring within the slice, brightness, and contrast of the echoes.

Input and target are changed alike. Mirroring and brightness are the same for both echoes, so S2/S1
stays the same; where the second echo has a factor of its own, S2/S1 changes as if by another echo
time. Slices are not mirrored: thick slices lie at every second fine one, and a mirrored patch would
begin between two. The change of a patch depends only on (seed, step, index in the batch), so
neither an interruption nor the number of devices alters it.
"""

import tensorflow as tf


def augment(
    batches: tf.data.Dataset,
    *,
    flips: bool,
    gain: float,
    echo_gain: float = 0.0,
    seed: int,
    first_step: int,
    batch_size: int,
    workers: int = 1,
    worker: int = 0,
) -> tf.data.Dataset:
    """Mirrors and brightens or darkens patches at random.

    Args:
        batches: of (input, target, weight); every `workers`-th record of the whole batches, from
            number `worker` on.
        flips: mirror rows and columns, each in half of the patches.
        gain: 0.2 multiplies intensities by a random factor from 1/1.2 to 1.2, uniform in its
            logarithm.
        echo_gain: the same for the second echo alone. Records of one echo have none.
        seed: of the training.
        first_step: number of the first batch's step.
        batch_size: of the whole batches, before they are padded.
        workers: number of workers that share the batches.
        worker: number of this worker.
    """
    if not (flips or gain or echo_gain):
        return batches

    def change(
        step: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        chance = tf.random.stateless_uniform([batch_size, 4], [seed, step])
        exponents = 2 * chance[:, 2:] - 1
        first = (1 + gain) ** exponents[:, 0]
        factors = tf.stack([first, first * (1 + echo_gain) ** exponents[:, 1]], -1)
        places = (worker + workers * tf.range(tf.shape(inputs)[0])) % batch_size
        mirror_rows, mirror_cols, factor = (
            tf.gather(values, places)[:, None, None, None]
            for values in (chance[:, :1] < 0.5, chance[:, 1:2] < 0.5, factors)
        )
        pair = tf.concat([inputs, targets], -1)
        if flips:
            pair = tf.where(mirror_rows, tf.reverse(pair, [1]), pair)
            pair = tf.where(mirror_cols, tf.reverse(pair, [2]), pair)
        factor = factor[..., : inputs.shape[-1]]
        inputs, targets = (part * factor for part in tf.split(pair, 2, axis=-1))
        return inputs, targets, weights

    return batches.enumerate(first_step).map(lambda step, batch: change(step, *batch))
