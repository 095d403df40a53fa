"""The ways from a thick scan to a fine one that an evaluation compares, by name."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from eval import baselines
from mrsr_tf.errors import InputError
from mrsr_tf.mri import slices
from mrsr_tf.volume import Volume, intensity_scale

# A thick scan to the (rows, cols, factor x slices, echoes) of a fine one, on its intensity scale.
Method = Callable[[Volume], NDArray[np.floating]]

NETWORK, INPUT, SPARSE = "mrsr", "tci", "scsr"
NAMES = (NETWORK, INPUT, "fi", SPARSE)


def baseline_methods(factor: int) -> dict[str, Method]:
    """The methods that need no training; "tci" is also what the network is given."""
    return {
        INPUT: lambda thick: _echo_by_echo(baselines.tci, thick, factor),
        "fi": lambda thick: _echo_by_echo(baselines.fi, thick, factor),
    }


def sparse_method(dictionary: baselines.ScSR, stride: int) -> Method:
    """ScSR of a learned dictionary, on the scale of the interpolated scan, of both echoes."""
    apply = partial(dictionary.apply, stride=stride)

    def method(thick: Volume) -> NDArray[np.floating]:
        factor = dictionary.factor
        scale = intensity_scale(slices.interpolate(thick.array, factor))
        scaled = replace(thick, array=thick.array / scale)
        return scale * _echo_by_echo(apply, scaled, factor)

    return method


def _echo_by_echo(
    baseline: Callable[[NDArray, int], NDArray], thick: Volume, factor: int
) -> NDArray[np.floating]:
    echoes = [baseline(thick.array[..., echo], factor) for echo in range(thick.echoes)]
    return np.stack(echoes, axis=-1)


def check_names(names: Sequence[str]) -> None:
    """Raises `InputError` unless the names are different ones of `NAMES`."""
    if not names or len(set(names)) < len(names):
        raise InputError(f"expected different methods, got {','.join(names) or 'none'}")
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise InputError(f"expected methods among {', '.join(NAMES)}, got {unknown[0]!r}")


def fine_slices(name: str, method: Method, thick: Volume, factor: int) -> NDArray[np.floating]:
    """What a method makes of a thick scan; `InputError` unless of the fine grid and finite."""
    fine = method(thick)
    rows, cols, count, echoes = thick.array.shape
    expected = (rows, cols, factor * count, echoes)
    if fine.shape != expected:
        raise InputError(f"expected an image {expected} from method {name}, got {fine.shape}")
    if not np.isfinite(fine).all():
        bad = np.count_nonzero(~np.isfinite(fine))
        raise InputError(f"expected finite intensities from method {name}, got {bad} that are not")
    return fine
