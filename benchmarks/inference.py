"""A scan super-resolved by streaming against tiles, patches and bare convolutions, in one run.

    python -m benchmarks.inference
    python -m benchmarks.inference --torch_python=torch_venv/bin/python --rounds=5
    python -m benchmarks.inference --shape=416,416,160 --rounds=1                     (hours)

All have the same weights and the same scan. Ours goes the whole way from raw thick slices, in slabs
of as many planes as the paper's scans get; the bare stack runs on the fine grid at once; MONAI's
sliding_window_inference with tiles of 64 and an overlap of 0.25 in PyTorch (a Python that has both
is --torch_python); the paper's patches of 32 with a stride of 16 are timed on some of them. They
take turns, and each ratio is the median over the rounds; all have run before, on a small corner.
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

FACTOR, ECHOES, PATCH, STRIDE = 2, 2, 32, 16
PATCHES_TIMED = 8
SHAPE = flags.DEFINE_list("shape", ["128", "128", "64"], "Rows, columns and fine slices.")
PLANES = flags.DEFINE_integer("planes", 11, "Of a slab; the paper's 416x416x160 gets 11.")
CONVOLUTIONS = flags.DEFINE_integer("convolutions", 20, "Of the network.")
FILTERS = flags.DEFINE_integer("filters", 64, "Of the network.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns of each.")
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "A Python that has PyTorch and MONAI; without it they are left out."
)

MONAI = """
from monai.inferers import sliding_window_inference

folder = sys.argv[1]
scaled = torch.from_numpy(np.load(folder + "/scaled.npy")).permute(3, 0, 1, 2)[None].to(device)
with np.load(folder + "/weights.npz") as file:
    values = [torch.from_numpy(file[name]) for name in file.files]
maps = [values[0].shape[3], *(kernel.shape[4] for kernel in values[0::2])]
stack = network(maps)
with torch.no_grad():
    for layer, kernel, bias in zip(stack[0::2], values[0::2], values[1::2]):
        layer.weight.copy_(kernel.permute(4, 3, 0, 1, 2))
        layer.bias.copy_(bias)
    stack(scaled[..., :12, :12, :12])
for line in sys.stdin:
    start = time.perf_counter()
    with torch.inference_mode():
        if line.strip() == "tiles":
            residual = sliding_window_inference(scaled, (64, 64, 64), 1, stack, overlap=0.25)
        else:
            residual = stack(scaled)
        result = (scaled + residual)[0].permute(1, 2, 3, 0).cpu().numpy()
    seconds = time.perf_counter() - start
    np.save(folder + "/" + line.strip() + ".npy", result)
    print(seconds, flush=True)
