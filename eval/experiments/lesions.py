"""Cohort lesions: which small lesions of cartilage a method keeps, and which it makes up.

Into a scan of fine slices lesions of one size are put, everything else, noise too, staying as it
is. Both scans are thickened and brought back. What looks for the lesions is a matched filter that
does not know the healthy knee, only what lies around each place:

    a(x) = sum_e c_e [ sum_v o(v) m_e(x + v) - b_e(x) sum_v o(v) ] / ( sum_e c_e^2  sum_v o(v)^2 )

m is the image, e its echoes, o(v) the part of a voxel that a lesion at x takes up, c what it adds
to the signal, and b(x) the mean of the cartilage around it. So a rises by 1 where a lesion appears
in full. It is found where a exceeds what 95 % of the places of the healthy scan, brought back by
the same method, have: cartilage is not uniform, and the fine scan itself misses some.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from eval.methods import Method, fine_slices
from eval.results.planes import TRUTH
from eval.results.rows import Row
from mrsr_tf.errors import InputError
from mrsr_tf.mri import slices
from mrsr_tf.mri.dess import dess_signals
from mrsr_tf.volume import Volume

# (M0, T1 in ms, T2 in ms): Gold et al. 2004 and Jordan et al. 2013 of cartilage at 3 T; a
# degenerated focus as in the phantoms.
HEALTHY, DEGENERATED = (0.8, 1240.0, 36.9), (0.9, 1300.0, 60.0)
SIZES_MM = (0.7, 1.0, 1.4, 2.0, 3.0, 4.0)
ACROSS_MM = 2.0  # of each lesion, within the slices
SURROUND_MM = 1.4  # how far beyond a lesion's ends, and half as far again beyond its rim
APART_MM = 8.0
FALSE_POSITIVES = 0.05
FALSE_FOCUS = 0.5  # of a lesion's contrast
SUBVOXELS = 9

Map = NDArray[np.floating]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Detector:
    """Looks for lesions of one size.

    Attributes:
        occupancy: odd (rows, cols, slices): the part of each voxel that a lesion takes up.
        surround: likewise: 1 where the cartilage around it is taken for background.
        contrast: what a lesion adds, one number per echo.
        cartilage: (rows, cols, slices).
        places: likewise: where a whole lesion has room.
    """

    occupancy: Map
    surround: Map
    contrast: Map
    cartilage: Mask
    places: Mask

    def response(self, image: Map) -> Map:
        """The a(x) at the head of this file, of an image (rows, cols, slices, echoes)."""
        about = _spread(self.cartilage, self.surround)
        response = np.zeros(self.cartilage.shape)
        for added, echo in zip(self.contrast, np.moveaxis(image, 3, 0), strict=True):
            background = _spread(echo * self.cartilage, self.surround) / np.maximum(about, 0.5)
            seen = _spread(echo, self.occupancy) - background * self.occupancy.sum()
            response += added * seen
        return response / (np.square(self.contrast).sum() * np.square(self.occupancy).sum())

    def lesions_at(self, sites: NDArray[np.integer]) -> Map:
        """(rows, cols, slices, echoes): what lesions at these voxels (n, 3) add to a scan."""
        marked = np.zeros(self.cartilage.shape)
        marked[tuple(sites.T)] = 1
        return _spread(marked, self.occupancy)[..., None] * self.contrast


def _spread(image: Map | Mask, kernel: Map) -> Map:
    """The correlation with a kernel that is its own mirror image."""
    return signal.oaconvolve(image, kernel, mode="same")


def detector(scan: Volume, cartilage: Mask, size_mm: float, contrast: Map) -> Detector:
    """Of lesions `size_mm` long across the slices and 2 mm wide within them: cylinders.

    Raises:
        InputError: a size that is not positive, or cartilage without room for one lesion.
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
    """Odd (rows, cols, slices): the part of each voxel within a cylinder along the slices."""
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


