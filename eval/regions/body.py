"""The part of a knee scan that is leg, and the air beside its skin."""

import nibabel
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from skimage import filters

from mrsr_tf.volume import Volume, intensity_scale

SMOOTHING_MM = 1.0
CLASSES = 3  # air, dark and bright tissue
FAINTEST = 1e-3  # of the intensity scale
POSTERIOR = 1  # the patient axis of LPS
AIR_MM = (1.5, 14.0)  # distance from the skin: beyond its blur, and near enough for its artefacts


def body_mask(scan: Volume) -> NDArray[np.bool_]:
    """A mask (rows, cols, slices) of the leg.

    The threshold is the lower of Otsu's two thresholds for three classes, applied to the logarithm
    of echo 1 after smoothing in plane. Bone and suppressed fat can be as dark as air, but a line
    from front to back crosses the leg in one piece, so the mask is filled between the most anterior
    and the most posterior voxel of each such line. An image with fewer distinct values than classes
    is all body.
    """
    image = scan.array[..., 0] / intensity_scale(scan.array)
    rows_mm, cols_mm, _ = scan.spacing_mm
    sigma = (SMOOTHING_MM / rows_mm, SMOOTHING_MM / cols_mm, 0)
    smooth = np.log(np.maximum(ndimage.gaussian_filter(image, sigma), FAINTEST))
    try:
        bright = smooth > filters.threshold_multiotsu(smooth, CLASSES)[0]
    except ValueError:  # fewer distinct values than classes
        return np.ones(image.shape, bool)
    orientation = nibabel.io_orientation(scan.affine)
    axis = int(np.argmax(orientation[:, 0] == POSTERIOR))
    reached_from_back = np.flip(np.maximum.accumulate(np.flip(bright, axis), axis), axis)
    return np.maximum.accumulate(bright, axis) & reached_from_back


def air_mask(body: NDArray[np.bool_], spacing_mm: ArrayLike) -> NDArray[np.bool_]:
    """A mask (rows, cols, slices) of the air that is `AIR_MM` from the body in its slice.

    Args:
        body: see `body_mask`.
        spacing_mm: of rows, columns and slices.
    """
    in_plane_mm = np.asarray(spacing_mm)[:2]
    nearest, farthest = AIR_MM
    mask = np.zeros_like(body)
    for index in range(body.shape[2]):
        if body[:, :, index].any():
            distance = ndimage.distance_transform_edt(~body[:, :, index], in_plane_mm)
            mask[:, :, index] = (distance >= nearest) & (distance <= farthest)
    return mask
