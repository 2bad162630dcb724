"""Session hooks of the training loop: progress lines, stopping on SIGTERM, input state."""

import os
import re
import signal
import sys
import threading
import time

import tensorflow.compat.v1 as tf


class ProgressHook(tf.train.SessionRunHook):
    """Prints a line every few seconds: step, loss, steps/s, tokens/s and the time left."""

    def __init__(self, loss, max_steps, tokens_per_step, every_seconds=10.0, print_fn=None):
        self._loss = loss
        self._max_steps = max_steps
        self._tokens = tokens_per_step
        self._every = every_seconds
        self._print = print_fn or (lambda line: print(line, file=sys.stderr, flush=True))

    def begin(self):
        """Fetches the step the session starts from."""
        self._global_step = tf.train.get_global_step()

    def after_create_session(self, session, coord):
        """Starts the clock."""
        self._step = self._first_step = int(session.run(self._global_step))

    def before_run(self, run_context):
        """Asks for the loss of this run."""
        return tf.train.SessionRunArgs(self._loss)

    def after_run(self, run_context, run_values):
        """Prints a line when it is due: the first step, every few seconds, and the last step."""
        self._step += 1
        now = time.monotonic()
        if self._step == self._first_step + 1:
            # The first run also builds kernels; leave it out of the speed.
            self._print(f"step {self._step}  loss {run_values.results:.4f}")
            self._shown_step, self._shown_time = self._step, now
        elif now - self._shown_time >= self._every or self._step == self._max_steps:
            self._show(run_values.results, now)

    def _show(self, loss, now):
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


def _duration(seconds):
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


class StopOnSignalHook(tf.train.SessionRunHook):
    """On SIGTERM, ends training after the current step; the saver then saves as at any end."""

    def __init__(self):
        self.received = False
        self._previous = None

    def begin(self):
        """Takes over SIGTERM, where Python allows it."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, signum, frame):
        self.received = True

    def after_run(self, run_context, run_values):
        """Requests the stop."""
        if self.received:
            run_context.request_stop()

    def restore(self):
        """Gives SIGTERM back to whoever had it."""
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
            self._previous = None


class CheckpointInputPipelineHook(tf.train.SessionRunHook):
    """Saves the position in the training data beside each checkpoint, and restores it.

    `tf.data.experimental.CheckpointInputPipelineHook` in TensorFlow 1. The Estimator hands over
    its iterator with `watch` and calls `save` whenever the model is saved.
    """

    def __init__(self, estimator):
        self._model_dir = estimator.model_dir
        self._saver = None

    def watch(self, iterator):
        """Takes the iterator whose state is to be kept."""
        saveable = tf.data.experimental.make_saveable_from_iterator(iterator)
        self._saver = tf.train.Saver([saveable], max_to_keep=None)

    def after_create_session(self, session, coord):
        """Restores the position that belongs to the restored model."""
        path = self._path(session.run(tf.train.get_global_step()))
        if tf.train.checkpoint_exists(path):
            self._saver.restore(session, path)

    def save(self, session, step):
        """Writes the position reached at `step`, and drops those of deleted checkpoints."""
        self._saver.save(session, self._path(step), write_meta_graph=False, write_state=False)
        # Not by the file `checkpoint`, which does not list all where all are kept.
        steps = {"input": set(), "model": set()}
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

    def __init__(self, hook):
        self._hook = hook

    def after_save(self, session, global_step_value):
        """Called by `CheckpointSaverHook`."""
        self._hook.save(session, global_step_value)
