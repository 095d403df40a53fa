"""The work on many subjects as an Apache Beam pipeline, for cohorts that outgrow one machine.

Workers read the scans and write the shards themselves, so the folders must be theirs as well: a
file system that all machines share. What comes out is what `workers.in_processes` makes.
"""

import re
from collections.abc import Sequence
from typing import Any

from mrsr_tf.errors import InputError
from mrsr_tf.parallel import default_workers
from tf_records_tools.cohort import Work
from tf_records_tools.shard import Subject

INSTALL = "pip install 'mrsr-tf[beam]'"


def on_beam(
    work: Work,
    subjects: Sequence[Subject],
    what: str,
    memory_each: int,
    /,
    *,
    runner: str,
    workers: int | None = None,
    options: Sequence[str] = (),
) -> None:
    """Works on all subjects in one pipeline.

    Args:
        work: what to do; a function of a module.
        subjects: what to do it with.
        what: the pipeline's name.
        memory_each: bytes that one worker needs.
        runner: a Beam runner's name. "DirectRunner" is this machine.
        workers: of DirectRunner: how many; None for one per core as far as memory goes.
        options: further options of the runner, as `name=value`.

    Raises:
        InputError: the work's own, Beam is not installed, or it refuses the options.
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
            found = pipeline | what >> beam.Create(list(subjects))
            _ = found | beam.Reshuffle() | beam.Map(work)
    except Exception as error:  # runners wrap what a worker raises, each in its own way
        raise _users_own(error) from error


def _users_own(error: Exception) -> Exception:
    """The `InputError` that a worker raised, dug out of what the runner made of it."""
    found: Any = re.search(
        r"mrsr_tf\.errors\.InputError: (.+?)(?: \[while running|\\n|\n|$)", str(error)
    )
    return InputError(found[1]) if found else error
