"""SSIM and pSNR of a volume, compared with scikit-image and TensorFlow in turns.

    python -m benchmarks.metrics
    python -m benchmarks.metrics --shape=128,128,32 --rounds=1

Our metric checks its input and averages over slices. It is built on scikit-image, which is timed on
the bare slices, as is TensorFlow's independent implementation.
"""

import numpy as np
from absl import flags
from numpy.typing import NDArray

from benchmarks import table
from benchmarks.measuring import in_turns, seconds
from mrsr_tf import cli

SHAPE = flags.DEFINE_list(
    "shape", ["416", "416", "160"], "The rows, columns and slices of the volume."
)
BATCH = 16  # slices that TensorFlow processes at once
ROUNDS = flags.DEFINE_integer("rounds", 3, "The number of times each is measured.", lower_bound=1)
SIMILARITY = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def measure() -> list[table.Row]:
    """Measures the implementations in turns and compares their results."""
    from skimage.metrics import structural_similarity

    from eval import metrics

    with cli.quiet_imports():
        import tensorflow as tf

    truth, image = _images()

    def ours() -> float:
        return metrics.ssim(truth, image, data_range=1)

    def by_scikit_image() -> float:
        pairs = zip(_slices(truth), _slices(image), strict=True)
        return float(
            np.mean([structural_similarity(*pair, data_range=1, **SIMILARITY) for pair in pairs])
        )

    def by_tensorflow() -> float:
        batches = [slice(start, start + BATCH) for start in range(0, truth.shape[2], BATCH)]
        pairs = [
            [_slices(volume[:, :, batch])[..., None] for volume in (truth, image)]
            for batch in batches
        ]
        return float(np.mean(np.concatenate([tf.image.ssim(*pair, 1.0) for pair in pairs])))

    ssims = {"ours": ours, "scikit-image": by_scikit_image, "TensorFlow": by_tensorflow}
    values = {name: ssim() for name, ssim in ssims.items()}
    turns = {name: (lambda ssim=ssim: seconds(ssim)) for name, ssim in ssims.items()}
    times = in_turns(turns, ROUNDS.value, warm=False)
    psnr = [seconds(lambda: metrics.psnr(truth, image, data_range=1)) for _ in range(ROUNDS.value)]
    peers = [name for name in ssims if name != "ours"]
    return [
        *(table.Row("SSIM of a volume", "s", times["ours"], name, times[name]) for name in peers),
        table.Row("pSNR of a volume", "s", psnr, "our SSIM", times["ours"]),
        *(table.Row(f"SSIM apart from {name}'s", "", [abs(values["ours"] - values[name])])
          for name in peers),
    ]  # fmt: skip


def _images() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A smooth volume in [0, 1], and the same with noise."""
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
