"""Works on many subjects as an Apache Beam pipeline, for cohorts that outgrow one machine.

Workers read the scans and write the shards themselves, so all machines must share the folders in
one file system. The records are those of `mrsr_tf.parallel.map_in_processes`.
"""

import re
from collections.abc import Sequence
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.parallel import default_workers
from tf_records_tools.cohort import Work
from tf_records_tools.shard import Subject


def map_on_beam(
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
    """Works on all subjects in one pipeline; see `mrsr_tf.parallel.map_in_processes`.

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
        InputError: raised by `work`, or Beam is not installed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError:
        raise InputError(
            "expected Apache Beam for --runner, found none: pip install 'mrsr-tf[beam]'"
        ) from None
    if not subjects:
        return
    settings: dict[str, Any] = {"runner": runner}
    if runner == "DirectRunner":
        settings["direct_num_workers"] = min(workers or default_workers(memory_each), len(subjects))
        settings["direct_running_mode"] = "multi_processing"
    pipeline_options = PipelineOptions([f"--{option}" for option in options], **settings)
    try:
        with beam.Pipeline(options=pipeline_options) as pipeline:
            items = pipeline | title >> beam.Create(list(subjects))
            _ = items | beam.Reshuffle() | beam.Map(work)
    except Exception as error:  # each runner wraps what a worker raises in its own way
        raise _original_error(error) from error


def _original_error(error: Exception) -> Exception:
    """The `InputError` that a worker raised, extracted from the runner's message.

    It is the last one that the message holds: those before it are its causes.
    """
    pattern = r"mrsr_tf\.errors\.InputError: (.+?)(?: \[while running|\\n|\n|$)"
    messages = re.findall(pattern, str(error))
    return InputError(messages[-1]) if messages else error