def contrast(scan: Volume, cartilage: Mask, known: Mapping[str, float]) -> Map:
    """What a degenerated focus adds to each echo: the DESS equations' gain times the median there.

    Args:
        scan: two echoes.
        cartilage: (rows, cols, slices).
        known: what `dess_signals` needs beside the tissue, as `eval.t2_noise.sequence` gives it.
    """
    focus, healthy = (
        np.array(dess_signals(m0, t1, t2, **known)) for m0, t1, t2 in (DEGENERATED, HEALTHY)
    )
    return (focus / healthy - 1) * np.median(scan.array[cartilage], axis=0)


def sites(places: Mask, spacing_mm: Iterable[float]) -> NDArray[np.integer]:
    """(n, 3): as many places as fit 8 mm apart, drawn at random, the same each time."""
    left = np.random.default_rng(0).permutation(np.argwhere(places))
    chosen = []
    while len(left):
        chosen.append(left[0])
        left = left[np.linalg.norm((left - left[0]) * spacing_mm, axis=1) >= APART_MM]
    return np.array(chosen)


def evaluate(
    scan: Volume,
    methods: Mapping[str, Method],
    factor: int,
    *,
    known: Mapping[str, float],
    cartilage: Mask,
    sizes_mm: Iterable[float] = SIZES_MM,
) -> list[Row]:
    """Puts lesions into a scan and looks for them after each method, and in the scan itself.

    Args:
        scan: of fine slices, two echoes.
        methods: by name.
        factor: fine slices per thick one.
        known: see `contrast`.
        cartilage: (rows, cols, slices), where lesions are put and looked for.
        sizes_mm: how long lesions are across the slices.

    Returns:
        A row per method, "truth" (the fine scan itself) first, and size: method, size_mm, lesions
        (how many), detected, kept (how much a at their places rises by them, the mean), false_foci
        (connected places where a of the healthy scan exceeds the truth's by half a lesion or more)
        and searched_cm3 (of all places).

    Raises:
        InputError: no room for a lesion, or a method that gives other slices or NaN.
    """
    box, added = _box(cartilage), contrast(scan, cartilage, known)
    detectors = {size: detector(scan, cartilage[box], size, added) for size in sizes_mm}
    at = {size: sites(of.places, scan.spacing_mm) for size, of in detectors.items()}
    rows: list[Row] = []
    for name in (TRUTH, *methods):
        healthy = _brought_back(scan, name, methods, factor)[box]
        for size, of in detectors.items():
            planted = scan.array.copy()
            planted[box] += of.lesions_at(at[size])
            ill = _brought_back(replace(scan, array=planted), name, methods, factor)[box]
            responses = map(of.response, (healthy, ill, healthy - scan.array[box]))
            volume = of.places.sum() * abs(np.linalg.det(scan.affine)) / 1000
            found = _found(of, at[size], *responses)
            rows.append({"method": name, "size_mm": size, **found, "searched_cm3": volume})
    return rows


def _box(mask: Mask) -> tuple[slice, ...]:
    """What holds the mask and its neighbours: what lies beyond plays no part in a response."""
    grown = ndimage.binary_dilation(mask, np.ones((3, 3, 3)))
    return ndimage.find_objects(grown.astype(np.uint8))[0]


def _brought_back(scan: Volume, name: str, methods: Mapping[str, Method], factor: int) -> Map:
    """A fine scan after it was thickened and brought back; of the truth, the scan as it is."""
    if name == TRUTH:
        return scan.array
    thick = scan.resliced(slices.thicken(scan.array, factor), 1 / factor)
    return fine_slices(name, methods[name], thick, factor)[:, :, : scan.array.shape[2]]


def _found(
    of: Detector, at: NDArray[np.integer], healthy: Map, ill: Map, made_up: Map
) -> dict[str, float]:
    """Of the responses to a healthy scan, to the same with lesions, and to what is not true."""
    there = tuple(at.T)
    threshold = np.quantile(healthy[of.places], 1 - FALSE_POSITIVES)
    foci = ndimage.label(of.places & (made_up >= FALSE_FOCUS), np.ones((3, 3, 3)))[1]
    return {
        "lesions": len(at),
        "detected": int((ill[there] > threshold).sum()),
        "kept": float((ill - healthy)[there].mean()),
        "false_foci": foci,
    }
