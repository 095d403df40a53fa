"""How fast does a network train, compared with a bare Keras loop and with PyTorch?

    python -m benchmarks.training
    python -m benchmarks.training --torch_python=torch_venv/bin/python --batch_size=4 --rounds=7
    python -m benchmarks.training --precision=bfloat16 --batch_size=50 --steps=20      (on a GPU)

All train the same network on patches of 32x32x32x2 with Adam and L2, in turns. Ours reads records
and logs; the others train on the same random tensors again and again. On a busy machine,
the share of our time that is spent outside the training step tells more than the ratios. Each of
the paper's four GPUs processed 13 patches per step; 6 are what two cores do in 15 seconds.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks import peers, table
from benchmarks.measuring import in_turns, network_flop, seconds, write_random_scan
from mrsr_tf import cli
from mrsr_tf.network.precision import Precision

PATCH, ECHOES = 32, 2
CONVOLUTIONS = flags.DEFINE_integer("convolutions", 20, "Convolutions of the network.")
FILTERS = flags.DEFINE_integer("filters", 64, "Filters of each convolution.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 6, "Patches per step.")
STEPS = flags.DEFINE_integer("steps", 1, "Steps of each contender per round.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds.")
PRECISION = flags.DEFINE_enum(
    "precision", "float32", [Precision.FLOAT32, Precision.BFLOAT16], "Precision of all contenders."
)
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "A Python interpreter that has PyTorch. By default it is not compared."
)

TORCH_SCRIPT = """
convolutions, filters, batch, precision = (int(x) if x.isdigit() else x for x in sys.argv[1:])
model = network([2] + [filters] * (convolutions - 1) + [2])
optimizer = torch.optim.Adam(model.parameters(), 1e-4)
inputs, targets = (torch.rand(batch, 2, 32, 32, 32, device=device) for _ in range(2))
for line in sys.stdin:
    start = time.perf_counter()
    for _ in range(int(line)):
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            residual = model(inputs)
        loss = torch.nn.functional.mse_loss(inputs + residual.float(), targets)
        loss.backward()
        optimizer.step()
        loss.item()
    print("seconds:", time.perf_counter() - start, flush=True)
"""


def measure() -> list[table.Row]:
    """Patches per second of ours and of each peer, and the arithmetic rate of ours."""
    with tempfile.TemporaryDirectory() as folder, cli.quiet_imports():
        outside_step: list[float] = []
        contenders = {
            table.OURS: _ours(Path(folder), outside_step),
            "bare Keras loop": _bare_keras(),
        }
        if TORCH_PYTHON.value:
            contenders["PyTorch"] = _pytorch(TORCH_PYTHON.value)
        measured = in_turns(contenders, ROUNDS.value)
        peak = _matrix_product_rate()
    patches = STEPS.value * BATCH_SIZE.value
    rates = {name: [patches / value for value in values] for name, values in measured.items()}
    channels = [ECHOES, *[FILTERS.value] * (CONVOLUTIONS.value - 1), ECHOES]
    tflop = 3 * network_flop(PATCH**3, channels) / 1e12  # the backward pass costs two forward ones
    return [
        *table.rows_by_peer("training", "patches/s", rates),
        table.Row(
            "training", "TFLOP/s", [tflop * rate for rate in rates[table.OURS]],
            "matrix product", [peak],
        ),
        table.Row("time outside the step (reading, logging)", "of the total", outside_step[1:]),
    ]  # fmt: skip


def _ours(folder: Path, outside_step: list[float]) -> Callable[[], float]:
    """Trains as the trainer does; appends the share of time outside the step in each round."""
    from mrsr_tf.records import reader
    from mrsr_tf.training import distribution, losses
    from mrsr_tf.training.config import Strategy
    from mrsr_tf.training.step import TrainingStep

    records, strategy = _make_records(folder), distribution.make_strategy(Strategy.ONE)
    with strategy.scope():
        model = _compiled_model()
    monitor = _monitor(folder / "logs", model)
    step = TrainingStep(strategy, model, losses.l2)
    batches = iter(
        distribution.distribute(
            strategy,
            lambda **_: reader.training_batches(
                records, BATCH_SIZE.value, seed=0, epoch=0
            ).repeat(),
        )
    )

    def train() -> float:
        start, step_seconds = time.perf_counter(), 0.0
        for _ in range(STEPS.value):
            batch, step_start = next(batches), time.perf_counter()
            loss = step(batch)
            step_seconds += time.perf_counter() - step_start
            monitor.log_step(loss)
        total = time.perf_counter() - start
        outside_step.append(1 - step_seconds / total)
        return total

    return train


def _compiled_model() -> Any:
    import keras

    from mrsr_tf.network.architecture import build_model
    from mrsr_tf.training.config import TrainingConfig
    from mrsr_tf.training.step import make_optimizer

    keras.config.set_dtype_policy(Precision(PRECISION.value).keras_policy)
    model = build_model(ECHOES, convolutions=CONVOLUTIONS.value, filters=FILTERS.value)
    optimizer = make_optimizer(TrainingConfig(), 10**6)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer)
    return model


def _monitor(log_dir: Path, model: Any) -> Any:
    """The monitor that logs each step, at the start of an epoch."""
    from mrsr_tf.training.monitor import TrainingMonitor
    from mrsr_tf.training.validation import Quality

    patch = np.zeros((1, PATCH, PATCH, PATCH, ECHOES), np.float32)
    monitor = TrainingMonitor(
        model, log_dir, (patch, patch), Quality({}), configuration={},
        batch_size=BATCH_SIZE.value, steps_per_epoch=10**6, steps=10**6,
    )  # fmt: skip
    monitor.start_epoch()
    return monitor


def _bare_keras() -> Callable[[], float]:
    import keras
    import tensorflow as tf

    from mrsr_tf.network.architecture import build_model

    model = build_model(ECHOES, convolutions=CONVOLUTIONS.value, filters=FILTERS.value)
    model.compile(keras.optimizers.Adam(1e-4), "mse", jit_compile=False)
    shape = [BATCH_SIZE.value, PATCH, PATCH, PATCH, ECHOES]
    inputs, targets = (tf.random.uniform(shape) for _ in range(2))

    def train() -> None:
        for _ in range(STEPS.value):
            model.train_on_batch(inputs, targets)

    return lambda: seconds(train)


def _pytorch(python: str) -> Callable[[], float]:
    sizes = [CONVOLUTIONS.value, FILTERS.value, BATCH_SIZE.value, PRECISION.value]
    train = peers.start_peer(python, peers.PYTORCH_NETWORK + TORCH_SCRIPT, *sizes)
    return lambda: train(STEPS.value)


def _make_records(folder: Path) -> Path:
    from mrsr_tf.records.contrasts import Contrasts
    from tf_records_tools.cohort import make_records
    from tf_records_tools.shard import Settings

    for number in range(2):
        write_random_scan(folder / "scans" / f"scan_{number}.nii.gz", (64, 64, 64))
    settings = Settings(Contrasts.DUAL, patch_size=PATCH, stride=16)
    make_records([folder / "scans"], folder / "records", settings, validation_subjects=1)
    return folder / "records"


def _matrix_product_rate(side: int = 4096, repeats: int = 5) -> float:
    """TFLOP/s of the fastest of some matrix products in the same precision."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.uniform([side, side]), PRECISION.value)
    fastest = min(seconds(lambda: tf.reduce_sum(matrix @ matrix).numpy()) for _ in range(repeats))
    return 2 * side**3 / fastest / 1e12


if __name__ == "__main__":
    table.run(measure)
