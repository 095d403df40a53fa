"""Checks that the exported network beside this file computes the same here as when exported.

    python check.py

Needs only TensorFlow. Prints one line and exits with 0, or with 1 if a voxel or the weights differ.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

TOLERANCE = 1e-4  # of the brightest voxel


def main() -> str | None:
    """Returns what is wrong, or None."""
    folder = Path(__file__).resolve().parent
    card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
    network = tf.saved_model.load(str(folder))
    digest = hashlib.sha256()
    for kernel, bias in zip(network.kernels, network.biases, strict=True):
        digest.update(kernel.numpy().astype("<f4").tobytes() + bias.numpy().astype("<f4").tobytes())
    if digest.hexdigest() != card["weights_sha256"]:
        return "the weights are not those that card.json names"
    with np.load(folder / "example.npz") as example:
        volume, expected = example["volume"], example["super_resolved"]
    serve = network.signatures["serving_default"]
    computed = serve(volume=tf.constant(volume[None]))["super_resolved"].numpy()[0]
    if computed.shape != expected.shape:
        return f"expected {expected.shape} voxels, got {computed.shape}"
    error = np.abs(computed - expected).max() / np.abs(expected).max()
    if not error <= TOLERANCE:
        return f"voxels differ by up to {error:.1e} of the brightest, expected {TOLERANCE:.0e}"
    print(f"ok: TensorFlow {tf.__version__}, voxels within {error:.1e} of the brightest")
    return None


if __name__ == "__main__":
    sys.exit(main())
