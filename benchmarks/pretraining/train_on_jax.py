r"""Trains on one GPU through Keras's JAX backend, with all records in the GPU's memory.

    export KERAS_BACKEND=jax
    python -m benchmarks.pretraining.train_on_jax --records=records/single --run_dir=runs/single \
        --seconds=60
    python -m benchmarks.pretraining.train_on_jax --records=records/dual --run_dir=runs/dual \
        --init_from=runs/single --seconds=200
    python -m benchmarks.pretraining.train_on_jax --records=records/dual --measure \
        --precision=float32

The network is `mrsr_tf.network.architecture`'s and the run folder one that every command here
takes, so what a GPU trained without TensorFlow is exported, run and judged as any other. Patches
are mirrored and brightened by chance, L2, Adam with warm-up and a cosine to 0. --seconds is the
time after compilation: the first steps tell how many there will be, which the run keeps as
"steps".

Prints patches per second and the arithmetic rate beside the largest that the same chip reaches in
a matrix product of the same precision (float32 as JAX computes it by default: in TF32 where the
chip has it). Needs jax, keras and what making the records needed; no TensorFlow.
"""

import json
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags
from numpy.typing import NDArray

from mrsr_tf import cli
from mrsr_tf.errors import InputError

if TYPE_CHECKING:
    import keras

RECORDS = flags.DEFINE_list("records", None, "Folders of make_records.", required=True)
RUN_DIR = flags.DEFINE_string("run_dir", None, "Run folder to make; none with --measure.")
INIT_FROM = flags.DEFINE_string("init_from", None, "A run to start from, or to transfer.")
MEASURE = flags.DEFINE_bool("measure", False, "Only tell the speed.")
SECONDS = flags.DEFINE_float("seconds", None, "How long to train.")
STEPS = flags.DEFINE_integer("steps", None, "How long to train, instead.")
CONVOLUTIONS = flags.DEFINE_integer("convolutions", 20, "Of the network.")
FILTERS = flags.DEFINE_integer("filters", 64, "Feature maps.")
SPACE_TO_DEPTH = flags.DEFINE_list(
    "space_to_depth", ["1", "1", "1"], "Rows, columns, slices of a cell."
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 50, "Patches per step.")
LEARNING_RATE = flags.DEFINE_float("learning_rate", 3e-4, "The highest.")
WARMUP_STEPS = flags.DEFINE_integer("warmup_steps", 200, "Over which it rises.")
GAIN = flags.DEFINE_float("gain", 0.2, "Brighten and darken by up to this fraction.")
PRECISION = flags.DEFINE_enum("precision", "bfloat16", ["float32", "bfloat16"], "Of convolutions.")
SEED = flags.DEFINE_integer("seed", 1, "Of first weights, order and augmentation.")

ECHOES = {"single": 1, "dual": 2}
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
MEASURED_STEPS = 30
TOLD = 10  # times in a training
CLIPPED_NORM = 1.0  # of a step's gradient
PRODUCT_SIDE, PRODUCTS = 8192, 20
PASSES = 3  # a training step's arithmetic by that of the forward pass


@dataclass(frozen=True)
class Patches:
    """Records of one split in the device's memory.

    Attributes:
        levels: uint16 (records, 2, *patch_size, echoes), input and truth.
        offsets: float32 (records, 2): intensity = offset + step * level.
        steps: see `offsets`.
    """

    levels: Any
    offsets: Any
    steps: Any

    def __len__(self) -> int:
        return self.levels.shape[0]

    def pair(self, numbers: Any) -> tuple[Any, Any]:
        """Input and truth, float32 (n, *patch_size, echoes), of records by number."""
        shape = (-1, 2, 1, 1, 1, 1)
        levels = self.levels[numbers].astype("float32")
        both = levels * self.steps[numbers].reshape(shape) + self.offsets[numbers].reshape(shape)
        return both[:, 0], both[:, 1]


