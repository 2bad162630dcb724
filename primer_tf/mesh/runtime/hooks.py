"""Session hooks of the training loop: progress lines, stopping on SIGTERM, input state."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow.compat.v1 as tf

if TYPE_CHECKING:
    from primer_tf.mesh.runtime.estimator import Estimator


class ProgressHook(tf.train.SessionRunHook):
    """Prints a line every few seconds: step, loss, steps/s, tokens/s and the time left.

    Args:
      loss: The loss, a scalar Tensor.
      max_steps: The last step of the run, or None if it is unknown.
      tokens_per_step: The number of tokens in a batch, or None if it is unknown.
      every_seconds: The number of seconds between two lines, 10 by default.
      print_fn: A function that prints a line, to standard error by default.
    """

    def __init__(
        self,
        loss: tf.Tensor,
        max_steps: int | None,
        tokens_per_step: int | None,
        every_seconds: float = 10.0,
        print_fn: Callable[[str], object] | None = None,
    ) -> None:
        self._loss = loss
        self._max_steps = max_steps
        self._tokens = tokens_per_step
        self._every = every_seconds
        self._print = print_fn or (lambda line: print(line, file=sys.stderr, flush=True))

    def begin(self) -> None:
        """Looks up the global step of the graph."""
        self._global_step = tf.train.get_global_step()

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        """Reads the step at which the session starts."""
        self._step = self._first_step = int(session.run(self._global_step))

    def before_run(self, run_context: tf.train.SessionRunContext) -> tf.train.SessionRunArgs:
        """Adds the loss to the fetches of this run."""
        return tf.train.SessionRunArgs(self._loss)

    def after_run(
        self, run_context: tf.train.SessionRunContext, run_values: tf.train.SessionRunValues
    ) -> None:
        """Prints a line after the first step, every few seconds, and after the last step."""
        self._step += 1
        now = time.monotonic()
        if self._step == self._first_step + 1:
            # The first run also builds kernels, so the speed leaves it out.
            self._print(f"step {self._step}  loss {run_values.results:.4f}")
            self._shown_step, self._shown_time = self._step, now
        elif now - self._shown_time >= self._every or self._step == self._max_steps:
            self._show(run_values.results, now)

    def _show(self, loss: float, now: float) -> None:
        speed = (self._step - self._shown_step) / max(now - self._shown_time, 1e-9)
        line = f"step {self._step}"
        if self._max_steps:
            line += f"/{self._max_steps}"
        line += f"  loss {loss:.4f}  {speed:.3g} steps/s"
        if self._tokens:
            line += f"  {speed * self._tokens:,.0f} tokens/s"
        if self._max_steps and speed > 0:
            line += f"  {_duration((self._max_steps - self._step) / speed)} left"
        self._print(line)
        self._shown_step, self._shown_time = self._step, now


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


class StopOnSignalHook(tf.train.SessionRunHook):
    """Ends training after the current step on SIGTERM; the saver then saves as usual."""

    def __init__(self) -> None:
        self.received = False
        self._previous: Callable[..., object] | int | None = None

    def begin(self) -> None:
        """Handles SIGTERM from now on, if this is the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, signum, frame):
        self.received = True

    def after_run(
        self, run_context: tf.train.SessionRunContext, run_values: tf.train.SessionRunValues
    ) -> None:
        """Requests the stop if SIGTERM has arrived."""
        if self.received:
            run_context.request_stop()

    def restore(self) -> None:
        """Restores the previous handler of SIGTERM."""
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None


class CheckpointInputPipelineHook(tf.train.SessionRunHook):
    """Saves the position in the training data with each checkpoint, and restores it.

    It replaces TensorFlow 1's `tf.data.experimental.CheckpointInputPipelineHook`. The Estimator
    passes its iterator to `watch` and calls `save` whenever it saves the model.
    """

    def __init__(self, estimator: "Estimator") -> None:
        self._model_dir = estimator.model_dir

    def watch(self, iterator: tf.data.Iterator) -> None:
        """Sets the iterator whose state is saved."""
        saveable = tf.data.experimental.make_saveable_from_iterator(iterator)
        self._saver = tf.train.Saver([saveable], max_to_keep=None)

    def after_create_session(self, session: tf.Session, coord: tf.train.Coordinator) -> None:
        """Restores the position saved with the restored model."""
        path = self._path(session.run(tf.train.get_global_step()))
        if tf.train.checkpoint_exists(path):
            self._saver.restore(session, path)

    def save(self, session: tf.Session, step: int) -> None:
        """Saves the position reached at `step`, and deletes those of deleted checkpoints."""
        self._saver.save(session, self._path(step), write_meta_graph=False, write_state=False)
        # The file `checkpoint` is no help here: it is incomplete if all checkpoints are kept.
        steps: dict[str, set[int]] = {"input": set(), "model": set()}
        names = tf.io.gfile.listdir(self._model_dir)
        for name in names:
            if found := re.fullmatch(r"(input|model)\.ckpt-(\d+)\.index", name):
                steps[found[1]].add(int(found[2]))
        for gone in steps["input"] - steps["model"] - {step}:
            for name in names:
                if name.startswith(f"input.ckpt-{gone}."):
                    tf.io.gfile.remove(os.path.join(self._model_dir, name))

    def _path(self, step):
        return os.path.join(self._model_dir, f"input.ckpt-{step}")


class SaveWith(tf.train.CheckpointSaverListener):
    """Saves the input position each time the model is saved."""

    def __init__(self, hook: CheckpointInputPipelineHook) -> None:
        self._hook = hook

    def after_save(self, session: tf.Session, global_step_value: int) -> None:
        """Called by `CheckpointSaverHook`."""
        self._hook.save(session, global_step_value)
