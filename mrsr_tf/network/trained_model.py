"""A trained network ready for use, wherever it was stored."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from mrsr_tf.errors import InputError
from mrsr_tf.network import model_card, run_folder, saved_model, weights_file
from mrsr_tf.network.architecture import build_model
from mrsr_tf.network.model_card import ModelCard
from mrsr_tf.network.streaming import SuperResolver


@dataclass(frozen=True)
class TrainedModel:
    """A network ready for use.

    Attributes:
        name: of the folder that it was loaded from.
        resolver: computes fine slices from thick ones with the network's weights.
        card: what the network was trained on and how.
        other: a network for scans of the other number of echoes, if there is one.
    """

    name: str
    resolver: SuperResolver
    card: ModelCard = field(repr=False)
    other: "TrainedModel | None" = field(default=None, repr=False)

    @property
    def slice_factor(self) -> int:
        """Fine slices per thick slice."""
        return self.resolver.slice_factor

    @property
    def first_slice(self) -> float:
        """Position of thick slice 0, in fine slices from slice 0 of the result."""
        return self.resolver.first_slice

    @property
    def echoes(self) -> int:
        """Number of echoes in and out."""
        return self.resolver.echoes

    @property
    def weights_sha256(self) -> str:
        """Digest of the weights, the same before and after export."""
        return model_card.weights_sha256(self.resolver.weights)

    def keras_model(self) -> keras.Model:
        """Returns the network alone, for Keras to train on, to cut or to build upon.

        It begins after the interpolation: its input is that of `interpolate`, divided by the
        `intensity_scale` of it. The output has the same scale.

            thick = mrsr_tf.read("scans/knee").array
            slices = mrsr_tf.interpolate(thick, model.slice_factor, first=model.first_slice)
            scale = mrsr_tf.volume.intensity_scale(slices)
            fine = scale * model.keras_model().predict(slices[None] / scale)[0]

        Returns:
            A functional model, not compiled, from float32 (batch, rows, cols, slices, echoes) to
            the same shape, of patches or whole scans; slices are fine ones. It needs about
            `filters` times the memory of its input, where `resolver` works slab by slab.
        """
        network = build_model(
            self.echoes,
            convolutions=len(self.resolver.kernels),
            filters=self.resolver.kernels[0].shape[-1],
            space_to_depth=self.resolver.space_to_depth,
        )
        network.set_weights(self.resolver.weights)
        return network

    def for_echoes(self, echoes: int) -> "TrainedModel":
        """Returns this network or the other, whichever takes `echoes`; `InputError` if none."""
        for model in (self, self.other):
            if model and model.echoes == echoes:
                return model
        raise InputError(
            f"expected a scan of {self.echoes} echoes, as the network {self.name} was trained "
            f"for, got one of {echoes}"
        )

    def to_float16(self) -> "TrainedModel":
        """Returns the network with weights rounded to float16, as a weights file stores them."""
        now = self.resolver
        weights = [values.astype(np.float16).astype(np.float32) for values in now.weights]
        resolver = SuperResolver(
            weights, now.slice_factor, now.space_to_depth, first_slice=now.first_slice
        )
        return replace(self, resolver=resolver)

    def export(
        self, folder: Path, *, licence: str = model_card.NOT_STATED, results: Iterable[Path] = ()
    ) -> None:
        """Fills an empty folder with a SavedModel that needs no code of this package.

        Args:
            folder: the folder.
            licence: of the weights, for the card.
            results: output folders of `eval.evaluate` to summarize in the card.

        Raises:
            InputError: an evaluation is of another network or cannot be read.
        """
        saved_model.export(self.resolver, self._export_card(licence, results), folder)

    def export_weights(
        self, folder: Path, *, licence: str = model_card.NOT_STATED, results: Iterable[Path] = ()
    ) -> None:
        """Fills a folder with the weights in float16 and the card; arguments as for `export`.

        The network must be one of `to_float16`.
        """
        weights_file.write(self.resolver.weights, self._export_card(licence, results), folder)

    def _export_card(self, licence: str, results: Iterable[Path]) -> ModelCard:
        digest = self.weights_sha256
        return {
            **self.card,
            "slice_factor": self.slice_factor,
            "first_slice": self.first_slice,
            "echoes": self.echoes,
            "space_to_depth": list(self.resolver.space_to_depth),
            "training_spacing_mm": model_card.training_spacing_mm(self.card),
            "licence": licence,
            "weights_sha256": digest,
            "measured": [model_card.summarize_evaluation(path, digest) for path in results],
        }


def load_model(path: str | Path, *, slice_factor: int | None = None) -> TrainedModel:
    """Loads a trained network.

    Args:
        path: folder of a finished run or of an export, or the name of networks that come with the
            package, one of `weights_file.SHIPPED`.
        slice_factor: one of the factors that the network was trained for. None takes the only one;
            of several, 2 or else that of the first records.

    Raises:
        InputError: there is no trained network, it cannot be read, or it was trained for another
            factor.
    """
    if str(path) in weights_file.SHIPPED:
        return _load_shipped(str(path), slice_factor)
    folder = Path(path)
    if (folder / weights_file.WEIGHTS).exists():
        weights, card = weights_file.read(folder)
    elif (folder / saved_model.GRAPH).exists():
        weights, card = saved_model.read(folder)
    else:
        weights, card = run_folder.read(folder)
    _check_weights(weights, card, folder)
    factors, factor = model_card.trained_factors(card), slice_factor or card["slice_factor"]
    if factor not in factors:
        raise InputError(
            f"expected --slice_factor={' or '.join(map(str, factors))}, which the model was "
            f"trained for, got {factor}: {folder}"
        )
    rows, columns, slices = card["space_to_depth"]
    start = model_card.first_slice(card, factor)
    resolver = SuperResolver(weights, factor, (rows, columns, slices), first_slice=start)
    return TrainedModel(folder.name, resolver, card)


def _load_shipped(name: str, slice_factor: int | None) -> TrainedModel:
    """Loads the network for two echoes that comes with the package, and that for one beside it."""
    dual, single = (
        replace(load_model(folder, slice_factor=slice_factor), name=f"{name} {contrasts}")
        for contrasts, folder in weights_file.shipped_folders(name).items()
    )
    return replace(dual, other=single)


def _check_weights(weights: Sequence[NDArray[np.float32]], card: ModelCard, folder: Path) -> None:
    """Raises `InputError` unless the weights are the ones that the card describes."""
    kernels, biases = weights[::2], weights[1::2]
    pairs = list(zip(kernels, biases, strict=False))
    match = all(k.ndim == 5 and b.shape == k.shape[-1:] for k, b in pairs)
    if len(kernels) != len(biases) or not pairs or not match:
        raise InputError(f"expected a kernel and a bias for each convolution: {folder}")
    digest = model_card.weights_sha256(weights)
    if digest != card["weights_sha256"]:
        raise InputError(
            f"expected the weights {card['weights_sha256'][:12]} that {model_card.CARD} names, "
            f"found {digest[:12]}: {folder}"
        )
    channels = kernels[0].shape[3]
    if channels != card["echoes"] * math.prod(card["space_to_depth"]):
        raise InputError(
            f"expected weights for {card['echoes']} echoes and space-to-depth "
            f"{card['space_to_depth']}, found {channels} channels: {folder}"
        )
