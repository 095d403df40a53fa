"""The devices that train together: one, all of this machine, or those of several machines.

Several machines find each other by TF_CONFIG or by the environment of SLURM. Each runs the same
command, and all see the same records and run folder.
"""

import os
from collections.abc import Callable

import tensorflow as tf

from mrsr_tf.errors import InputError
from mrsr_tf.training.config import Strategy

# For srun without --port; below the ports that operating systems assign by themselves.
SLURM_PORT = 23456

resolvers = tf.distribute.cluster_resolver


def make_strategy(name: Strategy = Strategy.AUTO) -> tf.distribute.Strategy:
    """Creates the distribution strategy; must run before any other TensorFlow operation.

    Args:
        name: `ONE` device; `MIRRORED`, all GPUs of this machine, or all logical CPUs if it has no
            GPU; `MULTI_WORKER`, all devices of all machines; `AUTO`, the most devices that machine
            and environment offer.

    Raises:
        InputError: several machines are requested but the environment describes none.
    """
    cluster = cluster_from_environment() if name in (Strategy.AUTO, Strategy.MULTI_WORKER) else None
    if cluster is not None:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster)
    if name == Strategy.MULTI_WORKER:
        raise InputError(
            "expected TF_CONFIG or SLURM's environment (srun) to name the workers of "
            "--strategy=multi_worker, found neither"
        )
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if name == Strategy.ONE or len(devices) == 1:
        return tf.distribute.OneDeviceStrategy(devices[0].name)
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether this process writes the files that all workers share."""
    return bool(strategy.extended.should_checkpoint)


def distribute(
    strategy: tf.distribute.Strategy, batches: Callable[..., tf.data.Dataset]
) -> tf.distribute.DistributedDataset:
    """Spreads batches over the devices of all workers; the elements are for `strategy.run`.

    Args:
        strategy: of `make_strategy`.
        batches: returns one worker's share, as `reader.validation_batches` does, for the keyword
            arguments `replicas`, `shards` and `shard_index`.
    """

    def split_for_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas, workers = context.num_replicas_in_sync, context.num_input_pipelines
        share = batches(replicas=replicas, shards=workers, shard_index=context.input_pipeline_id)
        return _split(share, replicas // workers)

    return strategy.distribute_datasets_from_function(split_for_worker)


def check_same_step(strategy: tf.distribute.Strategy, step: int) -> None:
    """Waits for all workers; raises `InputError` unless all are at the same step."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    steps = strategy.run(lambda: tf.constant(step, tf.float64))
    if float(strategy.reduce(tf.distribute.ReduceOp.MEAN, steps, axis=None)) != step:
        raise InputError("expected all workers at one step: they must share one run folder")


def cluster_from_environment() -> tf.distribute.cluster_resolver.ClusterResolver | None:
    """Returns the workers that TF_CONFIG or SLURM names, or None if neither names several."""
    if "TF_CONFIG" in os.environ:
        cluster = resolvers.TFConfigClusterResolver()
        return cluster if cluster.cluster_spec() else None
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if tasks == 1:
        return None
    # TensorFlow's resolver also assigns GPUs and fails where there are none. Here it only lists
    # the tasks; each task uses the GPUs that srun lets it see.
    slurm = resolvers.SlurmClusterResolver(
        port_base=SLURM_PORT, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
    )
    return resolvers.SimpleClusterResolver(
        slurm.cluster_spec(),
        task_type="worker",
        task_id=int(os.environ["SLURM_PROCID"]),
        rpc_layer="grpc",
    )


def _split(batches: tf.data.Dataset, parts: int) -> tf.data.Dataset:
    """Splits each batch into parts for the replicas of one worker."""
    if parts == 1:
        return batches

    def split(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(tf.reshape(x, tf.concat([[parts, -1], tf.shape(x)[1:]], 0)) for x in batch)

    shapes = [(None, *spec.shape[1:]) for spec in batches.element_spec]
    pieces = batches.map(split).unbatch()
    return pieces.map(
        lambda *piece: tuple(tf.ensure_shape(x, s) for x, s in zip(piece, shapes, strict=True))
    ).prefetch(parts)
