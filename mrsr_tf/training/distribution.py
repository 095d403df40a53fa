"""Which devices train together: one, all of this machine, or those of several machines.

Several machines tell each other apart by TF_CONFIG or by SLURM's environment; each runs the same
command, and all see the same records and run folder.
"""

import os
from collections.abc import Callable

import tensorflow as tf

from mrsr_tf.errors import InputError

STRATEGIES = ("auto", "one", "mirrored", "multi_worker")
# srun without --port: below the ports that systems give out by themselves.
SLURM_PORT = 23456

resolvers = tf.distribute.cluster_resolver
Batches = Callable[[int, int, int], tf.data.Dataset]


def make_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The strategy of a name; to be made before anything else of TensorFlow runs.

    Args:
        name: "one" device; "mirrored", all GPUs of this machine, or all logical CPUs where there
            is no GPU; "multi_worker", all devices of all machines; "auto", the widest of these
            that the machine and the environment offer.

    Raises:
        InputError: another name, or several machines asked for and none described.
    """
    if name not in STRATEGIES:
        raise InputError(f"expected the strategy {', '.join(STRATEGIES)}, got {name!r}")
    cluster = described_cluster() if name in ("auto", "multi_worker") else None
    if cluster is not None:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster)
    if name == "multi_worker":
        raise InputError(
            "expected TF_CONFIG or SLURM's environment (srun) to name the workers of "
            "--strategy=multi_worker, found neither"
        )
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if name == "one" or len(devices) == 1:
        return tf.distribute.OneDeviceStrategy(devices[0].name)
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes what all workers share."""
    return bool(strategy.extended.should_checkpoint)


def distribute(
    strategy: tf.distribute.Strategy, batches: Batches
) -> tf.distribute.DistributedDataset:
    """Spreads batches over the devices of all workers.

    Args:
        strategy: of `make_strategy`.
        batches: from (replicas in all, workers, this worker's number) to this worker's part of
            the batches, each filled up to a multiple of its replicas.

    Returns:
        What gives `strategy.run` its arguments, batch by batch.
    """

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas, workers = context.num_replicas_in_sync, context.num_input_pipelines
        part = batches(replicas, workers, context.input_pipeline_id)
        return _split(part, replicas // workers)

    return strategy.distribute_datasets_from_function(of_worker)


def agree(strategy: tf.distribute.Strategy, step: int) -> None:
    """Waits for all workers; `InputError` unless all are about to go on from the same step."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return
    steps = strategy.run(lambda: tf.constant(step, tf.float64))
    if float(strategy.reduce(tf.distribute.ReduceOp.MEAN, steps, axis=None)) != step:
        raise InputError("expected all workers at one step: they must share one run folder")


def _split(batches: tf.data.Dataset, parts: int) -> tf.data.Dataset:
    if parts == 1:
        return batches

    def split(*batch: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(tf.reshape(x, tf.concat([[parts, -1], tf.shape(x)[1:]], 0)) for x in batch)

    shapes = [(None, *spec.shape[1:]) for spec in batches.element_spec]
    pieces = batches.map(split).unbatch()
    return pieces.map(
        lambda *piece: tuple(tf.ensure_shape(x, s) for x, s in zip(piece, shapes, strict=True))
    ).prefetch(parts)


def described_cluster() -> tf.distribute.cluster_resolver.ClusterResolver | None:
    """The workers that TF_CONFIG names, or SLURM; None where neither names several."""
    if "TF_CONFIG" in os.environ:
        cluster = resolvers.TFConfigClusterResolver()
        return cluster if cluster.cluster_spec() else None
    if int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _slurm_cluster()
    return None


def _slurm_cluster() -> tf.distribute.cluster_resolver.ClusterResolver:
    # TensorFlow's own resolver gives out GPUs too, and fails where there are none: here it only
    # lists the tasks, and each task takes the GPUs that srun lets it see.
    tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
    listed = resolvers.SlurmClusterResolver(
        port_base=SLURM_PORT, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
    )
    return resolvers.SimpleClusterResolver(
        listed.cluster_spec(),
        task_type="worker",
        task_id=int(os.environ["SLURM_PROCID"]),
        rpc_layer="grpc",
    )
