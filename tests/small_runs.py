"""Small finished training runs for tests, with weights that were never trained."""

from mrsr_tf import runs
from mrsr_tf.model import build_model

MANIFEST = {"contrasts": "dual", "slice_factor": 2}


def make_run(run_dir, contrasts=2, configuration=None):
    runs.open_run(run_dir, configuration or {"seed": 1}, MANIFEST, "--seed=1\n", overwrite=False)
    network = build_model(contrasts, convolutions=3, filters=4)
    network.compile("adam", "mse")
    runs.save_checkpoint(network, run_dir)
    runs.finish(network, run_dir)
    return run_dir
