"""Cohort 2: T2 of a thick scan after each method doubled its slices, against the scan's own."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.methods import Method, fine_slices
from eval.regions import cartilage_layers
from eval.results import planes, viewer_boxes
from eval.results.planes import Picture
from eval.results.rows import Row
from eval.t2_noise import T2_LIMIT_MS, t2_map
from mrsr_tf.errors import InputError
from mrsr_tf.volume import Volume

COMBINATIONS = ("covering", "pair")
OUTLIERS = ("none", "mad")
MADS = 3
MAD_OF_NORMAL = 1.4826  # times the median absolute deviation is a normal distribution's SD

Map = NDArray[np.floating]


class Region(NamedTuple):
    """A region of interest.

    Attributes:
        name: as in the rows.
        inside: (rows, cols, slices), some of the thick scan's voxels.
        t1_ms: of its tissue.
    """

    name: str
    inside: NDArray[np.bool_]
    t1_ms: float = 1200.0


def evaluate(
    thick: Volume,
    methods: Mapping[str, Method],
    factor: int,
    *,
    known: Mapping[str, Any],
    regions: Sequence[Region],
    true_t2_ms: Map | None = None,
    combination: str = "covering",
    outliers: str = "none",
) -> tuple[list[Row], list[Picture]]:
    """Measures T2 in regions.

    Each map's mean is over its own voxels in (0, 100] ms that are no outliers; the pixel-wise CV %
    over those that are valid in the reference, too.

    Args:
        thick: the scan as acquired, two echoes.
        methods: by name.
        factor: fine slices per thick one.
        known: what `eval.t2_noise.t2_map` needs beside the echoes and T1: the sequence, the method.
        regions: where; the first is the one in the pictures.
        true_t2_ms: (rows, cols, slices); None where it is not known.
        combination: of the fine slices' signals to a thick one's, see `combining_matrix`.
        outliers: which voxels of a measured map are left out, see `without_outliers`.

    Returns:
        A row per region and method: roi, method, t2_ms, t2_thick_ms, t2_truth_ms (NaN where not
        known), pixel_cv_percent, voxels (used) and excluded (of the region; outliers of these are
        told beside it), thick_excluded (by the thick scan's map), pixel_cv_truth_percent; and T2
        maps of the slice that holds most of the first region and, if it is femoral, laid out flat;
        and a box about that region, of the echoes and T2.

    Raises:
        InputError: a method that gives other slices, or no voxel of a region has a T2.
    """
    matrix, main = combining_matrix(thick.array.shape[2], factor, combination), regions[0]
    shown = planes.upright_plane(thick, planes.SLICE_AXIS, int(np.argmax(main.inside.sum((0, 1)))))
    panels = {"s1": shown.cut(thick.array[..., 0]), "roi": shown.cut(main.inside)}
    of_main: dict[str, Map] = {}
    centre = tuple(int(np.median(where)) for where in np.nonzero(main.inside))
    box = viewer_boxes.box_around(thick, centre, len(methods) + 1)
    images: dict[str, NDArray[np.uint8]] = {}
    t2_boxes: dict[str, NDArray[np.uint8]] = {}

    def maps_of(signals: Map, name: str) -> list[Map]:
        maps = [_t2(signals[region.inside], known, region.t1_ms) for region in regions]
        panels[name] = _t2(shown.cut(signals), known, main.t1_ms)
        of_main[name] = maps[0]
        images[name], t2_boxes[name] = box.images(signals), box.t2(_everywhere(maps, regions))
        return maps

    reference = maps_of(thick.array, "thick")
    truth: list[Map | None] = [None for _ in regions]
    if true_t2_ms is not None:
        truth = [_believed(true_t2_ms[region.inside]) for region in regions]
        panels["truth"] = _believed(shown.cut(true_t2_ms))
        of_main["truth"] = _believed(true_t2_ms[main.inside])
        t2_boxes["truth"] = box.t2(_everywhere([m for m in truth if m is not None], regions))
    rows: list[Row] = []
    for name, method in methods.items():
        fine = fine_slices(name, method, thick, factor)
        measured = maps_of(np.einsum("ts,rcse->rcte", matrix, fine, optimize=True), name)
        rows += [
            {"roi": region.name, "method": name, **_compared(t2, own, true, outliers, region.name)}
            for region, t2, own, true in zip(regions, measured, reference, truth, strict=True)
        ]
    order = [region.name for region in regions]
    rows.sort(key=lambda row: order.index(row["roi"]))
    kept = [Picture("t2", shown.spacing_mm, panels), *_unrolled(of_main, main, thick)]
    return rows, [*kept, *box.pictures(images, t2_boxes)]


def _everywhere(maps: Sequence[Map], regions: Sequence[Region]) -> Map:
    """(rows, cols, slices): the regions' T2, NaN elsewhere; where two overlap, the former's."""
    volume = np.full(regions[0].inside.shape, np.nan, np.float32)
    for region, t2_ms in reversed(list(zip(regions, maps, strict=True))):
        volume[region.inside] = t2_ms
    return volume


def _compared(t2: Map, thick: Map, truth: Map | None, outliers: str, region: str) -> Row:
    """A row's numbers, of the maps in one region."""
    kept, reference = without_outliers(t2, outliers), without_outliers(thick, outliers)
    return {
        "t2_ms": _mean(kept, region),
        "t2_thick_ms": _mean(reference, f"{region} of the thick scan"),
        "t2_truth_ms": math.nan if truth is None else _mean(truth, f"the truth of {region}"),
        "pixel_cv_percent": _pixel_cv_percent(reference, kept),
        "voxels": int(np.isfinite(kept).sum()),
        "excluded": int(np.isnan(kept).sum()),
        "outliers": int((np.isnan(kept) & np.isfinite(t2)).sum()),
        "thick_excluded": int(np.isnan(reference).sum()),
        "pixel_cv_truth_percent": math.nan if truth is None else _pixel_cv_percent(truth, kept),
    }


def without_outliers(t2_ms: Map, kind: str) -> Map:
    """T2 of a region, NaN where an outlier.

    Args:
        t2_ms: of a region's voxels, NaN where invalid.
        kind: "none" keeps all (the paper's); "mad" leaves out what lies further from the median
            than three times the median absolute deviation, scaled to a normal distribution's SD:
            at a joint's surface, voxels that are partly fluid.

    Raises:
        InputError: another kind.
    """
    if kind not in OUTLIERS:
        raise InputError(f"expected outliers {' or '.join(OUTLIERS)}, got {kind!r}")
    if kind == "none" or np.isnan(t2_ms).all():
        return t2_ms
    away = np.abs(t2_ms - np.nanmedian(t2_ms))
    return np.where(away <= MADS * MAD_OF_NORMAL * np.nanmedian(away), t2_ms, np.nan)


def combining_matrix(thick_slices: int, factor: int, combination: str) -> NDArray[np.float32]:
    """(thick, factor x thick): the weights of the fine slices that make up each thick one.

    Thick slice m lies at fine position factor x m. "covering" weighs a fine slice by how much of
    the thick one it covers: 1/4, 1/2, 1/4 for a factor of 2, renormalised at the ends. "pair" is
    the plain mean of the `factor` slices from factor x m on: centred (factor - 1) / 2 fine slices
    off.

    Raises:
        InputError: another combination.
    """
    if combination not in COMBINATIONS:
        raise InputError(f"expected combination covering or pair, got {combination!r}")
    offset = np.arange(factor * thick_slices) - factor * np.arange(thick_slices)[:, None]
    if combination == "pair":
        weights = ((offset >= 0) & (offset < factor)).astype(np.float32)
    else:
        # Two slices, one of width 1 and one of width `factor`, this far apart overlap so much.
        weights = np.clip((factor + 1) / 2 - np.abs(offset), 0, 1).astype(np.float32)
    return weights / weights.sum(axis=1, keepdims=True)


def _t2(signals: Map, known: Mapping[str, Any], t1_ms: float) -> Map:
    return t2_map(signals[..., 0], signals[..., 1], t1_ms=t1_ms, **known)


def _believed(t2_ms: Map) -> Map:
    return np.where((t2_ms > 0) & (t2_ms <= T2_LIMIT_MS), t2_ms, np.nan)


def _mean(t2_ms: Map, name: str) -> float:
    if np.isnan(t2_ms).all():
        raise InputError(
            f"expected a T2 in (0, {T2_LIMIT_MS:g}] ms somewhere in the region, got none in its "
            f"{t2_ms.size} voxels: {name}"
        )
    return float(np.nanmean(t2_ms, dtype=np.float64))


def _pixel_cv_percent(reference: Map, t2_ms: Map) -> float:
    """The mean over voxels of |difference| / (sqrt 2 x pair mean), in percent."""
    both = np.isfinite(reference) & np.isfinite(t2_ms)
    if not both.any():
        return math.nan
    x, y = reference[both], t2_ms[both]
    return float(np.mean(100 * np.abs(y - x) / (math.sqrt(2) * (x + y) / 2), dtype=np.float64))


def _unrolled(maps: Mapping[str, Map], region: Region, scan: Volume) -> list[Picture]:
    """Each map laid out flat, the front above; none of what is not femoral or does not curve."""
    if not cartilage_layers.is_femoral(region.name):
        return []
    volume = np.full(region.inside.shape, np.nan, np.float32)
    panels = {}
    try:
        radius_mm = cartilage_layers.cylinder(region.inside, scan).radius_mm
        for name, values in maps.items():
            volume[region.inside] = values
            flat, _, across = cartilage_layers.unrolled(volume, region.inside, scan)
            panels[name] = flat[::-1].astype(np.float32)
    except InputError:
        return []
    spacing_mm = math.radians(cartilage_layers.DEGREES) * radius_mm, float(across[1] - across[0])
    return [Picture("unrolled", spacing_mm, panels)]
