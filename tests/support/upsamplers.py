"""Upsamplers for tests that need no network."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mrsr_tf.inference.upsampling import Upsampler

Image = NDArray[np.floating]


class FunctionUpsampler(Upsampler):
    """Calls a function of the thick image; by default it takes the place of the network."""

    def __init__(
        self, function: Callable[[Image], Image], name: str = "mrsr", factor: int = 2, **options
    ) -> None:
        super().__init__(name, factor, **options)
        self.function = function

    def predictions(self, thick: Image) -> Iterator[Image]:
        yield self.function(thick)
