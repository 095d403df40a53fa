"""The methods that an evaluation compares: those of `mrsr_tf.infer`, and sparse coding."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from threading import Lock

import numpy as np

from eval.sparse.scsr import ScSR
from mrsr_tf.errors import InputError
from mrsr_tf.inference.upsampling import Image, Method, Upsampler
from mrsr_tf.mri import slices
from mrsr_tf.volume import intensity_scale

NETWORK, INPUT, SPARSE = str(Method.MRSR), str(Method.TCI), "scsr"  # INPUT: what the network gets
METHODS = (*Method, SPARSE)
LOCKS = {NETWORK: Lock()}  # methods that use all cores work on one scan at a time


class SparseCoding(Upsampler):
    """ScSR with a learned dictionary, applied to each echo on the scale of the whole scan."""

    def __init__(self, dictionary: ScSR, stride: int = 1) -> None:
        """Takes the dictionary and the stride of its patches, in voxels."""
        super().__init__(SPARSE, dictionary.factor)
        self.dictionary = dictionary
        self.stride = stride

    def predictions(self, thick: Image) -> Iterator[Image]:
        """See `Upsampler.predictions`."""
        scale = intensity_scale(slices.interpolate(thick, self.factor))
        echoes = [
            self.dictionary.apply(echo, self.factor, stride=self.stride)
            for echo in np.moveaxis(thick / scale, 3, 0)
        ]
        yield scale * np.stack(echoes, axis=-1)


def check_names(names: Sequence[str]) -> None:
    """Raises `InputError` unless the names are different ones of `METHODS`."""
    if not names or len(set(names)) < len(names):
        raise InputError(f"expected different methods, got {','.join(names) or 'none'}")
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise InputError(f"expected methods among {', '.join(METHODS)}, got {unknown[0]!r}")


def restore(upsampler: Upsampler, fine: Image) -> Image:
    """Fine slices (rows, cols, slices, echoes) after they were thickened and upsampled again.

    Slices beyond the last one are cropped. Errors are those of `upsample`.
    """
    thick = slices.thicken(fine, upsampler.factor)
    return upsample(upsampler, thick)[:, :, : fine.shape[2]]


def upsample(upsampler: Upsampler, thick: Image) -> Image:
    """The result of `Upsampler.upsample`, checked.

    Raises:
        InputError: the method returned another shape, or values that are not finite.
    """
    with LOCKS.get(upsampler.name, nullcontext()):
        fine = upsampler.upsample(thick)
    rows, cols, count, echoes = thick.shape
    expected = (rows, cols, upsampler.factor * count, echoes)
    if fine.shape != expected:
        raise InputError(
            f"expected an image {expected} from method {upsampler.name}, got {fine.shape}"
        )
    if not np.isfinite(fine).all():
        invalid = np.count_nonzero(~np.isfinite(fine))
        raise InputError(
            f"expected finite intensities from method {upsampler.name}, got {invalid} that are not"
        )
    return fine