"""


def measure() -> list[table.Row]:
    """Lets them take turns: effective GFLOP/s beside each, and how far apart the results are."""
    with tempfile.TemporaryDirectory() as folder, cli.quiet_imports():
        taken = in_turns(_contenders(Path(folder)), ROUNDS.value, warm=False)
        far = _differences(Path(folder))
    voxels = np.prod([int(length) for length in SHAPE.value])
    maps = [ECHOES, *[FILTERS.value] * (CONVOLUTIONS.value - 1), ECHOES]
    giga = 2 * 27 * voxels * sum(a * b for a, b in itertools.pairwise(maps)) / 1e9
    rates = {name: [giga / seconds for seconds in each] for name, each in taken.items()}
    ours = rates.pop("ours")
    return [
        *(table.Row("inference", "effective GFLOP/s", ours, *peer) for peer in rates.items()),
        *(
            table.Row(f"{name} apart from one pass over the whole", "of the scale", [difference])
            for name, difference in far.items()
        ),
    ]


def _contenders(folder: Path) -> dict[str, Callable[[], float]]:
    import tensorflow as tf

    from mrsr_tf.mri.slices import interpolate
    from mrsr_tf.network import streaming
    from mrsr_tf.records.patches import positions
    from mrsr_tf.volume import intensity_scale

    rows, columns, slices = (int(length) for length in SHAPE.value)
    random = np.random.default_rng(0)
    thick = random.uniform(0, 1000, (rows, columns, slices // FACTOR, ECHOES)).astype(np.float32)
    weights = _weights(random)
    resolver = streaming.SuperResolver(weights, FACTOR)
    plane = sorted((rows, columns, slices))[:2]
    streaming.SLAB_BYTES = PLANES.value * 4 * FILTERS.value * plane[0] * plane[1]
    fine = interpolate(thick, FACTOR)
    scale = intensity_scale(fine)
    np.save(folder / "scaled.npy", fine / scale)
    scaled = tf.constant(fine[None] / scale)
    patches = tf.random.uniform([PATCHES_TIMED, *[PATCH] * 3, ECHOES])
    share = len(positions((rows, columns, slices), PATCH, STRIDE)) / PATCHES_TIMED
    stack = tf.function(lambda given: given + _bare(given, resolver), reduce_retracing=True)
    for side in (8, 12):  # traced on little, for any size
        stack(tf.zeros((1, side, side, side, ECHOES)))
        resolver.super_resolve(tf.zeros((side, side, side, ECHOES)))

    def ours() -> Any:
        return resolver.super_resolve(tf.constant(thick)) / scale

    contenders = {
        "ours": _timed(ours, folder / "ours.npy"),
        "the bare stack": _timed(lambda: stack(scaled)[0], folder / "one_pass.npy"),
        f"patches of {PATCH}, stride {STRIDE} ({PATCHES_TIMED} timed)": _timed(
            lambda: stack(patches), None, share
        ),
    }
    if TORCH_PYTHON.value:
        np.savez(folder / "weights.npz", *weights)
        ask = pytorch.start(TORCH_PYTHON.value, MONAI, folder)
        contenders["MONAI's tiles in PyTorch"] = lambda: float(ask("tiles"))
        contenders["the bare stack in PyTorch"] = lambda: float(ask("torch_one_pass"))
    return contenders


def _weights(random: np.random.Generator) -> list[np.ndarray]:
    """He's, so that the signal keeps its size, and a residual that is a tenth of the image."""
    maps = [ECHOES, *[FILTERS.value] * (CONVOLUTIONS.value - 1), ECHOES]
    weights: list[np.ndarray] = []
    for given, made in itertools.pairwise(maps):
        deviation = np.sqrt(2 / 27 / given) * (0.1 if len(weights) == 2 * len(maps) - 4 else 1)
        kernel = random.normal(0, deviation, (3, 3, 3, given, made))
        weights += [kernel.astype(np.float32), np.zeros(made, np.float32)]
    return weights


def _bare(given: Any, resolver: Any) -> Any:
    import tensorflow as tf

    *inner, last = zip(resolver.kernels, resolver.biases, strict=True)
    for kernel, bias in inner:
        given = tf.nn.relu(tf.nn.bias_add(tf.nn.conv3d(given, kernel, [1] * 5, "SAME"), bias))
    return tf.nn.bias_add(tf.nn.conv3d(given, last[0], [1] * 5, "SAME"), last[1])


def _timed(work: Callable[[], Any], kept: Path | None, share: float = 1) -> Callable[[], float]:
    """Seconds for the work, `share` times what was done; its result is kept for comparison."""

    def take_turn() -> float:
        start = time.perf_counter()
        result = work().numpy()
        seconds = time.perf_counter() - start
        if kept:
            np.save(kept, result)
        return seconds * share

    return take_turn


def _differences(folder: Path) -> dict[str, float]:
    whole = np.load(folder / "one_pass.npy")
    names = {"ours": "ours", "MONAI": "tiles", "PyTorch in one pass": "torch_one_pass"}
    return {
        name: float(np.abs(np.load(folder / f"{file}.npy") - whole).max())
        for name, file in names.items()
        if (folder / f"{file}.npy").exists()
    }


if __name__ == "__main__":
    table.run(measure)
