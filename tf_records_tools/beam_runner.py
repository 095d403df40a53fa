"""Works on many subjects as an Apache Beam pipeline, for cohorts that outgrow one machine.

Workers read the scans and write the shards themselves, so all machines must share the folders in
one file system. The records are those of `mrsr_tf.parallel.map_in_processes`.
"""

import re
from collections.abc import Sequence

from mrsr_tf.errors import InputError
from mrsr_tf.parallel import default_workers
from tf_records_tools.cohort import Work
from tf_records_tools.shard import Subject

INSTALL = "pip install 'mrsr-tf[beam]'"


def on_beam(
    work: Work,
    subjects: Sequence[Subject],
    title: str,
    memory_each: int,
    /,
    *,
    runner: str,
    workers: int | None = None,
    options: Sequence[str] = (),
) -> None:
    """Works on all subjects in one pipeline.

    Args:
        work: called with each subject; a function of a module, so that it can be pickled.
        subjects: what to work on.
        title: name of the pipeline.
        memory_each: bytes of memory that one worker needs.
        runner: name of a Beam runner; "DirectRunner" works on this machine.
        workers: number of processes of DirectRunner; None for one per core as far as the memory
            allows.
        options: further options of the runner, as `name=value`.

    Raises:
        InputError: raised by `work`, Beam is not installed, or it refuses the options.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise InputError(f"expected Apache Beam for --runner, found none: {INSTALL}") from None
    if not subjects:
        return
    settings = PipelineOptions([f"--{option}" for option in options], runner=runner)
    if runner == "DirectRunner":
        at_once = min(workers or default_workers(memory_each), len(subjects))
        settings = PipelineOptions(
            [f"--{option}" for option in options],
            runner=runner,
            direct_num_workers=at_once,
            direct_running_mode="multi_processing",
        )
    try:
        with beam.Pipeline(options=settings) as pipeline:
            items = pipeline | title >> beam.Create(list(subjects))
            _ = items | beam.Reshuffle() | beam.Map(work)
    except Exception as error:  # runners wrap what a worker raises, each in its own way
        raise _original_error(error) from error


def _original_error(error: Exception) -> Exception:
    """The `InputError` that a worker raised, found in the text that the runner made of it."""
    pattern = r"mrsr_tf\.errors\.InputError: (.+?)(?: \[while running|\\n|\n|$)"
    message = re.search(pattern, str(error))
    return InputError(message[1]) if message else error
