"""Resolution: how much of the structure along the slices a method restores, and what is false.

Cross-spectra of truth T and method M along lines across the slices, estimated by Welch's method
(segments of 32 slices that overlap by half, Hann window, means subtracted), give at each frequency

    transfer     Re <M T*> / <T T*>                        1 is all there, 0 lost
    false power  ( <M M*> - |<M T*>|^2 / <T T*> ) / <T T*>  structure that is not in the truth

The first is the mean amplitude transfer function, the second the part of M that is incoherent with
T. The width of edges is measured across surfaces that lie along the slices, as in the slanted-edge
method of ISO 12233: all edges are aligned and scaled to one step, and the distance from 10 to 90 %
of the step is their width in mm.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.methods import INPUT, restore
from eval.regions.body import body_mask
from eval.results.planes import TRUTH, Picture
from eval.results.rows import Row
from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Interpolation, Upsampler
from mrsr_tf.mri.noise import noise_deviation
from mrsr_tf.volume import Volume, intensity_scale

SEGMENT = 32  # slices
WINDOW = np.hanning(SEGMENT + 1)[:-1]
HALF, TENTH = 0.5, 0.1  # of the transfer
WORSE = 3  # standard deviations of the noise
FLANK = 3  # flat slices on each side of the two between which an edge lies
FLATNESS, LOWEST_STEP, STEEPNESS = 0.15, 0.1, 0.5  # of the step, of the scale, of the gradient
FEWEST_EDGES = 50
BINS_PER_SLICE = 4
TRANSFER, EDGE = "transfer", "edge"  # views of the pictures

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]


class Spectra(NamedTuple):
    """Spectra along the slices, one value for each frequency except 0.

    Attributes:
        per_mm: frequency in cycles per mm, up to the Nyquist frequency of the fine slices.
        transfer: see the head of this module.
        false_power: likewise.
        power: of the truth, the mean over lines, in the image's unit squared.
    """

    per_mm: Map
    transfer: Map
    false_power: Map
    power: Map


class Edges(NamedTuple):
    """The n edges of a scan across its slices; see `edges`.

    Attributes:
        voxels: (n, 3), the voxel before each step.
        low: (n,), the level before the step.
        step: (n,), the difference between the levels; negative where the image falls.
        beyond: (n,), the distance from the voxel to the step, in slices.
    """

    voxels: NDArray[np.integer]
    low: Map
    step: Map
    beyond: Map


def spectra(truth: Map, image: Map, inside: Mask, slice_mm: float) -> Spectra:
    """Compares the structure of an image along the slices with that of the truth.

    Args:
        truth: (rows, cols, slices).
        image: likewise.
        inside: likewise; a line counts in those segments in which it lies inside entirely.
        slice_mm: distance between slices.

    Raises:
        InputError: there are fewer than 32 slices, or no line is inside.
    """
    count = truth.shape[2]
    if count < SEGMENT:
        raise InputError(f"expected {SEGMENT} slices or more to tell a spectrum, got {count}")
    sums, number = np.zeros((3, SEGMENT // 2), complex), 0
    for start in range(0, count - SEGMENT + 1, SEGMENT // 2):
        part = slice(start, start + SEGMENT)
        lines = inside[:, :, part].all(axis=2)
        t, m = (_spectrum(array[:, :, part][lines]) for array in (truth, image))
        number += len(t)
        sums += [(a * b.conj()).sum(axis=0) for a, b in ((t, t), (m, t), (m, m))]
    if not sums[0].real.all():
        raise InputError(f"expected structure along {SEGMENT} slices inside the body, found none")
    power, shared, own = sums[0].real, sums[1], sums[2].real
    false = np.maximum(own - np.abs(shared) ** 2 / power, 0)
    per_mm = np.arange(1, SEGMENT // 2 + 1) / (SEGMENT * slice_mm)
    return Spectra(per_mm, shared.real / power, false / power, power / number)


def _spectrum(lines: Map) -> NDArray[np.complexfloating]:
    """(lines, frequencies), without frequency 0."""
    flat = lines - lines.mean(axis=1, keepdims=True, dtype=np.float64)
    return np.fft.rfft(flat * WINDOW, axis=1)[:, 1:]


def falls_to(level: float, spectra: Spectra) -> float:
    """The lowest frequency, in cycles per mm, at which the transfer is `level` or less.

    NaN if it stays above up to the Nyquist frequency.
    """
    return _first_above(-level, np.r_[0, spectra.per_mm], -np.r_[1, spectra.transfer])


def edges(truth: Map, inside: Mask, spacing_mm: NDArray[np.floating], scale: float) -> Edges:
    """Finds where two flat levels meet between two slices, from the truth alone.

        level  x x x .             three slices on each side are flat to 15 % of the step, which is
                       . x x x     a tenth of the scale or more; half of it is reached between
               k-3 .. k k+1 .. k+4 slices k and k+1; and the surface lies along the slices: the
                                   gradient within them is at most half of that across them

    Args:
        truth: (rows, cols, slices), one echo.
        inside: likewise, where edges are looked for.
        spacing_mm: distances between rows, columns and slices.
        scale: the intensity scale.
    """
    count = truth.shape[2] - 2 * FLANK - 1
    if count < 1 or min(truth.shape[:2]) < 2:
        return Edges(np.empty((0, 3), int), *np.empty((3, 0)))
    shifted = [truth[:, :, n : n + count] for n in range(2 * FLANK + 2)]
    before, after = np.stack(shifted[:FLANK]), np.stack(shifted[-FLANK:])
    before_step, after_step = shifted[FLANK], shifted[FLANK + 1]
    low, step = before.mean(axis=0), after.mean(axis=0) - before.mean(axis=0)
    size = np.abs(step)
    flat = np.maximum(np.ptp(before, axis=0), np.ptp(after, axis=0)) <= FLATNESS * size
    middle = low + step / 2
    crossed = ((before_step - middle) * np.sign(step) <= 0) & (
        (after_step - middle) * np.sign(step) > 0
    )
    down, right = np.gradient((before_step + after_step) / 2, *spacing_mm[:2], axis=(0, 1))
    along = np.hypot(down, right) <= STEEPNESS * size / spacing_mm[2]
    chosen = flat & crossed & along & (size >= LOWEST_STEP * scale)
    chosen &= inside[:, :, FLANK : FLANK + count]
    voxels = np.argwhere(chosen) + np.array([0, 0, FLANK])
    # Voxels are means: the position of the step determines how much of the two voxels is beyond it.
    reached = ((before_step + after_step - 2 * low) / np.where(step == 0, np.inf, step))[chosen]
    return Edges(voxels, low[chosen], step[chosen], 1.5 - reached)


def edge_spread(image: Map, edges: Edges) -> Map:
    """The mean profile of an image across the edges of the truth.

    Returns:
        (2, bins), bins of a quarter slice: the mean position in slices from the step of the truth,
        and the mean fraction of the step reached there. NaN if there are fewer than fifty edges.
    """
    bins = 2 * FLANK * BINS_PER_SLICE + 1
    if len(edges.step) < FEWEST_EDGES:
        return np.full((2, bins), np.nan)
    offsets = np.arange(-FLANK, FLANK + 2)
    rows, cols, first = edges.voxels.T[:, :, None]
    reached = (image[rows, cols, first + offsets] - edges.low[:, None]) / edges.step[:, None]
    position = offsets - edges.beyond[:, None]
    place = np.rint((position + FLANK) * BINS_PER_SLICE).astype(int)
    valid = (place >= 0) & (place < bins)
    number = np.bincount(place[valid], minlength=bins)
    totals = [np.bincount(place[valid], values[valid], bins) for values in (position, reached)]
    return np.divide(totals, number, out=np.full((2, bins), np.nan), where=number > 0)


def width(spread: Map) -> float:
    """The distance in slices from 10 to 90 % of the step, searched outwards from its middle.

    NaN if there is no `edge_spread` or it does not reach these levels.
    """
    position, reached = spread[:, np.isfinite(spread[1])]
    if not position.size:
        return math.nan
    middle = int(np.argmin(np.abs(reached - 0.5)))
    rising = position[middle:], reached[middle:]
    falling = -position[middle::-1], 1 - reached[middle::-1]
    return sum(_first_above(0.9, *side) for side in (rising, falling))


def _first_above(level: float, position: Map, reached: Map) -> float:
    """The interpolated position where `level` is first reached; NaN if never or at once."""
    above = np.flatnonzero(reached >= level)
    if not above.size or not above[0]:
        return math.nan
    pair = slice(above[0] - 1, above[0] + 1)
    return float(np.interp(level, reached[pair], position[pair]))


def evaluate(scan: Volume, upsamplers: Sequence[Upsampler]) -> tuple[list[Row], list[Picture]]:
    """Measures resolution along the slices and false structure of each method on one scan.

    Args:
        scan: fine slices, the truth.
        upsamplers: of the same slice factor.

    Returns:
        A row for each method, "truth" first, and echo: method, echo, mtf50_per_mm and mtf10_per_mm
        (`falls_to`), false_percent (false power relative to that of the truth, over all
        frequencies), edge_mm (`width`), edges (their number), worse_percent and better_percent (the
        share of the body's voxels that are further from the truth than TCI by more than three
        standard deviations of the noise, or nearer by as much). And two pictures with an array for
        each method: "transfer" (echoes, 3, frequencies) with frequency, transfer and false power,
        for "truth" the share of noise in its power; and "edge" (echoes, 2, positions) with position
        in mm and fraction of the step.

    Raises:
        InputError: as `spectra`, or a method returned another shape or NaN.
    """
    network_input = Interpolation(INPUT, upsamplers[0].factor)
    comparison = _Comparison(scan, restore(network_input, scan.array))
    rows: list[Row] = []
    curves: dict[str, dict[str, Map]] = {TRANSFER: {}, EDGE: {}}
    for upsampler in (None, *upsamplers):
        name = upsampler.name if upsampler else TRUTH
        scored, transfers, spreads = comparison.measure(
            restore(upsampler, scan.array) if upsampler else scan.array,
            is_truth=upsampler is None,
        )
        rows += [{"method": name} | row for row in scored]
        curves[TRANSFER][name], curves[EDGE][name] = transfers, spreads
    slice_mm = float(scan.spacing_mm[2])
    return rows, [Picture(view, (slice_mm,), panels) for view, panels in curves.items()]


class _Comparison:
    """Compares images with the truth, and their errors with those of the network's input."""

    def __init__(self, scan: Volume, network_input: Map) -> None:
        self._truth, self._body = scan.array, body_mask(scan)
        self._slice_mm = float(scan.spacing_mm[2])
        scale, echoes = intensity_scale(scan.array), np.moveaxis(scan.array, 3, 0)
        self._noise = [noise_deviation(echo) for echo in echoes]
        self._edges = [edges(echo, self._body, scan.spacing_mm, scale) for echo in echoes]
        self._input_error = np.abs(network_input - scan.array)

    def measure(self, image: Map, *, is_truth: bool) -> tuple[list[Row], Map, Map]:
        """Rows, and the arrays of both pictures, for an image (rows, cols, slices, echoes)."""
        gain = (self._input_error - np.abs(image - self._truth))[self._body]
        rows: list[Row] = []
        transfers, spreads = [], []
        for echo, (noise, steps) in enumerate(zip(self._noise, self._edges, strict=True)):
            truth = self._truth[..., echo]
            along = spectra(truth, image[..., echo], self._body, self._slice_mm)
            spread = edge_spread(image[..., echo], steps)
            rows.append(
                {"echo": echo + 1, **_scores(along)}
                | {"edge_mm": width(spread) * self._slice_mm, "edges": len(steps.step)}
                | {"worse_percent": 100 * float((gain[:, echo] < -WORSE * noise).mean())}
                | {"better_percent": 100 * float((gain[:, echo] > WORSE * noise).mean())}
            )
            if is_truth:
                noise_share = noise**2 * np.square(WINDOW).sum() / along.power
                along = along._replace(false_power=noise_share)
            transfers.append(along[:3])
            spreads.append(spread * [[self._slice_mm], [1]])
        return rows, np.array(transfers), np.array(spreads)


def _scores(along: Spectra) -> dict[str, float]:
    false_power = float((along.false_power * along.power).sum() / along.power.sum())
    return {
        "mtf50_per_mm": falls_to(HALF, along),
        "mtf10_per_mm": falls_to(TENTH, along),
        "false_percent": 100 * false_power,
    }
