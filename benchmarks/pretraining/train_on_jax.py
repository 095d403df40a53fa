r"""Trains on one GPU with Keras' JAX backend and all records in the memory of the GPU.

    export KERAS_BACKEND=jax
    python -m benchmarks.pretraining.train_on_jax --records=records/single --run_dir=runs/single \
        --steps=4191
    python -m benchmarks.pretraining.train_on_jax --records=records/dual --run_dir=runs/dual \
        --init_from=runs/single --steps=38358
    python -m benchmarks.pretraining.train_on_jax --records=records/dual --measure \
        --precision=float32

The network is that of `mrsr_tf.network.architecture`, and all commands accept the run folder: what
a GPU trained without TensorFlow is exported, run and evaluated like any other network. Patches are
randomly mirrored and brightened; the loss is L2, the optimizer Adam with warm-up and a cosine decay
to 0.

Prints patches per second and the arithmetic rate compared with that of a matrix product of the same
precision (float32 is TF32 on chips that have it, as JAX computes it by default). Needs jax, keras
and what making the records needs, but no TensorFlow.
"""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from benchmarks.pretraining.jax_steps import Patches, StepSettings, Trainer, matrix_product_rate
from mrsr_tf import cli
from mrsr_tf.errors import InputError
from mrsr_tf.network.precision import Precision
from mrsr_tf.outputs import versions, write_json
from mrsr_tf.records.contrasts import Contrasts
from mrsr_tf.records.manifest import each_set, read_sets, slice_factors
from mrsr_tf.records.schema import PATCHES, empty_record
from mrsr_tf.records.tfrecord import BEFORE_RECORD_BYTES, CHECKSUM_BYTES

if TYPE_CHECKING:
    import keras

RECORDS = flags.DEFINE_list("records", None, "Folders of make_records.", required=True)
RUN_DIR = flags.DEFINE_string("run_dir", None, "The run folder to write; not with --measure.")
INIT_FROM = flags.DEFINE_string(
    "init_from", None, "The run to start from, which may be of single contrast. The default is to "
    "start from random weights.",
)  # fmt: skip
MEASURE = flags.DEFINE_bool("measure", False, "Only print the speed, without training.")
STEPS = flags.DEFINE_integer("steps", None, "Number of steps.", lower_bound=1)
CONVOLUTIONS = flags.DEFINE_integer("convolutions", 20, "Convolutions of the network.")
FILTERS = flags.DEFINE_integer("filters", 64, "Filters of each convolution.")
SPACE_TO_DEPTH = flags.DEFINE_list(
    "space_to_depth", ["1", "1", "1"], "Rows, columns and slices of voxels in one cell."
)
BATCH_SIZE = flags.DEFINE_integer("batch_size", 50, "Patches per step.")
LEARNING_RATE = flags.DEFINE_float("learning_rate", 3e-4, "Highest learning rate of Adam.")
WARMUP_STEPS = flags.DEFINE_integer(
    "warmup_steps", 200, "Steps over which the learning rate rises."
)
GAIN = flags.DEFINE_float("gain", 0.2, "Brighten or darken patches by up to this fraction.")
PRECISION = flags.DEFINE_enum(
    "precision", "bfloat16", [Precision.FLOAT32, Precision.BFLOAT16], "Precision of convolutions."
)
SEED = flags.DEFINE_integer("seed", 1, "Seed of the initial weights, the order and augmentation.")

PRODUCT_SIDE = 8192  # of the matrix product that the speed is compared with
PASSES = 3  # the backward pass costs two forward ones


def main() -> None:
    """Trains a network, or measures the speed only."""
    if not MEASURE.value and not (RUN_DIR.value and STEPS.value):
        raise InputError("expected --run_dir and --steps, or else --measure")
    import jax
    import keras

    if keras.backend.backend() != "jax":
        raise InputError(f"expected KERAS_BACKEND=jax, got {keras.backend.backend()}")
    if RUN_DIR.value and Path(RUN_DIR.value).exists():
        raise InputError(f"expected a run folder to make, found one there: {RUN_DIR.value}")
    manifest = read_sets(RECORDS.value)
    train, validation = (read_patches(manifest, split) for split in ("train", "validation"))
    model = _initial_network(Contrasts(manifest["contrasts"]).echoes)
    print(f"{len(train)} patches on {jax.devices()[0].device_kind}", flush=True)
    settings = StepSettings(
        BATCH_SIZE.value, LEARNING_RATE.value, WARMUP_STEPS.value, GAIN.value, SEED.value
    )
    trainer = Trainer(model, train, settings)
    _print_speed(model, manifest["patch_size"], trainer.patches_per_second())
    if MEASURE.value:
        return
    trainer.train(STEPS.value)
    keras.config.set_dtype_policy("float32")
    trained = _rebuild(model, trainer.weights())
    quality = _validate(trained, validation)
    print(json.dumps(quality, allow_nan=False))
    _write_run(Path(RUN_DIR.value), trained, manifest, quality)


