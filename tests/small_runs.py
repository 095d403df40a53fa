"""Small finished training runs for tests, with weights that were never trained."""

import numpy as np

from mrsr_tf import runs
from mrsr_tf.model import build_model

MANIFEST = {"contrasts": "dual", "slice_factor": 2}


def make_run(run_dir, contrasts=2, configuration=None, seed=0):
    runs.open_run(run_dir, configuration or {"seed": 1}, MANIFEST, "--seed=1\n", overwrite=False)
    network = build_model(contrasts, convolutions=3, filters=4)
    random = np.random.default_rng(seed)
    network.set_weights([random.normal(0, 0.1, w.shape) for w in network.get_weights()])
    network.compile("adam", "mse")
    runs.save_checkpoint(network, run_dir)
    runs.finish(network, run_dir)
    return run_dir
