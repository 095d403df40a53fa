"""How fast is a scan super-resolved, compared with tiles, patches and bare convolutions?

    python -m benchmarks.inference
    python -m benchmarks.inference --torch_python=torch_venv/bin/python --rounds=5
    python -m benchmarks.inference --shape=416,416,160 --rounds=1                     (hours)

All have the same weights and the same scan and take turns. Ours includes everything from the raw
thick slices on, in slabs of as many planes as the paper's scans get. The bare convolutions run on
the whole fine grid at once. MONAI's sliding_window_inference in PyTorch has tiles of 64 with an
overlap of 0.25. Of the paper's patches of 32 with a stride of 16 only some are timed. All run on a
small corner first.
"""

import itertools
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl import flags
from numpy.typing import NDArray

from benchmarks import peers, table
from benchmarks.measuring import in_turns, network_flop, seconds
from mrsr_tf import cli

FACTOR, ECHOES, PATCH, STRIDE = 2, 2, 32, 16
PATCHES_TIMED = 8
PLANES = 11  # per slab, as the paper's 416x416x160 voxels get
SHAPE = flags.DEFINE_list("shape", ["128", "128", "64"], "Rows, columns and fine slices.")
CONVOLUTIONS = flags.DEFINE_integer("convolutions", 20, "Convolutions of the network.")
FILTERS = flags.DEFINE_integer("filters", 64, "Filters of each convolution.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Number of rounds.")
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", None, "A Python interpreter that has PyTorch and MONAI. By default they are "
    "not compared.",
)  # fmt: skip

MONAI_SCRIPT = """
from monai.inferers import sliding_window_inference

folder = sys.argv[1]
scaled = torch.from_numpy(np.load(folder + "/scaled.npy")).permute(3, 0, 1, 2)[None].to(device)
with np.load(folder + "/weights.npz") as file:
    weights = [torch.from_numpy(file[name]) for name in file.files]
model = network([weights[0].shape[3], *(kernel.shape[4] for kernel in weights[0::2])])
with torch.no_grad():
    for layer, kernel, bias in zip(model[0::2], weights[0::2], weights[1::2]):
        layer.weight.copy_(kernel.permute(4, 3, 0, 1, 2))
        layer.bias.copy_(bias)
    model(scaled[..., :12, :12, :12])
for line in sys.stdin:
    start = time.perf_counter()
    with torch.inference_mode():
        if line.strip() == "tiles":
            residual = sliding_window_inference(scaled, (64, 64, 64), 1, model, overlap=0.25)
        else:
            residual = model(scaled)
        result = (scaled + residual)[0].permute(1, 2, 3, 0).cpu().numpy()
    seconds = time.perf_counter() - start
    np.save(folder + "/" + line.strip() + ".npy", result)
    print("seconds:", seconds, flush=True)
"""


def measure() -> list[table.Row]:
    """Effective GFLOP/s of ours and of each peer, and how much the results differ."""
    with tempfile.TemporaryDirectory() as folder, cli.quiet_imports():
        measured = in_turns(_contenders(Path(folder)), ROUNDS.value, warm_up=False)
        differences = _differences(Path(folder))
    gflop = network_flop(float(np.prod(_shape())), _channels()) / 1e9
    rates = {name: [gflop / value for value in values] for name, values in measured.items()}
    return [
        *table.rows_by_peer("inference", "effective GFLOP/s", rates),
        *(
            table.Row(
                f"difference of {name} from one pass over the volume", "of the scale", [value]
            )
            for name, value in differences.items()
        ),
    ]


def _shape() -> tuple[int, ...]:
    return tuple(int(length) for length in SHAPE.value)


def _channels() -> list[int]:
    return [ECHOES, *[FILTERS.value] * (CONVOLUTIONS.value - 1), ECHOES]


