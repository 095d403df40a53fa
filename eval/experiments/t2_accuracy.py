"""T2 accuracy: T2 of a thick scan after each method upsampled it, compared with the scan's own T2.

As in the paper's second cohort, the signals of the fine slices are combined to thick slices again
before T2 is computed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eval.experiments.config import Combination, Outliers
from eval.methods import upsample
from eval.regions import cartilage_layers
from eval.results import planes
from eval.results.planes import Picture
from eval.results.rows import Row
from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Upsampler
from mrsr_tf.mri.dess import T2_LIMIT_MS, t2_map
from mrsr_tf.viewing.boxes import box_around
from mrsr_tf.volume import Volume

MADS = 3
MAD_OF_NORMAL = 1.4826  # a normal distribution's SD is this multiple of its MAD

Map = NDArray[np.floating]


class Region(NamedTuple):
    """A region of interest.

    Attributes:
        name: as in the rows.
        inside: (rows, cols, slices), voxels of the thick scan.
        t1_ms: of its tissue.
    """

    name: str
    inside: NDArray[np.bool_]
    t1_ms: float = 1200.0


def evaluate(
    thick: Volume,
    upsamplers: Sequence[Upsampler],
    *,
    parameters: Mapping[str, Any],
    regions: Sequence[Region],
    true_t2_ms: Map | None = None,
    combination: str = Combination.COVERING,
    outliers: str = Outliers.NONE,
) -> tuple[list[Row], list[Picture]]:
    """Measures T2 in regions.

    The mean of each map is over its own voxels in (0, 100] ms that are not outliers; the pixel-wise
    CV is over those of them that are valid in the reference, too.

    Args:
        thick: the scan as acquired, two echoes.
        upsamplers: of the same slice factor.
        parameters: arguments of `mrsr_tf.mri.dess.t2_map` besides the echoes and T1.
        regions: the first is shown in the pictures.
        true_t2_ms: (rows, cols, slices); None if it is not known.
        combination: how the signals of fine slices make up a thick one, see `combining_matrix`.
        outliers: voxels of a measured map that are left out, see `without_outliers`.

    Returns:
        A row for each region and method: roi, method, t2_ms, t2_thick_ms, t2_truth_ms (NaN if not
        known), pixel_cv_percent, voxels (used), excluded (the others of the region) and outliers
        among these, thick_excluded (by the map of the thick scan), pixel_cv_truth_percent. And
        pictures: T2 maps of the slice that holds most of the first region; the same unrolled if the
        region is femoral; and a box around that region with the echoes and T2.

    Raises:
        InputError: a method returned another shape, or no voxel of a region has a T2.
    """
    factor = upsamplers[0].factor
    matrix = combining_matrix(thick.array.shape[2], factor, combination)
    views = _Views(thick, regions, parameters, len(upsamplers) + 1)
    reference = views.add("thick", thick.array)
    truth: Sequence[Map | None] = [None for _ in regions]
    if true_t2_ms is not None:
        truth = views.add_truth(true_t2_ms)
    rows: list[Row] = []
    for upsampler in upsamplers:
        fine = upsample(upsampler, thick.array)
        signals = np.einsum("ts,rcse->rcte", matrix, fine, optimize=True)
        measured = views.add(upsampler.name, signals)
        rows += [
            {"roi": region.name, "method": upsampler.name}
            | _compare(t2, own, true, outliers, region.name)
            for region, t2, own, true in zip(regions, measured, reference, truth, strict=True)
        ]
    order = [region.name for region in regions]
    rows.sort(key=lambda row: order.index(row["roi"]))
    return rows, views.pictures()


class _Views:
    """Computes T2 of one image after another, and collects the pictures of the first region."""

    def __init__(
        self,
        thick: Volume,
        regions: Sequence[Region],
        parameters: Mapping[str, Any],
        images: int,
    ) -> None:
        self._thick, self._regions, self._parameters = thick, regions, parameters
        inside = regions[0].inside
        slice_index = int(np.argmax(inside.sum((0, 1))))
        self._plane = planes.upright_plane(thick, planes.SLICE_AXIS, slice_index)
        self._panels: dict[str, NDArray] = {
            "s1": self._plane.cut(thick.array[..., 0]),
            "roi": self._plane.cut(inside),
        }
        centre = tuple(int(np.median(index)) for index in np.nonzero(inside))
        self._box = box_around(thick, centre, images)
        self._image_boxes: dict[str, NDArray[np.uint8]] = {}
        self._t2_boxes: dict[str, NDArray[np.uint8]] = {}
        self._in_region: dict[str, Map] = {}

    def add(self, name: str, signals: Map) -> list[Map]:
        """T2 of the voxels of each region, from signals (rows, cols, slices, 2)."""
        maps = [self._t2(signals[region.inside], region.t1_ms) for region in self._regions]
        self._panels[name] = self._t2(self._plane.cut(signals), self._regions[0].t1_ms)
        self._image_boxes[name] = self._box.images(signals)
        self._keep(name, maps)
        return maps

    def add_truth(self, true_t2_ms: Map) -> list[Map]:
        """The valid T2 of the voxels of each region, from a map (rows, cols, slices)."""
        maps = [_valid(true_t2_ms[region.inside]) for region in self._regions]
        self._panels["truth"] = _valid(self._plane.cut(true_t2_ms))
        self._keep("truth", maps)
        return maps

    def pictures(self) -> list[Picture]:
        return [
            Picture("t2", self._plane.spacing_mm, self._panels),
            *_unrolled(self._in_region, self._regions[0], self._thick),
            *planes.box_pictures(self._box, self._image_boxes, self._t2_boxes),
        ]

    def _keep(self, name: str, maps: Sequence[Map]) -> None:
        self._in_region[name] = maps[0]
        t2_ms = np.full(self._regions[0].inside.shape, np.nan, np.float32)
        for region, values in reversed(list(zip(self._regions, maps, strict=True))):
            t2_ms[region.inside] = values  # where two overlap, the first counts
        self._t2_boxes[name] = self._box.t2(t2_ms)

    def _t2(self, signals: Map, t1_ms: float) -> Map:
        return t2_map(signals[..., 0], signals[..., 1], t1_ms=t1_ms, **self._parameters)


def _compare(t2: Map, thick: Map, truth: Map | None, outliers: str, region: str) -> Row:
    """The numbers of a row, from the maps in one region."""
    measured, reference = without_outliers(t2, outliers), without_outliers(thick, outliers)
    return {
        "t2_ms": _mean(measured, region),
        "t2_thick_ms": _mean(reference, f"{region} of the thick scan"),
        "t2_truth_ms": math.nan if truth is None else _mean(truth, f"the truth of {region}"),
        "pixel_cv_percent": _pixel_cv_percent(reference, measured),
        "voxels": int(np.isfinite(measured).sum()),
        "excluded": int(np.isnan(measured).sum()),
        "outliers": int((np.isnan(measured) & np.isfinite(t2)).sum()),
        "thick_excluded": int(np.isnan(reference).sum()),
        "pixel_cv_truth_percent": math.nan if truth is None else _pixel_cv_percent(truth, measured),
    }


def without_outliers(t2_ms: Map, kind: str) -> Map:
    """T2 of a region with NaN for outliers.

    Args:
        t2_ms: of the voxels of a region, NaN where invalid.
        kind: "none" keeps all voxels, as the paper does; "mad" leaves out those further from the
            median than three times the median absolute deviation, scaled to the SD of a normal
            distribution: at the surface of a joint, voxels that are partly fluid.

    Raises:
        InputError: the kind is unknown.
    """
    if kind not in tuple(Outliers):
        raise InputError(f"expected outliers {' or '.join(Outliers)}, got {kind!r}")
    if kind == Outliers.NONE or np.isnan(t2_ms).all():
        return t2_ms
    distance = np.abs(t2_ms - np.nanmedian(t2_ms))
    return np.where(distance <= MADS * MAD_OF_NORMAL * np.nanmedian(distance), t2_ms, np.nan)


def combining_matrix(thick_slices: int, factor: int, combination: str) -> NDArray[np.float32]:
    """(thick, factor x thick): the weights of the fine slices that make up each thick one.

    Thick slice m lies at fine position factor x m. "covering" weights a fine slice by the part of
    the thick one that it covers: 1/4, 1/2, 1/4 for a factor of 2, renormalised at the ends. "pair"
    is the plain mean of the `factor` slices from factor x m on, whose centre lies (factor - 1) / 2
    fine slices further.

    Raises:
        InputError: the combination is unknown.
    """
    if combination not in tuple(Combination):
        raise InputError(f"expected combination covering or pair, got {combination!r}")
    offset = np.arange(factor * thick_slices) - factor * np.arange(thick_slices)[:, None]
    if combination == Combination.PAIR:
        weights = ((offset >= 0) & (offset < factor)).astype(np.float32)
    else:
        # The overlap of two slices of widths 1 and `factor` at this distance.
        weights = np.clip((factor + 1) / 2 - np.abs(offset), 0, 1).astype(np.float32)
    return weights / weights.sum(axis=1, keepdims=True)


def _valid(t2_ms: Map) -> Map:
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
    valid = np.isfinite(reference) & np.isfinite(t2_ms)
    if not valid.any():
        return math.nan
    x, y = reference[valid], t2_ms[valid]
    return float(np.mean(100 * np.abs(y - x) / (math.sqrt(2) * (x + y) / 2), dtype=np.float64))


def _unrolled(maps: Mapping[str, Map], region: Region, scan: Volume) -> list[Picture]:
    """Each map unrolled, anterior at the top; none if the region is not femoral or not curved."""
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
