"""Training with Keras' `fit`, from any step of a run to its last."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from primer_tf.data.repeatable_batches import repeatable_batches
from primer_tf.optimizers.averaged_weights import keep_weights_after_fit
from primer_tf.training.callbacks.continue_epoch import ContinueEpoch
from primer_tf.training.callbacks.count_steps import CountSteps
from primer_tf.training.callbacks.stop_at_divergence import Divergence
from primer_tf.training.checkpoints import Checkpoints
from primer_tf.training.restarts import Restarts


class Trainer:
    """Trains a model in epochs of so many steps, with Keras callbacks.

    An epoch ends where evaluations and checkpoints are due. The logs that callbacks receive have
    the `step` of the whole run; see `CountSteps`.

    Args:
        model: A `keras.Model`, which is compiled here.
        optimizer: Its optimizer, which knows the learning rate of each step. Gradients are
            accumulated over as many batches as it says.
        loss: Its loss.
        batches: Function from a number of batches to an iterator of the batches after these.
        checkpoints: The `Checkpoints` to restart from. A callback saves them.
        restarts: The `Restarts` so far.
        max_restarts: How often the run may go on from a checkpoint after `StopAtDivergence` found
            that it had diverged. Defaults to 0.
        report: Called with one line for each restart. Defaults to `print`.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: keras.losses.Loss,
        batches: Callable[[int], Iterator[Any]],
        checkpoints: Checkpoints,
        restarts: Restarts,
        max_restarts: int = 0,
        report: Callable[[str], object] = print,
    ) -> None:
        self.model = model
        self.batches = batches
        self.batches_per_step = optimizer.gradient_accumulation_steps or 1
        self.checkpoints = checkpoints
        self.restarts = restarts
        self.max_restarts = max_restarts
        self.report = report
        model.compile(optimizer=optimizer, loss=loss)
        # With no variable left to create, TensorFlow traces the first step once instead of twice.
        model.optimizer.build(model.trainable_variables)
        keep_weights_after_fit(model.optimizer)

    def fit(
        self,
        steps: int,
        interval: int,
        callbacks: Sequence[keras.callbacks.Callback],
        step: int = 0,
    ) -> None:
        """Trains until a number of steps is done, and the last checkpoint written.

        Args:
            steps: The steps of the whole run.
            interval: The steps of an epoch.
            callbacks: Keras callbacks.
            step: The steps done before. Defaults to 0.

        Raises:
            Divergence: Training has diverged once more than it may restart.
        """
        count = CountSteps(step, self.batches_per_step)
        with self.checkpoints:
            while count.step < steps:
                # A checkpoint that a signal has caused lies inside an epoch.
                resumed = [ContinueEpoch()] if count.step % interval else []
                stretch = min(interval - count.step % interval, steps - count.step)
                try:
                    # KerasHub's `fit` takes no generators.
                    keras.Model.fit(
                        self.model,
                        repeatable_batches(self._batches_from(count.step)),
                        steps_per_epoch=stretch * self.batches_per_step,
                        shuffle=False,
                        callbacks=[count, *resumed, *callbacks],
                        verbose=0,
                    )
                except Divergence as divergence:
                    count.step = self._restart(divergence)

    def _batches_from(self, step: int) -> Callable[[], Iterator[Any]]:
        return lambda: self.restarts.batches(self.batches, step, self.batches_per_step)

    def _restart(self, divergence: Divergence) -> int:
        """Restores the last checkpoint and returns its step, or raises the error again."""
        if len(self.restarts) >= self.max_restarts:
            raise divergence
        self.checkpoints.wait()
        step = self.checkpoints.restore_newest(self.model, self.report)
        if step == 0:
            raise divergence
        self.restarts.add(step, divergence.step, divergence.reason)
        self.report(
            f"Training has diverged: {divergence.reason}. Restart {len(self.restarts)} of "
            f"{self.max_restarts}: from the checkpoint of step {step}, without the data of the "
            f"{divergence.step - step} steps after it."
        )
        return step
