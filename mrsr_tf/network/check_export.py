"""Checks that the exported network beside this file computes here what it computed at its export.

    python check.py

Needs TensorFlow and nothing else. Prints one line and ends with 0, or with 1 where a voxel or the
weights differ.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

TOLERANCE = 1e-4  # of the brightest voxel


def main() -> str | None:
    """What is wrong; None where all is right."""
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
    found = serve(volume=tf.constant(volume[None]))["super_resolved"].numpy()[0]
    if found.shape != expected.shape:
        return f"expected {expected.shape} voxels, got {found.shape}"
    error = np.abs(found - expected).max() / np.abs(expected).max()
    if not error <= TOLERANCE:
        return f"voxels differ by up to {error:.1e} of the brightest, expected {TOLERANCE:.0e}"
    print(f"ok: TensorFlow {tf.__version__}, voxels within {error:.1e} of the brightest")
    return None


if __name__ == "__main__":
    sys.exit(main())