def read_patches(manifest: dict[str, Any], split: str) -> Patches:
    """Puts all records of a split on the device.

    Raises:
        InputError: there are none.
    """
    import jax.numpy as jnp

    record = empty_record(manifest["patch_size"], Contrasts(manifest["contrasts"]).echoes).dtype
    frame = np.dtype(
        [("b", f"V{BEFORE_RECORD_BYTES}"), ("record", record), ("a", f"V{CHECKSUM_BYTES}")]
    )
    shards = [
        Path(folder) / subject["shard"]
        for folder, part in zip(RECORDS.value, each_set(manifest), strict=True)
        for subject in part["subjects"]
        if subject["split"] == split and subject["records"]
    ]
    if not shards:
        raise InputError(f"expected {split} records, found none in {RECORDS.value}")
    records = [np.fromfile(shard, frame)["record"] for shard in shards]
    levels = [np.stack([part[name] for name in PATCHES], 1) for part in records]
    offsets, scales = ([part[name] for part in records] for name in ("offset", "scale"))
    return Patches(*map(jnp.concatenate, (levels, offsets, scales)))


def _initial_network(echoes: int) -> "keras.Model":
    import keras

    from mrsr_tf.network.architecture import build_model
    from mrsr_tf.network.transfer import to_dual_contrast

    keras.utils.set_random_seed(SEED.value)
    keras.config.set_dtype_policy(Precision(PRECISION.value).keras_policy)
    if INIT_FROM.value is None:
        cell = tuple(int(voxels) for voxels in SPACE_TO_DEPTH.value)
        return build_model(
            echoes, convolutions=CONVOLUTIONS.value, filters=FILTERS.value, space_to_depth=cell
        )
    start = keras.models.load_model(Path(INIT_FROM.value) / "model.keras", compile=False)
    if echoes == 2 and start.input_shape[-1] == 1:
        start = to_dual_contrast(start)
    return _rebuild(start, start.get_weights())


def _rebuild(model: "keras.Model", weights: list[Any]) -> "keras.Model":
    """A network of the same architecture under the current dtype policy, with these weights."""
    from mrsr_tf.network.architecture import architecture_of, build_model

    network = build_model(**architecture_of(model))
    network.set_weights(weights)
    return network


def _print_speed(model: "keras.Model", patch_size: list[int], patches_per_second: float) -> None:
    from mrsr_tf.network.architecture import convolution_layers, space_to_depth_of

    cells = math.prod(patch_size) / math.prod(space_to_depth_of(model))
    multiply_adds = cells * sum(math.prod(la.kernel.shape) for la in convolution_layers(model))
    rate = PASSES * 2 * multiply_adds * patches_per_second / 1e12
    peak = matrix_product_rate(PRECISION.value, PRODUCT_SIDE)
    print(
        f"{PRECISION.value}: {patches_per_second:.1f} patches/s, {rate:.1f} TFLOP/s, "
        f"{rate / peak:.2f} of the {peak:.1f} TFLOP/s of a {PRODUCT_SIDE}^3 matrix product",
        flush=True,
    )


def _validate(model: "keras.Model", patches: Patches) -> dict[str, list[float]]:
    """By echo, the pSNR over all validation patches and the gain over TCI, in dB."""
    errors = []
    for start in range(0, len(patches), BATCH_SIZE.value):
        indices = np.arange(start, min(start + BATCH_SIZE.value, len(patches)))
        inputs, targets = patches.pair(indices)
        estimates = (model(inputs), inputs)
        errors.append([np.asarray((e - targets) ** 2).mean((1, 2, 3)) for e in estimates])
    network, tci = np.concatenate(errors, axis=1).mean(1)
    return {
        "psnr_db": (-10 * np.log10(network)).tolist(),
        "gain_over_tci_db": (10 * np.log10(tci / network)).tolist(),
    }


def _write_run(run_dir: Path, model: "keras.Model", manifest: dict[str, Any], quality: Any) -> None:
    """Writes a finished run folder; see `mrsr_tf.network.run_folder`."""
    import jax

    from mrsr_tf.network.architecture import architecture_of

    architecture = architecture_of(model)
    configuration = {
        flag.name: flag.value
        for flag in (STEPS, BATCH_SIZE, LEARNING_RATE, WARMUP_STEPS, GAIN, PRECISION, SEED)
    } | {
        **architecture,
        "space_to_depth": "x".join(map(str, architecture["space_to_depth"])),
        "loss": "l2",
        "schedule": "cosine",
        "flips": True,
        "contrasts": manifest["contrasts"],
        "slice_factors": slice_factors(manifest),
        "records_sha256": manifest["sha256"],
    }
    run_dir.mkdir(parents=True)
    write_json(run_dir / "configuration.json", configuration)
    write_json(run_dir / "manifest.json", manifest)
    device = {"device": jax.devices()[0].device_kind, "git": None}
    write_json(run_dir / "versions.json", versions("jax", "keras", "numpy") | device)
    write_json(run_dir / "best.json", quality)
    model.save(run_dir / "model.keras")


if __name__ == "__main__":
    cli.run(main)
