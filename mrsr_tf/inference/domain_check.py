"""Checks whether a scan lies in the domain of the scans that a network was trained on.

The manifest of its training records states spacings, echo times and intensities. A scan outside
these ranges is super-resolved all the same, but nobody has measured how well.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mrsr_tf.records.manifest import Manifest, each_set
from mrsr_tf.volume import Volume, intensity_scale

TOLERANCE = 0.1  # by how much, relatively, a value may lie outside the range of the training
# A brightest voxel this many times as bright as in training: an artefact, or another contrast.
BRIGHTNESS_FACTOR = 2.0
NEGATIVE_FRACTION = 1e-3


def trained_sets(card: Mapping[str, Any], slice_factor: int) -> list[Manifest]:
    """The manifests of a network's training records.

    Those of this slice factor if there are any, else all of them; none if the card has none.
    """
    manifests = each_set(card["records"]) if "records" in card else []
    same = [manifest for manifest in manifests if manifest.get("slice_factor") == slice_factor]
    return same or list(manifests)


def out_of_range(thick: Volume, card: Mapping[str, Any], slice_factor: int) -> list[str]:
    """Lists what is unusual about a scan for a network.

    Args:
        thick: the network's input.
        card: of the network; what it does not state is not compared.
        slice_factor: fine slices per thick one.

    Returns:
        One clause for each finding, such as "its slices lie 3 mm apart, in training 1.4 to 1.6 mm";
        empty if there is nothing unusual.
    """
    manifests = trained_sets(card, slice_factor)
    subjects = [subject for manifest in manifests for subject in manifest.get("subjects", ())]
    spacings = [manifest["spacing_mm"] for manifest in manifests if "spacing_mm" in manifest]
    return [
        *_derived(thick),
        *_spacing(thick, spacings, slice_factor),
        *_acquisition(thick, subjects),
        *_intensities(thick, subjects),
    ]


def _derived(thick: Volume) -> Iterator[str]:
    if thick.derived:
        yield "it is itself computed by this package, not acquired"


def _spacing(
    thick: Volume, fine_spacings: Sequence[Mapping[str, Any]], slice_factor: int
) -> Iterator[str]:
    if not fine_spacings:
        return
    for axis, (name, factor) in enumerate((("rows", 1), ("columns", 1), ("slices", slice_factor))):
        low = factor * min(spacing["min"][axis] for spacing in fine_spacings)
        high = factor * max(spacing["max"][axis] for spacing in fine_spacings)
        yield from _beyond(
            f"{name} lie", float(thick.spacing_mm[axis]), (low, high), " mm", " apart"
        )


def _acquisition(thick: Volume, subjects: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for name, key, unit in (
        ("repetition time is", "repetition_time_ms", " ms"),
        ("flip angle is", "flip_angle_deg", " degrees"),
    ):
        values = [subject[key] for subject in subjects if subject.get(key)]
        value = getattr(thick, key)
        if values and value is not None:
            yield from _beyond(name, value, (min(values), max(values)), unit)
    for echo, time in enumerate(thick.echo_times_ms or ()):
        all_times = [subject.get("echo_times_ms") or () for subject in subjects]
        values = [times[echo] for times in all_times if len(times) == thick.echoes]
        if values:
            yield from _beyond(f"echo {echo + 1} is at", time, (min(values), max(values)), " ms")


def _intensities(thick: Volume, subjects: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    negative = float(np.mean(thick.array < 0))
    if negative > NEGATIVE_FRACTION:
        yield f"{negative:.1%} of its intensities are negative, which those of a magnitude are not"
    trained = [subject["input_range"][1] for subject in subjects if "input_range" in subject]
    brightest = float(thick.array.max()) / intensity_scale(thick.array)
    if trained and brightest > BRIGHTNESS_FACTOR * max(trained):
        yield (
            f"its brightest voxel has {brightest:.1f} times the 99.9th percentile, in training at "
            f"most {max(trained):.1f} times"
        )


def _beyond(
    name: str, value: float, limits: tuple[float, float], unit: str, ending: str = ""
) -> Iterator[str]:
    low, high = limits
    if not low * (1 - TOLERANCE) <= value <= high * (1 + TOLERANCE):
        ends = dict.fromkeys((f"{low:.4g}", f"{high:.4g}"))
        yield f"its {name} {value:.4g}{unit}{ending}, in training {' to '.join(ends)}{unit}"
