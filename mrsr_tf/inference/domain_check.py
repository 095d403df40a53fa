"""What of a thick scan is unlike the scans a network was trained on, said before it is used.

The network was shown what its records' manifest says: spacings, echo times, intensities. A scan
beyond them is super-resolved all the same, but nobody has measured how well.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mrsr_tf.records.record_sets import each_set
from mrsr_tf.volume import Volume, intensity_scale

TOLERANCE = 0.1  # beyond the range of the training, of its ends
# Brighter than the brightest of the training by so much: an artefact, or another kind of image.
BRIGHTER = 2.0
NEGATIVE_SHARE = 1e-3


def trained_sets(card: Mapping[str, Any], slice_factor: int) -> list[Mapping[str, Any]]:
    """The manifests of a network's records: those of this factor, else all; none without a card."""
    every = each_set(card["records"]) if "records" in card else []
    return [one for one in every if one.get("slice_factor") == slice_factor] or list(every)


def unlike_training(thick: Volume, card: Mapping[str, Any], slice_factor: int) -> list[str]:
    """What is unusual about a scan for a network.

    Args:
        thick: the scan that the network shall be given.
        card: the network's; of one that tells less, less is compared.
        slice_factor: fine slices per thick one.

    Returns:
        A clause each for a message, as "its slices lie 3 mm apart, in training 1.4 to 1.6 mm"; none
        where all is usual.
    """
    sets = trained_sets(card, slice_factor)
    subjects = [subject for one in sets for subject in one.get("subjects", ())]
    return [
        *_made_before(thick),
        *_spacing(thick, [one["spacing_mm"] for one in sets if "spacing_mm" in one], slice_factor),
        *_acquisition(thick, subjects),
        *_intensities(thick, subjects),
    ]


def _made_before(thick: Volume) -> Iterator[str]:
    if thick.derived:
        yield "it is itself computed by this package, not acquired"


def _spacing(thick: Volume, fine: Sequence[Mapping[str, Any]], slice_factor: int) -> Iterator[str]:
    for axis, name in enumerate(("rows", "columns", "slices") if fine else ()):
        factor = slice_factor if name == "slices" else 1
        span = min(of["min"][axis] for of in fine), max(of["max"][axis] for of in fine)
        seen = factor * span[0], factor * span[1]
        yield from _beyond(f"{name} lie", float(thick.spacing_mm[axis]), seen, " mm", " apart")


def _acquisition(thick: Volume, subjects: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for name, key, unit in (
        ("repetition time is", "repetition_time_ms", " ms"),
        ("flip angle is", "flip_angle_deg", " degrees"),
    ):
        seen = [subject[key] for subject in subjects if subject.get(key)]
        value = getattr(thick, key)
        if seen and value is not None:
            yield from _beyond(name, value, (min(seen), max(seen)), unit)
    for echo, time in enumerate(thick.echo_times_ms or ()):
        all_times = [subject.get("echo_times_ms") or () for subject in subjects]
        seen = [times[echo] for times in all_times if len(times) == thick.echoes]
        if seen:
            yield from _beyond(f"echo {echo + 1} is at", time, (min(seen), max(seen)), " ms")


def _intensities(thick: Volume, subjects: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    negative = float(np.mean(thick.array < 0))
    if negative > NEGATIVE_SHARE:
        yield f"{negative:.1%} of its intensities are negative, which those of a magnitude are not"
    brightest = [subject["input_range"][1] for subject in subjects if "input_range" in subject]
    here = float(thick.array.max()) / intensity_scale(thick.array)
    if brightest and here > BRIGHTER * max(brightest):
        yield (
            f"its brightest voxel has {here:.1f} times the 99.9th percentile, in training at most "
            f"{max(brightest):.1f} times"
        )


def _beyond(
    name: str, value: float, span: tuple[float, float], unit: str, ending: str = ""
) -> Iterator[str]:
    low, high = span
    if not low * (1 - TOLERANCE) <= value <= high * (1 + TOLERANCE):
        told = f"{low:.4g}" if f"{low:.4g}" == f"{high:.4g}" else f"{low:.4g} to {high:.4g}"
        yield f"its {name} {value:.4g}{unit}{ending}, in training {told}{unit}"
