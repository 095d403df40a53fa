"""Saving during training: the last checkpoint and the best epoch."""

from pathlib import Path
from typing import TypedDict

import keras
import numpy as np

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.records.typed_json import misfits
from mrsr_tf.training.config import BestBy
from mrsr_tf.training.step import steps_taken
from mrsr_tf.training.validation import HIGHER_IS_BETTER, Quality


class BestEpoch(TypedDict):
    """What best.json says of the kept epoch: its number, and the value of which measure."""

    best_by: str
    value: float
    epoch: int


class CheckpointSaver:
    """Saves checkpoints and the best epoch, and stops a training that diverges."""

    def __init__(
        self, model: keras.Model, run_dir: Path | None, checkpoint_steps: int, best_by: BestBy
    ) -> None:
        """Prepares saving to `run_dir`; None saves nothing, for workers other than the chief."""
        self._model, self._run_dir = model, run_dir
        self._checkpoint_steps, self._best_by = checkpoint_steps, best_by

    def is_due(self, loss: float) -> bool:
        """Returns whether a checkpoint is due after a step.

        Raises:
            InputError: the loss of the step is not finite.
        """
        if not np.isfinite(loss):
            raise self._diverged(f"loss, got {loss}")
        return steps_taken(self._model) % self._checkpoint_steps == 0

    def save_checkpoint(self) -> None:
        """Saves network and optimizer.

        Raises:
            InputError: a weight is not finite; the last checkpoint stays as it was.
        """
        if self._run_dir is None:
            return
        if not all(np.isfinite(values).all() for values in self._model.get_weights()):
            raise self._diverged("weights, got some that are not")
        run_folder.save_checkpoint(self._model, self._run_dir)

    def save_if_best(self, epoch: int, quality: Quality) -> None:
        """Saves the current weights if their quality is finite and none was better before.

        Args:
            epoch: number of epochs that led to the weights; 0 for those that training starts from.
            quality: their quality.
        """
        if self._run_dir is None:
            return
        prefix = "t2_error" if self._best_by == BestBy.T2 else self._best_by
        scores = [score for name, score in quality.scores.items() if name.startswith(prefix)]
        value, sign = float(np.mean(scores)), 1 if prefix in HIGHER_IS_BETTER else -1
        if not np.isfinite(value):
            return
        best = run_folder.read_best_epoch(self._run_dir / run_folder.BEST)
        if best is not None and misfits(best, BestEpoch):
            path = self._run_dir / run_folder.BEST / run_folder.BEST_EPOCH
            raise InputError(f"expected the epoch and value of the best, found others: {path}")
        if best is None or sign * value > sign * best["value"]:
            best_epoch: BestEpoch = {"best_by": self._best_by, "value": value, "epoch": epoch}
            run_folder.save_best(self._model, self._run_dir, best_epoch)

    def _diverged(self, what: str) -> InputError:
        return InputError(
            f"expected a finite {what} at step {steps_taken(self._model)}; the last good "
            "checkpoint stays in the run folder: lower the learning rate"
        )
