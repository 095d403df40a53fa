"""SSIM and pSNR of a volume: ours beside scikit-image's and TensorFlow's, in turns.

    python -m benchmarks.metrics
    python -m benchmarks.metrics --shape=128,128,32 --rounds=1

Ours checks its input and takes the mean over slices; scikit-image, which does the windows of ours,
and TensorFlow, whose implementation is of its own, are given the slices as they are.
"""

import numpy as np
from absl import flags
from numpy.typing import NDArray

from benchmarks import table
from benchmarks.measuring import in_turns, seconds
from mrsr_tf import cli

SHAPE = flags.DEFINE_list("shape", ["416", "416", "160"], "Rows, columns, slices.")
BATCH = 16  # slices that TensorFlow gets at once
ROUNDS = flags.DEFINE_integer("rounds", 3, "Turns of each.", lower_bound=1)
SIMILARITY = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def measure() -> list[table.Row]:
    """Lets them take turns, and compares what they give."""
    from skimage.metrics import structural_similarity

    from eval import metrics

    with cli.quiet_imports():
        import tensorflow as tf

    truth, image = _images()

    def ours() -> float:
        return metrics.ssim(truth, image, data_range=1)

    def by_scikit_image() -> float:
        slices = zip(_slices(truth), _slices(image), strict=True)
        return float(
            np.mean([structural_similarity(*s, data_range=1, **SIMILARITY) for s in slices])
        )

    def by_tensorflow() -> float:
        few = range(0, truth.shape[2], BATCH)
        pairs = [[_slices(v[:, :, n : n + BATCH])[..., None] for v in (truth, image)] for n in few]
        return float(np.mean(np.concatenate([tf.image.ssim(*pair, 1.0) for pair in pairs])))

    ways = {"ours": ours, "scikit-image": by_scikit_image, "TensorFlow": by_tensorflow}
    value = {name: way() for name, way in ways.items()}
    turns = {name: (lambda way=way: seconds(way)) for name, way in ways.items()}
    taken = in_turns(turns, ROUNDS.value, warm=False)
    psnr = [seconds(lambda: metrics.psnr(truth, image, data_range=1)) for _ in range(ROUNDS.value)]
    peers = [name for name in ways if name != "ours"]
    return [
        *(table.Row("SSIM of a volume", "s", taken["ours"], name, taken[name]) for name in peers),
        table.Row("pSNR of a volume", "s", psnr, "our SSIM", taken["ours"]),
        *(table.Row(f"SSIM apart from {name}'s", "", [abs(value["ours"] - value[name])])
          for name in peers),
    ]  # fmt: skip


def _images() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A smooth truth in [0, 1], and it with noise."""
    from scipy import ndimage

    rows, columns, slices = (int(length) for length in SHAPE.value)
    random = np.random.default_rng(0)
    coarse = random.random((-(-rows // 8), -(-columns // 8), slices), np.float32)
    truth = ndimage.zoom(coarse, (8, 8, 1), order=1)[:rows, :columns]
    noise = random.normal(0, 0.05, truth.shape).astype(np.float32)
    return truth, (truth + noise).clip(0, 1)


def _slices(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.moveaxis(volume, 2, 0))


if __name__ == "__main__":
    table.run(measure)
