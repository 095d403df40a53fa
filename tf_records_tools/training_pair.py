"""The network's input and target, made from a scan of fine slices."""

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.mri.slices import Profile, first_slice, interpolate, thicken
from mrsr_tf.records.contrasts import Contrasts
from mrsr_tf.volume import Volume, intensity_scale

HOT = 16  # scales; tissue is below 2


def training_image(volume: Volume, contrasts: str) -> NDArray[np.float32]:
    """The image to train on: (rows, cols, slices, echoes), one echo for a single contrast.

    The single contrast of a two-echo scan is the root of the sum of its squared echoes. A scanner
    that gives one combined DESS image joins them in the same way.

    Raises:
        InputError: the scan has one echo and the records need two.
    """
    if contrasts == Contrasts.SINGLE and volume.echoes == 2:
        return np.hypot(volume.array[..., :1], volume.array[..., 1:])
    if contrasts == Contrasts.DUAL and volume.echoes == 1:
        raise InputError("expected a scan of two echoes for --contrasts=dual, got one echo")
    return volume.array


def clip_hot_voxels(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """The image without intensities beyond `HOT` times its scale, and how many there were.

    A single one of 1e9 would take all levels of the records, and its neighbours' as well once the
    image is thickened.
    """
    limit = np.float32(HOT * intensity_scale(image))
    hot = int(np.count_nonzero(np.abs(image) > limit))
    return (np.clip(image, -limit, limit), hot) if hot else (image, 0)


def training_pair(
    fine: NDArray[np.float32], slice_factor: int, profile: str = Profile.FIR
) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """The network's input and target, both divided by the intensity scale of the input.

    The input is the image with thick slices, interpolated back to the fine slices.

    Args:
        fine: (rows, cols, slices, echoes), scanner intensities.
        slice_factor: fine slices per thick one; the number of slices need not be a multiple.
        profile: slice profile of the thick slices.

    Returns:
        Input and target of the shape of `fine`, and the scale.

    Raises:
        InputError: the image is empty.
    """
    thick = thicken(fine, slice_factor, profile=profile)
    first = first_slice(profile, slice_factor)
    inputs = interpolate(thick, slice_factor, first=first)[:, :, : fine.shape[2]]
    scale = intensity_scale(inputs)
    return inputs / np.float32(scale), fine / np.float32(scale), scale
