"""Image quality against a reference: SSIM, pSNR, MSE, RMSE.

`METRICS` lists what eval.evaluate computes and eval.report shows. Each function takes two finite
images of one shape in the same unit, and `data_range`, the width of the intensity scale in that
unit; anything else is an `InputError`. Evaluations divide the images by the scale of the truth and
clip them to [0, 1], so their range is 1.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mrsr_tf.errors import InputError

WINDOW = 11  # pixels; Wang's Gaussian of sigma 1.5, truncated at 3.5 sigma

Floats = NDArray[np.floating]


def ssim(reference: ArrayLike, image: ArrayLike, *, data_range: float) -> float:
    """Structural similarity (Wang et al. 2004, doi 10.1109/TIP.2003.819861), mean over slices.

    Images are (rows, cols) or (rows, cols, slices), of at least 11 x 11 pixels.

    The window is a Gaussian of sigma 1.5 and 11 x 11 pixels, K1 is 0.01, K2 is 0.03, and
    covariances are those of the population. The 5 pixels along the border, whose windows are
    truncated, are left out, as in scikit-image.
    """
    return float(ssim_map(reference, image, data_range=data_range).mean(dtype=np.float64))


def ssim_map(reference: ArrayLike, image: ArrayLike, *, data_range: float) -> np.ma.MaskedArray:
    """The SSIM of each pixel with the border masked; `ssim` is the mean of this map."""
    # Imported here because commands need only the names in METRICS to print their help.
    from skimage.metrics import structural_similarity

    reference, image = _checked(reference, image, data_range)
    if reference.ndim not in (2, 3) or min(reference.shape[:2]) < WINDOW:
        raise InputError(
            f"expected images (rows, cols) or (rows, cols, slices) of at least {WINDOW} x {WINDOW} "
            f"pixels, got {reference.shape}"
        )
    slices = (np.moveaxis(np.atleast_3d(array), 2, 0) for array in (reference, image))
    _, similarity = structural_similarity(
        *map(np.ascontiguousarray, slices),
        data_range=data_range,
        channel_axis=0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    border, edge = np.ones(similarity.shape, bool), WINDOW // 2
    border[:, edge:-edge, edge:-edge] = False
    masked = np.ma.MaskedArray(similarity, border)
    return np.moveaxis(masked, 0, 2).reshape(reference.shape)


def psnr(reference: ArrayLike, image: ArrayLike, *, data_range: float) -> float:
    """Peak signal-to-noise ratio in dB, -10 log10(`mse`); infinite for equal images."""
    error = mse(reference, image, data_range=data_range)
    return -10 * math.log10(error) if error else math.inf


def rmse(reference: ArrayLike, image: ArrayLike, *, data_range: float) -> float:
    """Root of the mean squared error in units of `data_range`."""
    return math.sqrt(mse(reference, image, data_range=data_range))


def mse(reference: ArrayLike, image: ArrayLike, *, data_range: float) -> float:
    """Mean squared error in units of `data_range` squared, of images of any shape."""
    reference, image = _checked(reference, image, data_range)
    difference = reference - image
    return float(np.mean(np.square(difference, out=difference), dtype=np.float64)) / data_range**2


def _checked(reference: ArrayLike, image: ArrayLike, data_range: float) -> tuple[Floats, Floats]:
    reference, image = np.asarray(reference), np.asarray(image)
    if reference.shape != image.shape or not reference.size:
        raise InputError(
            f"expected two images of one shape, got {reference.shape} and {image.shape}"
        )
    if not 0 < data_range < math.inf:
        raise InputError(f"expected a data range above 0, got {data_range}")
    dtype = np.result_type(reference, image, np.float32)
    for name, array in (("reference", reference), ("image", image)):
        if not np.isfinite(array).all():
            count = np.count_nonzero(~np.isfinite(array))
            raise InputError(f"expected finite intensities, got {count} in the {name} that are not")
    return reference.astype(dtype, copy=False), image.astype(dtype, copy=False)


def _mean_similarity(_: Floats, __: Floats, similarity: np.ma.MaskedArray) -> float:
    return float(similarity.mean())


def _voxelwise(metric: Callable[..., float]) -> Callable[[Floats, Floats, Floats], float]:
    return lambda truth, estimate, _: metric(truth, estimate, data_range=1.0)


@dataclass(frozen=True)
class Metric:
    """A metric that evaluations compute and reports show.

    Attributes:
        label: its name and unit in tables and figures.
        compute: its value in a region, from the voxels there of the truth and the estimate, both in
            [0, 1], and of their SSIM map.
        best: chooses the best of several values.
        decimals: how many are shown, after multiplication by `factor`.
        factor: what a value is multiplied by before it is shown.
    """

    label: str
    compute: Callable[[Floats, Floats, np.ma.MaskedArray], float]
    best: Callable[[Sequence[float]], float]
    decimals: int
    factor: float = 1.0


# By the name of the column in rows.csv, with its unit.
METRICS = {
    "ssim": Metric("SSIM", _mean_similarity, max, decimals=3),
    "psnr_db": Metric("pSNR, dB", _voxelwise(psnr), max, decimals=1),
    "mse": Metric("MSE x 10³", _voxelwise(mse), min, decimals=2, factor=1e3),
    "rmse": Metric("RMSE x 10³", _voxelwise(rmse), min, decimals=1, factor=1e3),
}