def main() -> None:
    """Trains, or measures only."""
    if not MEASURE.value and (
        RUN_DIR.value is None or (SECONDS.value is None) == (not STEPS.value)
    ):
        raise InputError("expected --run_dir and either --seconds or --steps, or else --measure")
    import jax
    import keras

    from mrsr_tf.records.manifest import read_sets

    if keras.backend.backend() != "jax":
        raise InputError(f"expected KERAS_BACKEND=jax, got {keras.backend.backend()}")
    if RUN_DIR.value and Path(RUN_DIR.value).exists():
        raise InputError(f"expected a run folder to make, found one there: {RUN_DIR.value}")
    manifest = read_sets(RECORDS.value)
    train, validation = (read_patches(manifest, split) for split in ("train", "validation"))
    model = _network(ECHOES[manifest["contrasts"]])
    print(f"{len(train)} patches on {jax.devices()[0].device_kind}", flush=True)
    trainer = Trainer(model, train)
    patches_per_second = trainer.speed()
    _tell_speed(model, manifest, patches_per_second)
    if MEASURE.value:
        return
    steps = STEPS.value or int(SECONDS.value * patches_per_second / BATCH_SIZE.value)
    trainer.train(steps)
    trained = trainer.trained()
    quality = _quality(trained, validation)
    print(json.dumps(quality))
    _write_run(Path(RUN_DIR.value), trained, manifest, steps, quality)


def read_patches(manifest: dict[str, Any], split: str) -> Patches:
    """All records of one split, put on the device.

    Raises:
        InputError: there are none.
    """
    import jax.numpy as jnp

    from mrsr_tf.records.manifest import each_set
    from mrsr_tf.records.schema import BEFORE_RECORD_BYTES, CHECKSUM_BYTES, record_dtype

    record = record_dtype(manifest["patch_size"], ECHOES[manifest["contrasts"]])
    frame = np.dtype(
        [("b", f"V{BEFORE_RECORD_BYTES}"), ("record", record), ("a", f"V{CHECKSUM_BYTES}")]
    )
    shards = [
        Path(folder) / subject["shard"]
        for folder, one in zip(RECORDS.value, each_set(manifest), strict=True)
        for subject in one["subjects"]
        if subject["split"] == split and subject["records"]
    ]
    if not shards:
        raise InputError(f"expected {split} records, found none in {RECORDS.value}")
    levels, offsets, steps = [], [], []
    for shard in shards:
        records = np.fromfile(shard, frame)["record"]
        levels.append(jnp.asarray(np.stack([records["input"], records["target"]], 1)))
        for name, found in (("offset", offsets), ("step", steps)):
            found.append(np.stack([records[f"input_{name}"], records[f"target_{name}"]], 1))
    together = (np.concatenate(offsets), np.concatenate(steps))
    return Patches(jnp.concatenate(levels), *(jnp.asarray(one) for one in together))


