"""Evaluations summarized over their subjects, a module for each experiment."""

from eval.reporting.summaries import image_quality, lesions, resolution, t2
from eval.reporting.summaries.summary import Summary
from eval.results.rows import Experiment, Results

SUMMARIZE = {
    Experiment.IMAGE_QUALITY: image_quality.summarize,
    Experiment.T2: t2.summarize,
    Experiment.LESIONS: lesions.summarize,
    Experiment.RESOLUTION: resolution.summarize,
}


def summarize(results: Results) -> Summary:
    """The summary of an evaluation, of whichever experiment it is."""
    return SUMMARIZE[results.experiment](results)
