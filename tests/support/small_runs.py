"""Small finished training runs for tests, with weights that were never trained."""

import numpy as np

from mrsr_tf.network import run_folder
from mrsr_tf.network.architecture import build_model

MANIFEST = {"contrasts": "dual", "slice_factor": 2}


def make_run(run_dir, echoes=2, configuration=None, seed=0):
    network = build_model(echoes, convolutions=3, filters=4)
    random = np.random.default_rng(seed)
    network.set_weights([random.normal(0, 0.1, w.shape) for w in network.get_weights()])
    network.compile("adam", "mse")
    configuration = configuration or {"seed": 1}
    with run_folder.open_run(run_dir, configuration, MANIFEST, "--seed=1\n", overwrite=False):
        run_folder.save_checkpoint(network, run_dir)
        run_folder.finish(network, run_dir)
    return run_dir


def logged_scalars(run_dir) -> dict[str, list]:
    """Returns (step, value) of everything in TensorBoard's log on disk, by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    events = EventAccumulator(
        str(run_dir / "logs"), size_guidance={"tensors": 0}, purge_orphaned_data=False
    )
    events.Reload()
    return {
        tag: sorted(
            ((event.step, make_ndarray(event.tensor_proto)) for event in events.Tensors(tag)),
            key=lambda logged: logged[0],
        )
        for tag in events.Tags()["tensors"]
    }
