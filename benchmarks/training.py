"""Patches per second of training against a bare Keras loop and against PyTorch, in one run.

    python -m benchmarks.training
    python -m benchmarks.training --torch_python=torch_venv/bin/python --batch_size=4 --rounds=7
    python -m benchmarks.training --precision=bfloat16 --batch_size=50 --steps=20      (on a GPU)

All train the same network on patches of 32x32x32x2, Adam and L2. Ours reads records, measures and
logs; the other two take the same random tensors again and again. They take turns, round by round,
and each ratio is the median over the rounds, so that what else the machine does hits all alike.
Where it does much, the share of our time that is spent beside the step itself tells more. A GPU of
the paper's four got 13 patches a step; the 6 here are what two cores do in a quarter of a minute.
"""

import itertools
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from benchmarks import pytorch, table
from benchmarks.measuring import in_turns
from mrsr_tf import cli

PATCH, ECHOES = 32, 2
CONVOLUTIONS = flags.DEFINE_integer("convolutions", 20, "Of the network.")
FILTERS = flags.DEFINE_integer("filters", 64, "Of the network.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 6, "Patches per step.")
STEPS = flags.DEFINE_integer("steps", 1, "Per turn.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns of each.")
PRECISION = flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "Of all three.")
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "A Python that has PyTorch; without it PyTorch is left out."
)

TORCH = """
convolutions, filters, batch, precision = (int(x) if x.isdigit() else x for x in sys.argv[1:])
stack = network([2] + [filters] * (convolutions - 1) + [2])
optimizer = torch.optim.Adam(stack.parameters(), 1e-4)
given, truth = (torch.rand(batch, 2, 32, 32, 32, device=device) for _ in range(2))
for line in sys.stdin:
    start = time.perf_counter()
    for _ in range(int(line)):
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
            residual = stack(given)
        loss = torch.nn.functional.mse_loss(given + residual.float(), truth)
        loss.backward()
        optimizer.step()
        loss.item()
    print(time.perf_counter() - start, flush=True)
"""


def measure() -> list[table.Row]:
    """Lets them take turns; patches per second of ours, beside each and beside a matrix product."""
    with tempfile.TemporaryDirectory() as folder, cli.quiet_imports():
        beside: list[float] = []
        contenders = {"ours": _ours(Path(folder), beside), "a bare Keras loop": _bare_keras()}
        if TORCH_PYTHON.value:
            contenders["PyTorch"] = _pytorch(TORCH_PYTHON.value)
        taken = in_turns(contenders, ROUNDS.value)
        peak = _matrix_peak()
    patches = STEPS.value * BATCH_SIZE.value
    rates = {name: [patches / seconds for seconds in each] for name, each in taken.items()}
    tera = [rate * _tera_per_patch() for rate in rates["ours"]]
    return [
        *(
            table.Row("training", "patches/s", rates["ours"], name, rates[name])
            for name in rates
            if name != "ours"
        ),
        table.Row("training", "TFLOP/s", tera, "a matrix product", [peak]),
        table.Row("beside the step (reading, logging)", "of the time", beside[1:]),
    ]


def _tera_per_patch() -> float:
    """TFLOP of one patch, forth and twice as much back."""
    maps = [ECHOES, *[FILTERS.value] * (CONVOLUTIONS.value - 1), ECHOES]
    return 3 * 2 * 27 * PATCH**3 * sum(a * b for a, b in itertools.pairwise(maps)) / 1e12


def _ours(folder: Path, beside: list[float]) -> Callable[[], float]:
    import keras
    import tensorflow as tf

    from mrsr_tf.network.architecture import build_model
    from mrsr_tf.records import reader
    from mrsr_tf.training import distribution, losses
    from mrsr_tf.training.monitor import Watch
    from mrsr_tf.training.step import PRECISIONS, Step, make_optimizer
    from mrsr_tf.training.validation import Quality

    records, size = _records(folder), BATCH_SIZE.value
    devices = distribution.make_strategy("one")
    keras.config.set_dtype_policy(PRECISIONS[PRECISION.value])
    with devices.scope():
        model = build_model(ECHOES, convolutions=CONVOLUTIONS.value, filters=FILTERS.value)
        optimizer = make_optimizer(1e-4, 10**6)
        optimizer.build(model.trainable_variables)
        model.compile(optimizer)
    whole = reader.validation_batches(records, size)
    quality = Quality(
        devices, distribution.distribute(devices, lambda *_: whole), ECHOES, losses.l2
    )
    one = np.zeros((1, PATCH, PATCH, PATCH, ECHOES), np.float32)
    steps: dict[str, Any] = {"batch_size": size, "steps_per_epoch": 10**6, "steps": 10**6}
    watch = Watch(folder / "logs", quality, (one, one), **steps)
    watch.set_model(model)
    watch.on_train_begin()
    watch.on_epoch_begin(0)
    step = Step(devices, model, losses.l2)

    def forever(*_: int) -> tf.data.Dataset:
        return reader.training_batches(records, size, seed=0, epoch=0).repeat()

    batches = iter(distribution.distribute(devices, forever))

    def take_turn() -> float:
        start, stepping = time.perf_counter(), 0.0
        for number in range(STEPS.value):
            batch, before = next(batches), time.perf_counter()
            loss = step(batch)
            stepping += time.perf_counter() - before
            watch.on_train_batch_end(number, {"loss": loss})
        whole = time.perf_counter() - start
        beside.append(1 - stepping / whole)
        return whole

    return take_turn


def _bare_keras() -> Callable[[], float]:
    import keras
    import tensorflow as tf

    from mrsr_tf.network.architecture import build_model

    model = build_model(ECHOES, convolutions=CONVOLUTIONS.value, filters=FILTERS.value)
    model.compile(keras.optimizers.Adam(1e-4), "mse", jit_compile=False)
    given, truth = (tf.random.uniform([BATCH_SIZE.value, *[PATCH] * 3, ECHOES]) for _ in range(2))

    def take_turn() -> float:
        start = time.perf_counter()
        for _ in range(STEPS.value):
            model.train_on_batch(given, truth)
        return time.perf_counter() - start

    return take_turn


def _pytorch(python: str) -> Callable[[], float]:
    sizes = [CONVOLUTIONS.value, FILTERS.value, BATCH_SIZE.value, PRECISION.value]
    ask = pytorch.start(python, TORCH, *sizes)
    return lambda: float(ask(STEPS.value))


def _records(folder: Path) -> Path:
    from mrsr_tf.io.nifti import write_nifti
    from mrsr_tf.volume import Volume
    from tf_records_tools.cohort import make_records
    from tf_records_tools.shard import Settings

    for subject in range(2):
        array = np.random.default_rng(subject).random((64, 64, 64, ECHOES), np.float32)
        scan = Volume(array, np.diag([0.4, 0.4, 0.7, 1.0]), (7.0, 39.0), 23.0, 20.0)
        write_nifti(scan, folder / "scans" / f"scan_{subject}.nii.gz")
    settings = Settings("dual", patch_size=PATCH, stride=16)
    make_records([folder / "scans"], folder / "records", settings, validation_subjects=1)
    return folder / "records"


def _matrix_peak(size: int = 4096, repeats: int = 5) -> float:
    """TFLOP/s of a matrix product in the same precision, the fastest of some."""
    import tensorflow as tf

    matrix = tf.cast(tf.random.uniform([size, size]), PRECISION.value)
    fastest = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        tf.reduce_sum(matrix @ matrix).numpy()
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * size**3 / fastest / 1e12


if __name__ == "__main__":
    table.run(measure)
