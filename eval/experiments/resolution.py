"""Cohort resolution: what of the structure along the slices comes back, and what is false.

Along lines across the slices, by cross-spectra in Welch's way (segments of 32 slices that overlap
by half, Hann's window, their means taken away), of truth T and method M at each frequency:

    transfer     Re <M T*> / <T T*>                        1 is all there, 0 lost
    false power  ( <M M*> - |<M T*>|^2 / <T T*> ) / <T T*>  what is there and not of the truth

The first is the mean amplitude transfer function, the second the part of M that is incoherent with
T. And across surfaces that lie along the slices, as in the slanted-edge method of ISO 12233: all
edges brought to one place and one step, and how many mm they take from 10 to 90 % of it.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.methods import INPUT, Method, baseline_methods, fine_slices
from eval.regions.body import body_mask
from eval.results.planes import TRUTH, Picture
from eval.results.rows import Row
from mrsr_tf.errors import InputError
from mrsr_tf.mri import slices
from mrsr_tf.mri.noise import noise_deviation
from mrsr_tf.volume import Volume, intensity_scale

SEGMENT = 32  # slices
WINDOW = np.hanning(SEGMENT + 1)[:-1]
HALF, TENTH = 0.5, 0.1  # of the transfer
WORSE = 3  # standard deviations of the noise
FLANK = 3  # slices on each side of an edge's own two that must be flat
FLATNESS, LOWEST_STEP, STEEPNESS = 0.15, 0.1, 0.5  # of the step, of the scale, of the gradient
FEWEST_EDGES = 50
BINS_PER_SLICE = 4
TRANSFER, EDGE = "transfer", "edge"  # the pictures

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]


class Spectra(NamedTuple):
    """Along the slices, at each frequency but 0: arrays of one length.

    Attributes:
        per_mm: cycles per mm, up to the fine Nyquist frequency.
        transfer: see the head of this file.
        false_power: likewise.
        power: of the truth, the mean over lines; of the unit squared.
    """

    per_mm: Map
    transfer: Map
    false_power: Map
    power: Map


class Edges(NamedTuple):
    """Where a scan has edges across its slices; see `edges`.

    Attributes:
        at: (n, 3): the voxel before the step.
        low: (n,): the level before it.
        step: (n,): what it rises by, or falls.
        beyond: (n,): how far beyond the voxel the step lies, in slices.
    """

    at: NDArray[np.integer]
    low: Map
    step: Map
    beyond: Map


def spectra(truth: Map, image: Map, inside: Mask, slice_mm: float) -> Spectra:
    """How an image's structure along the slices goes with the truth's.

    Args:
        truth: (rows, cols, slices).
        image: likewise.
        inside: likewise; a line counts in a segment that lies all inside.
        slice_mm: from slice to slice.

    Raises:
        InputError: other shapes, NaN, fewer than 32 slices, or no line of them inside.
    """
    if truth.shape != image.shape:
        raise InputError(f"expected an image {truth.shape} as the truth's, got {image.shape}")
    if not (np.isfinite(truth).all() and np.isfinite(image).all()):
        raise InputError("expected finite intensities, got some that are not")
    count = truth.shape[2]
    if count < SEGMENT:
        raise InputError(f"expected {SEGMENT} slices or more to tell a spectrum, got {count}")
    sums, number = np.zeros((3, SEGMENT // 2), complex), 0
    for start in range(0, count - SEGMENT + 1, SEGMENT // 2):
        part = slice(start, start + SEGMENT)
        lines = inside[:, :, part].all(axis=2)
        t, m = (_spectrum(each[:, :, part][lines]) for each in (truth, image))
        number += len(t)
        sums += [(a * b.conj()).sum(axis=0) for a, b in ((t, t), (m, t), (m, m))]
    if not sums[0].real.all():
        raise InputError(f"expected structure along {SEGMENT} slices inside the body, found none")
    power, shared, own = sums[0].real, sums[1], sums[2].real
    false = np.maximum(own - np.abs(shared) ** 2 / power, 0)
    per_mm = np.arange(1, SEGMENT // 2 + 1) / (SEGMENT * slice_mm)
    return Spectra(per_mm, shared.real / power, false / power, power / number)


def _spectrum(lines: Map) -> NDArray[np.complexfloating]:
    """(lines, frequencies): without that of 0."""
    flat = lines - lines.mean(axis=1, keepdims=True, dtype=np.float64)
    return np.fft.rfft(flat * WINDOW, axis=1)[:, 1:]


def falls_to(level: float, of: Spectra) -> float:
    """The first frequency, in cycles per mm, where the transfer is no more than `level`.

    NaN where it stays above up to the Nyquist frequency.
    """
    per_mm, transfer = np.r_[0, of.per_mm], np.r_[1, of.transfer]
    below = np.flatnonzero(transfer <= level)
    if not below.size:
        return math.nan
    pair = slice(below[0] - 1, below[0] + 1)
    return float(np.interp(-level, -transfer[pair], per_mm[pair]))


def edges(truth: Map, inside: Mask, spacing_mm: NDArray[np.floating], scale: float) -> Edges:
    """Where two flat levels meet between two slices, chosen by the truth alone.

        level  x x x .             three slices on each side are level to 15 % of the step, which
                       . x x x     is a tenth of the scale or more; half of it is reached between
               k-3 .. k k+1 .. k+4 slices k and k+1; and the surface lies along the slices: the
                                   gradient within them is at most half of that across them

    Args:
        truth: (rows, cols, slices), one echo.
        inside: likewise, where to look.
        spacing_mm: of its axes.
        scale: the intensity scale.
    """
    count = truth.shape[2] - 2 * FLANK - 1
    if count < 1 or min(truth.shape[:2]) < 2:
        return Edges(np.empty((0, 3), int), *np.empty((3, 0)))
    shifted = [truth[:, :, n : n + count] for n in range(2 * FLANK + 2)]
    before, after = np.stack(shifted[:FLANK]), np.stack(shifted[-FLANK:])
    one, two = shifted[FLANK], shifted[FLANK + 1]
    low, step = before.mean(axis=0), after.mean(axis=0) - before.mean(axis=0)
    size = np.abs(step)
    flat = np.maximum(np.ptp(before, axis=0), np.ptp(after, axis=0)) <= FLATNESS * size
    middle = low + step / 2
    crossed = ((one - middle) * np.sign(step) <= 0) & ((two - middle) * np.sign(step) > 0)
    down, right = np.gradient((one + two) / 2, *spacing_mm[:2], axis=(0, 1))
    along = np.hypot(down, right) <= STEEPNESS * size / spacing_mm[2]
    chosen = flat & crossed & along & (size >= LOWEST_STEP * scale)
    chosen &= inside[:, :, FLANK : FLANK + count]
    at = np.argwhere(chosen) + np.array([0, 0, FLANK])
    # Voxels are means: where the step lies, so much of the two voxels beside it is beyond it.
    reached = ((one + two - 2 * low) / np.where(step == 0, np.inf, step))[chosen]
    return Edges(at, low[chosen], step[chosen], 1.5 - reached)


def edge_spread(image: Map, of: Edges) -> Map:
    """What an image makes of the edges of the truth, the mean over all.

    Returns:
        (2, bins): positions in slices from where the truth steps, the means in
        bins of a quarter slice, and the part of the step reached there. NaN where there are fewer
        than fifty edges.
    """
    bins = 2 * FLANK * BINS_PER_SLICE + 1
    if len(of.step) < FEWEST_EDGES:
        return np.full((2, bins), np.nan)
    offsets = np.arange(-FLANK, FLANK + 2)
    rows, cols, first = of.at.T[:, :, None]
    reached = (image[rows, cols, first + offsets] - of.low[:, None]) / of.step[:, None]
    position = offsets - of.beyond[:, None]
    place = np.rint((position + FLANK) * BINS_PER_SLICE).astype(int)
    kept = (place >= 0) & (place < bins)
    number = np.bincount(place[kept], minlength=bins)
    totals = [np.bincount(place[kept], each[kept], bins) for each in (position, reached)]
    return np.divide(totals, number, out=np.full((2, bins), np.nan), where=number > 0)


def width(spread: Map) -> float:
    """How many slices an edge takes from 10 to 90 % of its step, outwards from its middle.

    NaN where `edge_spread` is, or where it does not get that far.
    """
    position, reached = spread[:, np.isfinite(spread[1])]
    if not position.size:
        return math.nan
    middle = int(np.argmin(np.abs(reached - 0.5)))
    rising = position[middle:], reached[middle:]
    falling = -position[middle::-1], 1 - reached[middle::-1]
    return sum(_first_above(0.9, *side) for side in (rising, falling))


def _first_above(level: float, position: Map, reached: Map) -> float:
    above = np.flatnonzero(reached >= level)
    if not above.size or not above[0]:
        return math.nan
    pair = slice(above[0] - 1, above[0] + 1)
    return float(np.interp(level, reached[pair], position[pair]))


def evaluate(
    scan: Volume, methods: Mapping[str, Method], factor: int
) -> tuple[list[Row], list[Picture]]:
    """Measures resolution along the slices and false structure of each method on one scan.

    Args:
        scan: of fine slices, the truth.
        methods: by name.
        factor: fine slices per thick one.

    Returns:
        A row per method, "truth" first, and echo: method, echo, mtf50_per_mm and mtf10_per_mm
        (`falls_to`), false_percent (false power over the truth's, of all frequencies), edge_mm
        (`width`), edges (how many), worse_percent and better_percent (of the body's voxels:
        further from the truth than TCI by more than three standard deviations of the noise, or
        nearer by as much). And two pictures with arrays of each method: "transfer" (echoes, 3,
        frequencies), of frequency, transfer and false power, of "truth" the noise's part of its
        power; and "edge" (echoes, 2, positions), of position in mm and part of the step.

    Raises:
        InputError: as `spectra`, or a method that gives other slices or NaN.
    """
    truth, body, scale = scan.array, body_mask(scan), intensity_scale(scan.array)
    thick = scan.resliced(slices.thicken(truth, factor), 1 / factor)
    slice_mm, cut = float(scan.spacing_mm[2]), np.s_[:, :, : truth.shape[2]]
    noise = [noise_deviation(truth[..., echo]) for echo in range(scan.echoes)]
    steps = [edges(truth[..., e], body, scan.spacing_mm, scale) for e in range(scan.echoes)]
    given = np.abs(fine_slices(INPUT, baseline_methods(factor)[INPUT], thick, factor)[cut] - truth)
    rows: list[Row] = []
    curves: dict[str, dict[str, Map]] = {TRANSFER: {}, EDGE: {}}
    for name in (TRUTH, *methods):
        image = truth if name == TRUTH else fine_slices(name, methods[name], thick, factor)[cut]
        nearer = (given - np.abs(image - truth))[body]
        transfers, spreads = [], []
        for echo, (deviation, of) in enumerate(zip(noise, steps, strict=True)):
            along = spectra(truth[..., echo], image[..., echo], body, slice_mm)
            spread = edge_spread(image[..., echo], of)
            rows.append(
                {"method": name, "echo": echo + 1, **_falls(along)}
                | {"edge_mm": width(spread) * slice_mm, "edges": len(of.step)}
                | {"worse_percent": 100 * float((nearer[:, echo] < -WORSE * deviation).mean())}
                | {"better_percent": 100 * float((nearer[:, echo] > WORSE * deviation).mean())}
            )
            if name == TRUTH:
                share = deviation**2 * np.square(WINDOW).sum() / along.power
                along = along._replace(false_power=share)
            transfers.append(along[:3])
            spreads.append(spread * [[slice_mm], [1]])
        curves[TRANSFER][name], curves[EDGE][name] = np.array(transfers), np.array(spreads)
    return rows, [Picture(view, (slice_mm,), panels) for view, panels in curves.items()]


def _falls(along: Spectra) -> dict[str, float]:
    false = float((along.false_power * along.power).sum() / along.power.sum())
    return {
        "mtf50_per_mm": falls_to(HALF, along),
        "mtf10_per_mm": falls_to(TENTH, along),
        "false_percent": 100 * false,
    }