def _contenders(folder: Path) -> dict[str, Callable[[], float]]:
    from mrsr_tf.mri.slices import interpolate
    from mrsr_tf.volume import intensity_scale

    random = np.random.default_rng(0)
    rows, columns, slices = _shape()
    thick = random.uniform(0, 1000, (rows, columns, slices // FACTOR, ECHOES)).astype(np.float32)
    weights = _random_weights(random)
    fine = interpolate(thick, FACTOR)
    scale = intensity_scale(fine)
    np.save(folder / "scaled.npy", fine / scale)
    contenders = _tensorflow_contenders(folder, weights, thick, scale)
    if TORCH_PYTHON.value:
        np.savez(folder / "weights.npz", *weights)
        script = peers.PYTORCH_NETWORK + MONAI_SCRIPT
        peer = peers.start_peer(TORCH_PYTHON.value, script, folder)
        contenders["MONAI's tiles in PyTorch"] = lambda: peer("tiles")
        contenders["bare convolutions in PyTorch"] = lambda: peer("one_pass_pytorch")
    return contenders


def _tensorflow_contenders(
    folder: Path, weights: list[NDArray[np.float32]], thick: NDArray[np.float32], scale: float
) -> dict[str, Callable[[], float]]:
    """Ours, the bare convolutions and the paper's patches."""
    import tensorflow as tf

    from mrsr_tf.network import streaming
    from mrsr_tf.network.architecture import build_model
    from mrsr_tf.records.patches import positions

    resolver = streaming.SuperResolver(weights, FACTOR)
    shortest = sorted(_shape())[:2]
    streaming.SLAB_BYTES = PLANES * 4 * FILTERS.value * shortest[0] * shortest[1]
    scaled = tf.constant(np.load(folder / "scaled.npy")[None])
    patches = tf.random.uniform([PATCHES_TIMED, PATCH, PATCH, PATCH, ECHOES])
    model = build_model(ECHOES, convolutions=CONVOLUTIONS.value, filters=FILTERS.value)
    model.set_weights(weights)
    bare = tf.function(model, reduce_retracing=True)
    for side in (8, 12):  # two sizes, so that the graph is traced for any
        bare(tf.zeros((1, side, side, side, ECHOES)))
        resolver.super_resolve(tf.zeros((side, side, side, ECHOES)))

    def ours() -> None:
        result = resolver.super_resolve(tf.constant(thick)) / scale
        np.save(folder / "ours.npy", result.numpy())

    def one_pass() -> None:
        np.save(folder / "one_pass.npy", bare(scaled)[0].numpy())

    share = len(positions(_shape(), PATCH, STRIDE)) / PATCHES_TIMED
    return {
        table.OURS: lambda: seconds(ours),
        "bare convolutions": lambda: seconds(one_pass),
        f"patches of {PATCH}, stride {STRIDE} ({PATCHES_TIMED} timed)": lambda: (
            share * seconds(lambda: bare(patches).numpy())
        ),
    }


def _random_weights(random: np.random.Generator) -> list[NDArray[np.float32]]:
    """He initialization, which preserves the signal; the residual is a tenth of the image."""
    weights: list[NDArray[np.float32]] = []
    for layer, (inputs, outputs) in enumerate(itertools.pairwise(_channels()), 1):
        gain = 0.1 if layer == CONVOLUTIONS.value else 1
        kernel = random.normal(0, gain * np.sqrt(2 / 27 / inputs), (3, 3, 3, inputs, outputs))
        weights += [kernel.astype(np.float32), np.zeros(outputs, np.float32)]
    return weights


def _differences(folder: Path) -> dict[str, float]:
    """Largest differences of the results from the bare convolutions'."""
    one_pass = np.load(folder / "one_pass.npy")
    files = {"ours": "ours", "MONAI's tiles": "tiles", "PyTorch": "one_pass_pytorch"}
    return {
        name: float(np.abs(np.load(folder / f"{file}.npy") - one_pass).max())
        for name, file in files.items()
        if (folder / f"{file}.npy").exists()
    }


if __name__ == "__main__":
    table.run(measure)
