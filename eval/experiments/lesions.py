"""Lesions: which small lesions of cartilage a method preserves, and which it makes up.

Lesions of one size are added to a scan of fine slices; everything else, including the noise, stays
as it is. Both scans are thickened and upsampled. A matched filter looks for the lesions; it does
not know the healthy knee, only the surroundings of each voxel:

    a(x) = sum_e c_e [ sum_v o(v) m_e(x + v) - b_e(x) sum_v o(v) ] / ( sum_e c_e^2  sum_v o(v)^2 )

m is the image, e its echoes, o(v) the fraction of a voxel that a lesion at x occupies, c what it
adds to the signal, and b(x) the mean of the cartilage around it. So a rises by 1 where a lesion
appears in full. A lesion is detected if a exceeds the 95th percentile of a in the healthy scan,
upsampled by the same method: cartilage is not uniform, and even the fine scan misses some lesions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from eval.methods import restore
from eval.results.planes import TRUTH
from eval.results.rows import Row
from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Upsampler
from mrsr_tf.mri.dess import dess_signals
from mrsr_tf.volume import Volume

# (M0, T1 in ms, T2 in ms): cartilage at 3 T after Gold et al. 2004 and Jordan et al. 2013; a
# degenerated focus as in the phantoms.
HEALTHY, DEGENERATED = (0.8, 1240.0, 36.9), (0.9, 1300.0, 60.0)
ACROSS_MM = 2.0  # diameter of each lesion within the slices
SURROUND_MM = 1.4  # margin beyond the ends of a lesion; half as much again beyond its rim
APART_MM = 8.0
FALSE_POSITIVES = 0.05
FALSE_FOCUS = 0.5  # of a lesion's contrast
SUBVOXELS = 9

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Detector:
    """A matched filter for lesions of one size.

    Attributes:
        occupancy: odd (rows, cols, slices), the fraction of each voxel that a lesion occupies.
        surround: likewise, 1 where cartilage around the lesion counts as background.
        contrast: what a lesion adds to each echo.
        cartilage: (rows, cols, slices).
        places: likewise, where a whole lesion fits.
    """

    occupancy: Map
    surround: Map
    contrast: Map
    cartilage: Mask
    places: Mask

    def response(self, image: Map) -> Map:
        """The filter output a(x) for an image (rows, cols, slices, echoes)."""
        cartilage = _spread(self.cartilage, self.surround)
        response = np.zeros(self.cartilage.shape)
        for added, echo in zip(self.contrast, np.moveaxis(image, 3, 0), strict=True):
            background = _spread(echo * self.cartilage, self.surround) / np.maximum(cartilage, 0.5)
            lesions = _spread(echo, self.occupancy) - background * self.occupancy.sum()
            response += added * lesions
        return response / (np.square(self.contrast).sum() * np.square(self.occupancy).sum())

    def lesions_at(self, sites: NDArray[np.integer]) -> Map:
        """(rows, cols, slices, echoes): what lesions at these voxels (n, 3) add to a scan."""
        centres = np.zeros(self.cartilage.shape)
        centres[tuple(sites.T)] = 1
        return _spread(centres, self.occupancy)[..., None] * self.contrast


def _spread(image: Map | Mask, kernel: Map) -> Map:
    """The correlation with a kernel that is its own mirror image."""
    return signal.oaconvolve(image, kernel, mode="same")


def make_detector(scan: Volume, cartilage: Mask, size_mm: float, contrast: Map) -> Detector:
    """A detector of cylinders, `size_mm` long across the slices and 2 mm wide within them.

    Raises:
        InputError: the size is not positive, or no lesion of this size fits into the cartilage.
    """
    if not size_mm > 0:
        raise InputError(f"expected lesions longer than 0 mm, got {size_mm:g}")
    occupancy = _cylinder(ACROSS_MM, size_mm, scan.spacing_mm)
    wide = _cylinder(ACROSS_MM + 1.5 * SURROUND_MM, size_mm + 2 * SURROUND_MM, scan.spacing_mm)
    margins = [
        (outer - inner) // 2 for outer, inner in zip(wide.shape, occupancy.shape, strict=True)
    ]
    occupancy = np.pad(occupancy, [(margin, margin) for margin in margins])
    places = ndimage.binary_erosion(cartilage, occupancy >= 0.5)
    if not places.any():
        raise InputError(f"expected cartilage with room for a lesion of {size_mm:g} mm, got none")
    surround = ((wide > 0) & (occupancy == 0)).astype(float)
    return Detector(occupancy, surround, contrast, cartilage, places)


def _cylinder(across_mm: float, along_mm: float, spacing_mm: Iterable[float]) -> Map:
    """Odd (rows, cols, slices): the fraction of each voxel in a cylinder along the slices."""
    fine = []
    for extent, spacing in zip((across_mm, across_mm, along_mm), spacing_mm, strict=True):
        half = int(np.ceil(extent / 2 / spacing - 0.5))
        count = (2 * half + 1) * SUBVOXELS
        fine.append((np.arange(count) - (count - 1) / 2) / SUBVOXELS * spacing)
    rows, cols, along = np.meshgrid(*fine, indexing="ij", sparse=True)
    inside = (np.hypot(rows, cols) <= across_mm / 2) & (np.abs(along) <= along_mm / 2)
    counts = [length // SUBVOXELS for length in inside.shape]
    split = [n for count in counts for n in (count, SUBVOXELS)]
    return inside.reshape(split).mean(axis=(1, 3, 5))


def contrast(scan: Volume, cartilage: Mask, sequence: Mapping[str, float]) -> Map:
    """What a degenerated focus adds to each echo: the DESS gain times the median of the cartilage.

    Args:
        scan: two echoes.
        cartilage: (rows, cols, slices).
        sequence: arguments of `dess_signals` from `mrsr_tf.mri.t2.sequence`.
    """
    focus, healthy = (
        np.array(dess_signals(m0, t1, t2, **sequence)) for m0, t1, t2 in (DEGENERATED, HEALTHY)
    )
    return (focus / healthy - 1) * np.median(scan.array[cartilage], axis=0)


def sites(places: Mask, spacing_mm: Iterable[float]) -> NDArray[np.integer]:
    """(n, 3): voxels 8 mm or more apart, as many as fit, drawn at random with a fixed seed."""
    candidates = np.random.default_rng(0).permutation(np.argwhere(places))
    chosen = []
    while len(candidates):
        chosen.append(candidates[0])
        distances_mm = np.linalg.norm((candidates - candidates[0]) * spacing_mm, axis=1)
        candidates = candidates[distances_mm >= APART_MM]
    return np.array(chosen)


def evaluate(
    scan: Volume,
    upsamplers: Sequence[Upsampler],
    *,
    sequence: Mapping[str, float],
    cartilage: Mask,
    sizes_mm: Iterable[float],
) -> list[Row]:
    """Adds lesions to a scan and looks for them after each method, and in the scan itself.

    Args:
        scan: fine slices, two echoes.
        upsamplers: the methods.
        sequence: see `contrast`.
        cartilage: (rows, cols, slices), where lesions are added and looked for.
        sizes_mm: lengths of the lesions across the slices.

    Returns:
        A row for each method, "truth" (the fine scan itself) first, and size: method, size_mm,
        lesions (their number), detected, kept (the mean rise of a at their positions), false_foci
        (connected regions where a of the healthy scan exceeds that of the truth by half a lesion or
        more) and searched_cm3 (the volume of all places).

    Raises:
        InputError: no lesion fits, or a method returned another shape or NaN.
    """
    box, added = _box(cartilage), contrast(scan, cartilage, sequence)
    detectors = {size: make_detector(scan, cartilage[box], size, added) for size in sizes_mm}
    centres = {size: sites(each.places, scan.spacing_mm) for size, each in detectors.items()}
    rows: list[Row] = []
    for upsampler in (None, *upsamplers):
        healthy = _restored(upsampler, scan.array)[box]
        for size, detector in detectors.items():
            planted = scan.array.copy()
            planted[box] += detector.lesions_at(centres[size])
            ill = _restored(upsampler, planted)[box]
            responses = map(detector.response, (healthy, ill, healthy - scan.array[box]))
            row = {"method": upsampler.name if upsampler else TRUTH, "size_mm": size}
            row |= _counts(detector, centres[size], *responses)
            searched_mm3 = detector.places.sum() * abs(np.linalg.det(scan.affine))
            rows.append(row | {"searched_cm3": searched_mm3 / 1000})
    return rows


def _box(mask: Mask) -> tuple[slice, ...]:
    """The bounding box of the mask and its neighbours; what lies outside affects no response."""
    grown = ndimage.binary_dilation(mask, np.ones((3, 3, 3)))
    return ndimage.find_objects(grown.astype(np.uint8))[0]


def _restored(upsampler: Upsampler | None, fine: Map) -> Map:
    return restore(upsampler, fine) if upsampler else fine


def _counts(
    detector: Detector, centres: NDArray[np.integer], healthy: Map, ill: Map, made_up: Map
) -> dict[str, float]:
    """Counts of the responses to a healthy scan, to one with lesions, and to the false signal."""
    at_lesions = tuple(centres.T)
    threshold = np.quantile(healthy[detector.places], 1 - FALSE_POSITIVES)
    foci = ndimage.label(detector.places & (made_up >= FALSE_FOCUS), np.ones((3, 3, 3)))[1]
    return {
        "lesions": len(centres),
        "detected": int((ill[at_lesions] > threshold).sum()),
        "kept": float((ill - healthy)[at_lesions].mean()),
        "false_foci": foci,
    }
