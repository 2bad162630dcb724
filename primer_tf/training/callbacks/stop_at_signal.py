"""The end of a training run that a signal asks for."""

import shlex
import signal
from typing import Any

import keras

from primer_tf.training.callbacks.save_presets import SavePresets
from primer_tf.training.checkpoints import Checkpoints
from primer_tf.training.pending_signal import PendingSignal, TrainingInterrupted


class StopAtSignal(keras.callbacks.Callback):
    """Ends training after the step in which a signal came, with a checkpoint and a preset.

    At the end of an epoch the other callbacks have saved both, so it is the last in their list.

    Args:
        pending: The `PendingSignal` to obey.
        checkpoints: The `Checkpoints` of the run.
        presets: The `SavePresets` of the run.
        interval: The steps between two evaluations.
        total_steps: The steps of the whole run.
        step: The number of steps done before. Defaults to 0.

    Raises:
        TrainingInterrupted: There was a signal; the message says how to go on.
    """

    def __init__(
        self,
        pending: PendingSignal,
        checkpoints: Checkpoints,
        presets: SavePresets,
        interval: int,
        total_steps: int,
        step: int = 0,
    ) -> None:
        super().__init__()
        self.pending = pending
        self.checkpoints = checkpoints
        self.presets = presets
        self.interval = interval
        self.total_steps = total_steps
        self.step = step

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Counts a step, and obeys the signal unless an evaluation is due."""
        self.step += 1
        if self.pending.number and self.step % self.interval and self.step < self.total_steps:
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()
            self.checkpoints.save(self.model, self.step)
            self.presets.save(self.step)
            self._stop()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Obeys the signal unless the run is over anyway."""
        if self.pending.number and self.step < self.total_steps:
            self._stop()

    def _stop(self) -> None:
        number = self.pending.number
        assert number is not None
        output = shlex.quote(str(self.presets.output))
        raise TrainingInterrupted(
            f"{signal.Signals(number).name} ended the run after step {self.step} of "
            f"{self.total_steps}; checkpoint and preset are saved. To go on:\n"
            f"primer train --resume --output {output}",
            number,
        )