class Trainer:
    """The network, its optimizer and the compiled steps."""

    def __init__(self, model: "keras.Model", patches: Patches) -> None:
        """Takes the network with its first weights."""
        import jax
        import keras

        self._model = model
        self._optimizer = keras.optimizers.Adam(LEARNING_RATE.value, global_clipnorm=CLIPPED_NORM)
        self._optimizer.build(model.trainable_variables)
        self._rate = next(
            place
            for place, variable in enumerate(self._optimizer.variables)
            if variable is self._optimizer._learning_rate
        )
        self._state = (
            [variable.value for variable in model.trainable_variables],
            [variable.value for variable in self._optimizer.variables],
        )
        self._order = _orders(len(patches))
        arrays = (patches.levels, patches.offsets, patches.steps)
        compiled = jax.jit(self._step)
        key = jax.random.key(SEED.value)
        self._next = lambda state, count, steps: compiled(
            state, arrays, next(self._order), key, count, steps
        )

    def speed(self) -> float:
        """Patches per second, of steps that are then taken back."""
        import jax

        state, _ = jax.block_until_ready(self._next(self._state, 0, 1))
        start = time.perf_counter()
        for _ in range(MEASURED_STEPS):
            state, _ = self._next(state, 0, 1)
        jax.block_until_ready(state)
        return MEASURED_STEPS * BATCH_SIZE.value / (time.perf_counter() - start)

    def train(self, steps: int) -> None:
        """Takes so many steps.

        Raises:
            InputError: the loss is no longer finite.
        """
        started, every, losses = time.perf_counter(), max(steps // TOLD, 1), []
        for count in range(steps):
            self._state, loss = self._next(self._state, count, steps)
            losses.append(loss)
            if len(losses) == every or count == steps - 1:
                mean = float(sum(losses) / len(losses))
                seconds = time.perf_counter() - started
                print(f"step {count + 1}: mean loss {mean:.3e}, {seconds:.0f} s", flush=True)
                if not math.isfinite(mean):
                    raise InputError(f"expected a finite loss, got {mean} by step {count + 1}")
                losses = []

    def trained(self) -> "keras.Model":
        """The network as trained, in float32."""
        import keras

        from mrsr_tf.network.architecture import convolution_layers, space_to_depth_of

        layers, blocks = convolution_layers(self._model), space_to_depth_of(self._model)
        keras.config.set_dtype_policy("float32")
        trained = _build(self._model.input_shape[-1], layers[0].filters, len(layers), blocks)
        trained.set_weights([np.asarray(values) for values in self._state[0]])
        return trained

    def _step(
        self, state: Any, arrays: Any, numbers: Any, key: Any, count: Any, steps: Any
    ) -> tuple[Any, Any]:
        import jax
        import jax.numpy as jnp

        weights, optimizer = state
        pair = Patches(*arrays).pair(numbers)
        given, truth = _augmented(*pair, jax.random.fold_in(key, count))

        def loss(weights: Any) -> Any:
            estimate, _ = self._model.stateless_call(weights, [], given, training=True)
            return jnp.mean((estimate - truth) ** 2)

        found, gradients = jax.value_and_grad(loss)(weights)
        optimizer[self._rate] = _rate(count, steps)
        return self._optimizer.stateless_apply(optimizer, gradients, weights), found


def _orders(records: int) -> Iterator[NDArray[np.int32]]:
    """Numbers of a batch's records: epoch after epoch, each in an order of its own."""
    chance, waiting = np.random.default_rng(SEED.value), np.empty(0, np.int32)
    while True:
        while len(waiting) < BATCH_SIZE.value:
            waiting = np.append(waiting, chance.permutation(records).astype(np.int32))
        yield waiting[: BATCH_SIZE.value]
        waiting = waiting[BATCH_SIZE.value :]


def _rate(count: Any, steps: Any) -> Any:
    """Adam's learning rate: a line up, then half a cosine down."""
    import jax.numpy as jnp

    down = 0.5 * (1 + jnp.cos(jnp.pi * jnp.clip(count / steps, 0, 1)))
    return (LEARNING_RATE.value * jnp.minimum((count + 1) / WARMUP_STEPS.value, 1) * down).astype(
        "float32"
    )


def _augmented(given: Any, truth: Any, key: Any) -> tuple[Any, Any]:
    """Mirrored within the slice and brightened, input and truth alike: T2 stays true."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(key, 3)
    shape = (len(given), 1, 1, 1, 1)
    for axis, one in ((1, keys[0]), (2, keys[1])):
        mirrored = jax.random.bernoulli(one, 0.5, shape)
        given, truth = (jnp.where(mirrored, jnp.flip(p, axis), p) for p in (given, truth))
    gain = jax.random.uniform(keys[2], shape, minval=1 - GAIN.value, maxval=1 + GAIN.value)
    return given * gain, truth * gain


def _network(contrasts: int) -> "keras.Model":
    import keras

    from mrsr_tf.network.architecture import convolution_layers, space_to_depth_of
    from mrsr_tf.network.transfer import to_dual_contrast

    keras.utils.set_random_seed(SEED.value)
    keras.config.set_dtype_policy(POLICIES[PRECISION.value])
    if INIT_FROM.value is None:
        blocks = tuple(int(cells) for cells in SPACE_TO_DEPTH.value)
        return _build(contrasts, FILTERS.value, CONVOLUTIONS.value, blocks)
    start = keras.models.load_model(Path(INIT_FROM.value) / "model.keras", compile=False)
    layers = convolution_layers(start)
    if contrasts == 2 and start.input_shape[-1] == 1:
        start = to_dual_contrast(start)
    model = _build(contrasts, layers[0].filters, len(layers), space_to_depth_of(start))
    model.set_weights(start.get_weights())
    return model


def _build(contrasts: int, filters: int, convolutions: int, blocks: Any) -> "keras.Model":
    from mrsr_tf.network.architecture import build_model

    return build_model(contrasts, convolutions=convolutions, filters=filters, space_to_depth=blocks)


def _tell_speed(model: "keras.Model", manifest: dict[str, Any], patches_per_second: float) -> None:
    from mrsr_tf.network.architecture import convolution_layers, space_to_depth_of

    cells = math.prod(manifest["patch_size"]) / math.prod(space_to_depth_of(model))
    multiplied = cells * sum(math.prod(la.kernel.shape) for la in convolution_layers(model))
    rate = PASSES * 2 * multiplied * patches_per_second / 1e12
    peak = _matrix_peak()
    print(
        f"{PRECISION.value}: {patches_per_second:.1f} patches/s, {rate:.1f} TFLOP/s, "
        f"{rate / peak:.2f} of the {peak:.1f} TFLOP/s of a {PRODUCT_SIDE}^3 matrix product",
        flush=True,
    )


def _matrix_peak() -> float:
    """TFLOP/s of a large product of random matrices in the precision of the convolutions."""
    import jax
    import jax.numpy as jnp

    one, other = (
        jax.random.normal(jax.random.key(n), (PRODUCT_SIDE, PRODUCT_SIDE)).astype(PRECISION.value)
        for n in range(2)
    )
    multiply = jax.jit(jnp.matmul)
    multiply(one, other).block_until_ready()
    start = time.perf_counter()
    for _ in range(PRODUCTS):
        product = multiply(one, other)
    product.block_until_ready()
    return PRODUCTS * 2 * PRODUCT_SIDE**3 / (time.perf_counter() - start) / 1e12


def _quality(model: "keras.Model", patches: Patches) -> dict[str, list[float]]:
    """Mean squared error over all validation patches, and the gain over TCI in dB; by echo."""
    errors = []
    for start in range(0, len(patches), BATCH_SIZE.value):
        given, truth = patches.pair(np.arange(start, min(start + BATCH_SIZE.value, len(patches))))
        estimates = (model(given), given)
        errors.append([np.asarray((one - truth) ** 2).mean((1, 2, 3)) for one in estimates])
    ours, tci = np.concatenate(errors, axis=1).mean(1)
    return {
        "psnr_db": (-10 * np.log10(ours)).tolist(),
        "gain_over_tci_db": (10 * np.log10(tci / ours)).tolist(),
    }


def _write_run(
    run_dir: Path, model: "keras.Model", manifest: dict[str, Any], steps: int, quality: Any
) -> None:
    """A finished run folder, see `mrsr_tf.network.run_folder`."""
    import jax
    import keras

    import mrsr_tf
    from mrsr_tf.network.architecture import convolution_layers, space_to_depth_of
    from mrsr_tf.outputs import write_json
    from mrsr_tf.records.manifest import slice_factors

    run_dir.mkdir(parents=True)
    settings = {
        flag.name: flag.value
        for flag in (BATCH_SIZE, LEARNING_RATE, WARMUP_STEPS, GAIN, PRECISION, SEED)
    }
    write_json(
        run_dir / "configuration.json",
        {
            **settings,
            "convolutions": len(convolution_layers(model)),
            "filters": convolution_layers(model)[0].filters,
            "space_to_depth": "x".join(map(str, space_to_depth_of(model))),
            "steps": steps,
            "loss": "l2",
            "schedule": "cosine",
            "flips": True,
            "contrasts": manifest["contrasts"],
            "slice_factors": slice_factors(manifest),
            "records_sha256": manifest["sha256"],
        },
    )
    write_json(run_dir / "manifest.json", manifest)
    packages = {package.__name__: package.__version__ for package in (mrsr_tf, jax, keras, np)}
    device = jax.devices()[0].device_kind
    versions = {"python": platform.python_version(), **packages, "device": device, "git": None}
    write_json(run_dir / "versions.json", versions)
    write_json(run_dir / "best.json", quality)
    model.save(run_dir / "model.keras")


if __name__ == "__main__":
    cli.run(main)
