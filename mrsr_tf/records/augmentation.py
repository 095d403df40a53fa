"""Patches seen in other ways, T2 unchanged: mirrored within the slice, brighter or darker.

Both echoes, input and truth of a patch are changed alike, so S2/S1 stays as it was. Slices are not
mirrored: thick slices sit at every second fine one, and a mirrored patch would begin between two.
What happens to a patch is a function of (seed, step, place in the batch) alone, so that neither an
interruption nor the number of devices changes it.
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
    """Changes each patch by chance.

    Args:
        batches: of (input, truth, weight); every `workers`-th place of the whole batches, from
            place `worker` on.
        flips: mirror rows and columns, each in half of the patches.
        gain: 0.2 multiplies intensities by a factor from 1/1.2 to 1.2, evenly in its logarithm.
        seed: of the training.
        first_step: the step of the first batch.
        batch_size: of the whole batches, before they are filled up.
        workers: that share the batches.
        worker: this one.

    Returns:
        Batches of the same kind.
    """
    if not flips and not gain:
        return batches

    def changed(
        step: tf.Tensor, given: tf.Tensor, truth: tf.Tensor, weight: tf.Tensor
    ) -> tuple[tf.Tensor, ...]:
        chance = tf.random.stateless_uniform([batch_size, 3], [seed, step])
        factors = (1 + gain) ** (2 * chance[:, 2] - 1)
        places = (worker + workers * tf.range(tf.shape(given)[0])) % batch_size
        rows, cols, factor = (
            tf.gather(values, places)[:, None, None, None, None]
            for values in (chance[:, 0] < 0.5, chance[:, 1] < 0.5, factors)
        )
        pair = tf.concat([given, truth], -1)
        if flips:
            pair = tf.where(rows, tf.reverse(pair, [1]), pair)
            pair = tf.where(cols, tf.reverse(pair, [2]), pair)
        pair *= factor
        given, truth = tf.split(pair, 2, axis=-1)
        return given, truth, weight

    return batches.enumerate(first_step).map(lambda step, batch: changed(step, *batch))
