"""Checks whether a scan lies in the domain of the scans that a network was trained on.

The manifest of its training records states spacings, echo times and intensities. A scan outside
these ranges is super-resolved all the same, but nobody has measured how well.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mrsr_tf.records.manifest import Manifest, each_set
from mrsr_tf.volume import Volume, intensity_scale

TOLERANCE = 0.1  # by how much, relatively, a value may lie outside the range of the training
# A brightest voxel this many times as bright as in training: an artefact, or another contrast.
BRIGHTNESS_FACTOR = 2.0
NEGATIVE_FRACTION = 1e-3
# What is compared, its value in the scan, its values in training, their unit, an ending
Comparison = tuple[str, float | None, Sequence[float], str, str]


def trained_sets(card: Mapping[str, Any], slice_factor: int) -> list[Manifest]:
    """The manifests of a network's training records.

    Those of this slice factor if there are any, else all of them; none if the card has none.
    """
    manifests = each_set(card["records"]) if "records" in card else []
    same = [manifest for manifest in manifests if manifest.get("slice_factor") == slice_factor]
    return same or list(manifests)


def out_of_range(thick: Volume, card: Mapping[str, Any], slice_factor: int) -> list[str]:
    """Lists what is unusual about a thick scan for the network of a card.

    Returns:
        One clause for each finding, such as "its slices lie 3 mm apart, in training 1.4 to 1.6 mm".
        What the scan or the card does not state is not compared.
    """
    manifests = trained_sets(card, slice_factor)
    subjects = [subject for manifest in manifests for subject in manifest.get("subjects", ())]
    findings = ["it is itself computed by this package, not acquired"] if thick.derived else []
    for name, value, trained, unit, ending in (
        *_spacings(thick, manifests, slice_factor),
        *_times_and_angle(thick, subjects),
    ):
        if value is None or not trained:
            continue
        low, high = min(trained), max(trained)
        if not low * (1 - TOLERANCE) <= value <= high * (1 + TOLERANCE):
            limits = " to ".join(dict.fromkeys((f"{low:.4g}", f"{high:.4g}")))
            findings.append(f"its {name} {value:.4g}{unit}{ending}, in training {limits}{unit}")
    return [*findings, *_intensities(thick, subjects)]


def _spacings(
    thick: Volume, manifests: Iterable[Manifest], slice_factor: int
) -> Iterator[Comparison]:
    fine = [manifest["spacing_mm"] for manifest in manifests if "spacing_mm" in manifest]
    for axis, (name, factor) in enumerate((("rows", 1), ("columns", 1), ("slices", slice_factor))):
        trained = [factor * spacing[end][axis] for spacing in fine for end in ("min", "max")]
        yield f"{name} lie", float(thick.spacing_mm[axis]), trained, " mm", " apart"


def _times_and_angle(thick: Volume, subjects: Sequence[Mapping[str, Any]]) -> Iterator[Comparison]:
    for name, key, unit in (
        ("repetition time is", "repetition_time_ms", " ms"),
        ("flip angle is", "flip_angle_deg", " degrees"),
    ):
        trained = [subject[key] for subject in subjects if subject.get(key)]
        yield name, getattr(thick, key), trained, unit, ""
    all_times = [subject.get("echo_times_ms") or () for subject in subjects]
    for echo, time in enumerate(thick.echo_times_ms or ()):
        trained = [times[echo] for times in all_times if len(times) == thick.echoes]
        yield f"echo {echo + 1} is at", time, trained, " ms", ""


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
