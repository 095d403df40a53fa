"""Random changes of patches that leave T2 unchanged: mirroring within the slice and brightness.

All echoes of a patch, input and target, are changed alike, so S2/S1 stays the same. Slices are not
mirrored: thick slices lie at every second fine one, and a mirrored patch would begin between two.
The change of a patch depends only on (seed, step, index in the batch), so neither an interruption
nor the number of devices alters it.
"""

import tensorflow as tf


def augment(
    batches: tf.data.Dataset,
    *,
    flips: bool,
    gain: float,
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
        seed: of the training.
        first_step: number of the first batch's step.
        batch_size: of the whole batches, before they are padded.
        workers: number of workers that share the batches.
        worker: number of this worker.
    """
    if not flips and not gain:
        return batches

    def change(
        step: tf.Tensor, inputs: tf.Tensor, targets: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        chance = tf.random.stateless_uniform([batch_size, 3], [seed, step])
        factors = (1 + gain) ** (2 * chance[:, 2] - 1)
        places = (worker + workers * tf.range(tf.shape(inputs)[0])) % batch_size
        mirror_rows, mirror_cols, factor = (
            tf.gather(values, places)[:, None, None, None, None]
            for values in (chance[:, 0] < 0.5, chance[:, 1] < 0.5, factors)
        )
        pair = tf.concat([inputs, targets], -1)
        if flips:
            pair = tf.where(mirror_rows, tf.reverse(pair, [1]), pair)
            pair = tf.where(mirror_cols, tf.reverse(pair, [2]), pair)
        pair *= factor
        inputs, targets = tf.split(pair, 2, axis=-1)
        return inputs, targets, weights

    return batches.enumerate(first_step).map(lambda step, batch: change(step, *batch))
