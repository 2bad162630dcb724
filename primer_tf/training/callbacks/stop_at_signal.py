"""The end of a training run that a signal asks for."""

import shlex
import signal
from typing import Any

import keras

from primer_tf.distribution.hosts import ALONE, Hosts
from primer_tf.training.callbacks.save_presets import SavePresets
from primer_tf.training.checkpoints import Checkpoints
from primer_tf.training.pending_signal import PendingSignal, TrainingInterrupted


class StopAtSignal(keras.callbacks.Callback):
    """Ends training after the step in which a signal came, with a checkpoint and a preset.

    At the end of an epoch the other callbacks have saved both, so it comes after them in the list.

    Args:
        pending: The `PendingSignal` to obey.
        checkpoints: The `Checkpoints` of the run.
        presets: The `SavePresets` of the run.
        interval: The steps between two evaluations.
        total_steps: The steps of the whole run.
        hosts: The `Hosts` of the run, which stop at the same step. By default there is one.

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
        hosts: Hosts = ALONE,
    ) -> None:
        super().__init__()
        self.pending = pending
        self.checkpoints = checkpoints
        self.presets = presets
        self.interval = interval
        self.total_steps = total_steps
        self.hosts = hosts

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        """Obeys the signal after a step, unless an evaluation is due."""
        if "step" not in logs or logs["step"] % self.interval == 0:
            return
        step, number = logs["step"], self._agreed_signal(logs["step"])
        if number:
            if keras.backend.backend() == "jax":
                self.model.jax_state_sync()
            self.presets.save(step)
            self.checkpoints.save(self.model, step)
            self._stop(step, number)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        """Obeys the signal unless the run is over anyway."""
        number = self._agreed_signal(logs["step"])
        if number:
            self._stop(logs["step"], number)

    def _agreed_signal(self, step: int) -> int | None:
        number = self.hosts.agree_to_stop(step, self.pending.number)
        return number if step < self.total_steps else None

    def _stop(self, step: int, number: int) -> None:
        self.checkpoints.wait()
        output = shlex.quote(str(self.presets.output))
        raise TrainingInterrupted(
            f"{signal.Signals(number).name} ended the run after step {step} of "
            f"{self.total_steps}; checkpoint and preset are saved. To go on:\n"
            f"primer train --resume --output {output}",
            number,
        )
