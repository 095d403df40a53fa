"""Training steps in JAX on patches in the memory of the device."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError

if TYPE_CHECKING:
    import keras

LOGS = 10  # messages per training
CLIPPED_NORM = 1.0  # of the gradient of a step
MEASURED_STEPS = 30


@dataclass(frozen=True)
class StepSettings:
    """The settings of the training steps.

    Attributes:
        batch_size: patches per step.
        learning_rate: the highest learning rate of Adam.
        warmup_steps: steps over which the learning rate rises.
        gain: patches are brightened or darkened by up to this fraction.
        seed: of order and augmentation.
    """

    batch_size: int
    learning_rate: float
    warmup_steps: int
    gain: float
    seed: int


@dataclass(frozen=True)
class Patches:
    """The records of a split in the memory of the device; intensity = offset + scale * level.

    Attributes:
        levels: uint16 (records, 2, *patch_size, echoes), input and target.
        offsets: float32 (records, 2).
        scales: float32 (records, 2).
    """

    levels: Any
    offsets: Any
    scales: Any

    def __len__(self) -> int:
        return self.levels.shape[0]

    def pair(self, indices: Any) -> tuple[Any, Any]:
        """Inputs and targets, float32 (n, *patch_size, echoes), of the given records."""
        shape = (-1, 2, 1, 1, 1, 1)
        levels = self.levels[indices].astype("float32")
        both = levels * self.scales[indices].reshape(shape) + self.offsets[indices].reshape(shape)
        return both[:, 0], both[:, 1]


class Trainer:
    """A network, its optimizer and the compiled step."""

    def __init__(self, model: "keras.Model", patches: Patches, settings: StepSettings) -> None:
        """Starts from the weights of the model."""
        import jax
        import keras

        self._model, self._settings = model, settings
        self._optimizer = keras.optimizers.Adam(
            settings.learning_rate, global_clipnorm=CLIPPED_NORM
        )
        self._optimizer.build(model.trainable_variables)
        self._rate_index = next(
            index
            for index, variable in enumerate(self._optimizer.variables)
            if variable is self._optimizer._learning_rate
        )
        self._state = (
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in self._optimizer.variables],
        )
        self._batches = _batches(len(patches), settings)
        arrays = (patches.levels, patches.offsets, patches.scales)
        self._compiled = partial(
            jax.jit(self._step), arrays=arrays, key=jax.random.key(settings.seed)
        )

    def patches_per_second(self) -> float:
        """Measures some steps, whose result is discarded."""
        import jax

        state, _ = jax.block_until_ready(self._next(self._state, 0, 1))
        start = time.perf_counter()
        for _ in range(MEASURED_STEPS):
            state, _ = self._next(state, 0, 1)
        jax.block_until_ready(state)
        return MEASURED_STEPS * self._settings.batch_size / (time.perf_counter() - start)

    def train(self, steps: int) -> None:
        """Takes `steps` steps.

        Raises:
            InputError: the loss is no longer finite.
        """
        start, interval, losses = time.perf_counter(), max(steps // LOGS, 1), []
        for count in range(steps):
            self._state, loss = self._next(self._state, count, steps)
            losses.append(loss)
            if len(losses) == interval or count == steps - 1:
                mean = float(sum(losses) / len(losses))
                seconds = time.perf_counter() - start
                print(f"step {count + 1}: mean loss {mean:.3e}, {seconds:.0f} s", flush=True)
                if not math.isfinite(mean):
                    raise InputError(f"expected a finite loss, got {mean} by step {count + 1}")
                losses = []

    def weights(self) -> list[NDArray[np.float32]]:
        """The trained weights in the order of the model's."""
        return [np.asarray(values) for values in self._state[0]]

    def _next(self, state: Any, count: int, steps: int) -> tuple[Any, Any]:
        return self._compiled(state, next(self._batches), count=count, steps=steps)

    def _step(
        self, state: Any, indices: Any, *, arrays: Any, key: Any, count: Any, steps: Any
    ) -> tuple[Any, Any]:
        import jax
        import jax.numpy as jnp

        weights, optimizer = state
        inputs, targets = _augment(
            *Patches(*arrays).pair(indices), jax.random.fold_in(key, count), self._settings.gain
        )

        def loss(weights: Any) -> Any:
            estimates, _ = self._model.stateless_call(weights, [], inputs, training=True)
            return jnp.mean((estimates - targets) ** 2)

        value, gradients = jax.value_and_grad(loss)(weights)
        optimizer[self._rate_index] = _learning_rate(count, steps, self._settings)
        return self._optimizer.stateless_apply(optimizer, gradients, weights), value


def _batches(records: int, settings: StepSettings) -> Iterator[NDArray[np.int32]]:
    """Indices of the records of each batch; every epoch has another order."""
    random, queue = np.random.default_rng(settings.seed), np.empty(0, np.int32)
    while True:
        while len(queue) < settings.batch_size:
            queue = np.append(queue, random.permutation(records).astype(np.int32))
        yield queue[: settings.batch_size]
        queue = queue[settings.batch_size :]


def _learning_rate(count: Any, steps: Any, settings: StepSettings) -> Any:
    """A linear rise, multiplied by half a cosine that falls to 0."""
    import jax.numpy as jnp

    decay = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(count / steps, 0, 1)))
    warmup = jnp.minimum((count + 1) / settings.warmup_steps, 1)
    return (settings.learning_rate * warmup * decay).astype("float32")


def _augment(inputs: Any, targets: Any, key: Any, gain: float) -> tuple[Any, Any]:
    """Random mirroring within the slice and brightness, alike for both echoes: T2 stays true."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(key, 3)
    shape = (len(inputs), 1, 1, 1, 1)
    for axis, flip_key in ((1, keys[0]), (2, keys[1])):
        flipped = jax.random.bernoulli(flip_key, 0.5, shape)
        inputs, targets = (jnp.where(flipped, jnp.flip(p, axis), p) for p in (inputs, targets))
    factor = jax.random.uniform(keys[2], shape, minval=1 - gain, maxval=1 + gain)
    return inputs * factor, targets * factor


def matrix_product_rate(dtype: str, side: int, repeats: int = 20) -> float:
    """TFLOP/s of products of two random matrices of `side` rows and columns."""
    import jax
    import jax.numpy as jnp

    a, b = (jax.random.normal(jax.random.key(n), (side, side)).astype(dtype) for n in range(2))
    multiply = jax.jit(jnp.matmul)
    multiply(a, b).block_until_ready()
    start = time.perf_counter()
    for _ in range(repeats):
        product = multiply(a, b)
    product.block_until_ready()
    return repeats * 2 * side**3 / (time.perf_counter() - start) / 1e12
