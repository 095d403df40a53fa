"""What a training leaves on disk as it goes: the last checkpoint, and the best epoch's weights."""

from pathlib import Path

import keras
import numpy as np

from mrsr_tf.errors import InputError
from mrsr_tf.network import run_folder
from mrsr_tf.training.monitor import Watch
from mrsr_tf.training.step import steps_taken

# What each choice of the best epoch looks at, and whether more of it is better.
BEST_BY = {"loss": ("loss", -1), "psnr": ("psnr", 1), "ssim": ("ssim", 1), "t2": ("t2_error", -1)}


class Keep(keras.callbacks.Callback):
    """Keeps the last checkpoint and the best epoch's weights, and stops where nothing is good."""

    def __init__(
        self, run_dir: Path | None, every: int, epoch: int, best_by: str, watch: Watch
    ) -> None:
        """Readies it.

        Args:
            run_dir: the run's folder; None keeps nothing, as workers other than the chief do.
            every: checkpoint every so many steps.
            epoch: steps per epoch. The last one is left to `save`, once the epoch is measured.
            best_by: of `BEST_BY`.
            watch: whose logs must be on disk before a checkpoint is.
        """
        super().__init__()
        self._run_dir, self._every, self._epoch = run_dir, every, epoch
        self._best_by, self._watch = best_by, watch

    def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
        """Saves a checkpoint where it is time.

        Raises:
            InputError: the loss is not finite.
        """
        step = steps_taken(self.model)
        if not np.isfinite(logs["loss"]):
            raise self._diverged(f"loss, got {logs['loss']}")
        if step % self._every == 0 and step % self._epoch:
            self.save()

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Keeps the epoch if it is the best so far by what `logs` says of its quality."""
        if self._run_dir is None:
            return
        name, sign = BEST_BY[self._best_by]
        value = float(np.mean([value for key, value in logs.items() if key.startswith(name)]))
        best = run_folder.read_best_epoch(self._run_dir / run_folder.BEST)
        if best is None or sign * value > sign * best["value"]:
            facts = {"best_by": self._best_by, "value": value, "epoch": epoch + 1}
            run_folder.save_best(self.model, self._run_dir, facts)

    def save(self) -> None:
        """Saves a checkpoint.

        Raises:
            InputError: a weight is not finite; the last checkpoint stays.
        """
        if self._run_dir is None:
            return
        if not all(np.isfinite(values).all() for values in self.model.get_weights()):
            raise self._diverged("weights, got some that are not")
        self._watch.flush()
        run_folder.save_checkpoint(self.model, self._run_dir)

    def _diverged(self, what: str) -> InputError:
        return InputError(
            f"expected a finite {what} at step {steps_taken(self.model)}; the last good checkpoint "
            f"stays in the run folder: lower the learning rate"
        )
