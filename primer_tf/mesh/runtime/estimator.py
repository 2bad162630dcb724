"""A single-process Estimator over TensorFlow 1 sessions.

It has the methods of `tf.estimator.tpu.TPUEstimator` that Mesh TensorFlow and T5 use: `train`,
`evaluate`, `predict`, `export_saved_model` and a few look-ups. The model function brings its own
`Saver` and `CheckpointSaverHook` to save during training.
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from primer_tf.errors import UserError
from primer_tf.literal_paths import as_named, check_loadable
from primer_tf.mesh.runtime import checkpoints, devices, hooks, restoring
from primer_tf.mesh.runtime.specs import (
    EstimatorSpec,
    ModeKeys,
    RunConfig,
    ServingInputReceiver,
)

# Called with `params`, an input function returns the batches.
InputFn = Callable[[dict[str, Any]], tf.data.Dataset]
Hooks = Sequence[tf.train.SessionRunHook]


class Estimator:
    """Runs a model function in one process, on the CPUs and GPUs of this machine.

    Args:
      model_fn: A function called as `model_fn(features, labels, mode=, params=, config=)` that
        returns an `EstimatorSpec`.
      model_dir: The folder of the checkpoints, `config.model_dir` by default.
      config: A `RunConfig`, by default one with default values.
      params: A dictionary that is passed to the model function and the input functions.
      use_tpu: Must be false.
      **batch_sizes: Arguments of TPUEstimator such as `train_batch_size`. They are ignored, because
        the input functions batch the data.

    Raises:
      UserError: If `use_tpu` is true.
    """

    def __init__(
        self,
        model_fn: Callable[..., EstimatorSpec],
        model_dir: str | None = None,
        config: RunConfig | None = None,
        params: Mapping[str, Any] | None = None,
        use_tpu: bool = False,
        **batch_sizes: int | None,
    ) -> None:
        if use_tpu:
            raise UserError(
                f"There is no TPU support on TensorFlow {tf.VERSION}: leave out --tpu and use "
                "hardware/cpu.gin or hardware/gpu.gin, or run on a TPU host with TensorFlow 2.11."
            )
        self._model_fn = model_fn
        self.config = config or RunConfig()
        self.model_dir = model_dir or self.config.model_dir
        self.params = dict(params or {})

    def latest_checkpoint(self) -> str | None:
        """Returns the newest checkpoint's path, or None if there is no checkpoint."""
        return checkpoints.latest(self.model_dir)

    def get_variable_value(self, name: str) -> np.ndarray:
        """Returns the value of a variable in the newest checkpoint."""
        return checkpoints.read(checkpoints.required(self.model_dir), name)

    def get_variable_names(self) -> list[str]:
        """Returns the names of the variables in the newest checkpoint."""
        path = checkpoints.required(self.model_dir)
        return [name for name, _ in tf.train.list_variables(path)]

    def train(
        self,
        input_fn: InputFn,
        hooks: Hooks | None = None,
        steps: int | None = None,
        max_steps: int | None = None,
    ) -> "Estimator":
        """Trains, starting from the newest checkpoint if there is one.

        Args:
          input_fn: A function from `params` to a `tf.data.Dataset`.
          hooks: Additional session hooks.
          steps: The number of steps to add to the global step.
          max_steps: The global step to stop at. If it is already reached, nothing happens.
        """
        start = self.latest_checkpoint()
        if start and max_steps is not None:
            step = int(checkpoints.read(start, "global_step"))
            if step >= max_steps:
                _tell(f"{self.model_dir} is at step {step} of {max_steps}; nothing to train.")
                return self
        with self._graph():
            features, iterator = self._features(input_fn)
            tokens = _tokens(features)
            spec = self._call_model_fn(features, ModeKeys.TRAIN)
            scaffold = spec.scaffold_fn() if spec.scaffold_fn else tf.train.Scaffold()
            if start:
                scaffold = restoring.scaffold_to_restore(start, scaffold)
                _tell(f"continuing from {start}")
            self._train_loop(spec, scaffold, iterator, tokens, hooks or [], steps, max_steps)
        return self

    def _train_loop(self, spec, scaffold, iterator, tokens, user_hooks, steps, max_steps):
        model_hooks = [*spec.training_hooks, *spec.training_chief_hooks]
        for hook in user_hooks:
            if isinstance(hook, hooks.CheckpointInputPipelineHook):
                hook.watch(iterator)
                _listen_to_saving(model_hooks, hooks.SaveWith(hook))
        # T5 prints the loss of every step with a Print operation; the progress lines replace it.
        loss = spec.loss.op.inputs[0] if spec.loss.op.type == "Print" else spec.loss
        stopper = hooks.StopOnSignalHook()
        all_hooks = [
            *user_hooks,
            *model_hooks,
            stopper,
            tf.train.NanTensorHook(loss),
            tf.train.StopAtStepHook(num_steps=steps, last_step=max_steps),
            hooks.ProgressHook(loss, max_steps, tokens),
            _summaries(self.model_dir, scaffold),
        ]
        session_creator = tf.train.ChiefSessionCreator(
            scaffold,
            config=devices.session_config(tf.get_default_graph(), self.config.session_config),
            checkpoint_dir=self.model_dir,
        )
        try:
            with tf.train.MonitoredSession(session_creator, all_hooks) as session:
                while not session.should_stop():
                    session.run(spec.train_op)
        except tf.train.NanLossDuringTrainingError:
            raise UserError(
                "The loss is not a number any more; lower the learning rate or lengthen the "
                "warm-up, and continue from an earlier checkpoint."
            ) from None
        finally:
            stopper.restore()
        if stopper.received:
            _tell("stopped by SIGTERM after saving a checkpoint")

    def evaluate(
        self,
        input_fn: InputFn,
        steps: int | None = None,
        hooks: Hooks | None = None,
        checkpoint_path: str | None = None,
        name: str | None = None,
    ) -> dict[str, Any]:
        """Evaluates one checkpoint, writes a summary to `model_dir/eval_<name>` and prints it.

        Args:
          input_fn: A function from `params` to a `tf.data.Dataset`.
          steps: The largest number of batches, or None for all of them.
          hooks: Additional session hooks.
          checkpoint_path: The path of the checkpoint, or None for the newest.
          name: The name of the evaluation.

        Returns:
          A dictionary of metric values, including `loss` and `global_step`.

        Raises:
          UserError: If there is no checkpoint or no data.
        """
        path = checkpoint_path or checkpoints.required(self.model_dir)
        with self._graph() as graph:
            features, _ = self._features(input_fn)
            spec = self._call_model_fn(features, ModeKeys.EVAL)
            function, arguments = spec.eval_metrics
            metrics = dict(function(*arguments), loss=tf.metrics.mean(spec.loss))
            update = tf.group(*(update for _, update in metrics.values()))
            values = {key: value for key, (value, _) in metrics.items()}
            batches = 0
            with self._session(graph, spec, path, [*(hooks or []), *spec.evaluation_hooks]) as run:
                with contextlib.suppress(tf.errors.OutOfRangeError):
                    while steps is None or batches < steps:
                        run(update)
                        batches += 1
                if not batches:
                    raise UserError(
                        "The evaluation data is empty: it has not a single batch; check the task "
                        "and split."
                    )
                result = run(values)
                result["global_step"] = int(run(tf.train.get_global_step(graph)))
        self._report(result, name)
        return result

    def predict(
        self, input_fn: InputFn, checkpoint_path: str | None = None, hooks: Hooks | None = None
    ) -> Iterator[dict[str, Any]]:
        """Yields a dictionary of NumPy values for each example.

        Args:
          input_fn: A function from `params` to a `tf.data.Dataset`.
          checkpoint_path: The path of the checkpoint, or None for the newest.
          hooks: Additional session hooks.
        """
        path = checkpoint_path or checkpoints.required(self.model_dir)
        with self._graph() as graph:
            features, _ = self._features(input_fn)
            spec = self._call_model_fn(features, ModeKeys.PREDICT)
            with (
                self._session(graph, spec, path, [*(hooks or []), *spec.prediction_hooks]) as run,
                contextlib.suppress(tf.errors.OutOfRangeError),
            ):
                while True:
                    batch = run(spec.predictions)
                    for row in range(len(next(iter(batch.values())))):
                        yield {key: value[row] for key, value in batch.items()}

    def export_saved_model(
        self,
        export_dir_base: str,
        serving_input_receiver_fn: Callable[[], ServingInputReceiver],
        checkpoint_path: str | None = None,
    ) -> str:
        """Writes a SavedModel to a new subfolder of `export_dir_base`, named after the time.

        Args:
          export_dir_base: The parent folder, which is created if it is missing.
          serving_input_receiver_fn: A function that returns a `ServingInputReceiver`.
          checkpoint_path: The path of the checkpoint, or None for the newest.

        Returns:
          The folder's path.

        Raises:
          UserError: If TensorFlow could not load a SavedModel from this path.
        """
        check_loadable(export_dir_base)
        path = checkpoint_path or checkpoints.required(self.model_dir)
        version = int(time.time())
        while os.path.exists(os.path.join(export_dir_base, str(version))):
            version += 1
        final = os.path.join(export_dir_base, str(version))
        # Written to a temporary folder and renamed, so that a server never sees half of it.
        partial = os.path.join(export_dir_base, f"temp-{version}")
        with self._graph() as graph:
            receiver = serving_input_receiver_fn()
            spec = self._call_model_fn(receiver.features, ModeKeys.PREDICT)
            scaffold = spec.scaffold_fn() if spec.scaffold_fn else tf.train.Scaffold()
            signature = tf.saved_model.predict_signature_def(
                inputs=receiver.receiver_tensors, outputs=spec.predictions
            )
            saver = tf.train.Saver(tf.global_variables(), sharded=True)
            local_init = scaffold.local_init_op
            config = devices.session_config(graph, self.config.session_config)
            with tf.Session(config=config) as session:
                restoring.saver_to_restore(path, saver).restore(session, path)
                builder = tf.saved_model.Builder(partial)
                builder.add_meta_graph_and_variables(
                    session,
                    [tf.saved_model.tag_constants.SERVING],
                    signature_def_map={"serving_default": signature},
                    main_op=local_init,
                    saver=saver,
                    # A server may have other devices than the mesh.
                    clear_devices=True,
                )
                builder.save()
        tf.io.gfile.rename(partial, final)
        _tell(f"exported {path} to {final}")
        return final

    @contextlib.contextmanager
    def _graph(self):
        with tf.Graph().as_default() as graph:
            # The gradients of one layer may read a reference variable after another layer's
            # update has changed it. Resource variables keep the value that was read first.
            tf.get_variable_scope().set_use_resource(True)
            tf.set_random_seed(self.config.tf_random_seed)
            tf.train.create_global_step(graph)
            yield graph

    def _features(self, input_fn):
        """Returns the next batch of the input, and the iterator behind it."""
        iterator = tf.data.make_initializable_iterator(input_fn(self.params))
        tf.add_to_collection(tf.GraphKeys.TABLE_INITIALIZERS, iterator.initializer)
        return iterator.get_next(), iterator

    def _call_model_fn(self, features, mode):
        return self._model_fn(features, None, mode=mode, params=self.params, config=self.config)

    @contextlib.contextmanager
    def _session(self, graph, spec, path, session_hooks):
        """Yields a function that runs fetches on the restored model, without side effects."""
        creator = tf.train.ChiefSessionCreator(
            restoring.scaffold_to_restore(path, spec.scaffold_fn and spec.scaffold_fn()),
            config=devices.session_config(graph, self.config.session_config),
            checkpoint_filename_with_path=path,
        )
        with tf.train.MonitoredSession(creator, session_hooks) as session:
            yield lambda fetches: session.run_step_fn(
                lambda step_context: step_context.session.run(fetches)
            )

    def _report(self, result, name):
        directory = os.path.join(self.model_dir, f"eval_{name}" if name else "eval")
        with contextlib.closing(tf.summary.FileWriter(directory)) as writer:
            values = [
                tf.Summary.Value(tag=tag, simple_value=float(value))
                for tag, value in sorted(result.items())
                if tag != "global_step"
            ]
            writer.add_summary(tf.Summary(value=values), result["global_step"])
        line = f"evaluated {name or self.model_dir} at step {result['global_step']}: "
        if "neg_log_perplexity" in result:
            line += f"perplexity {np.exp(-result['neg_log_perplexity']):.3f}, "
        _tell(line + ", ".join(f"{k} {v:.6g}" for k, v in result.items() if k != "global_step"))


def _listen_to_saving(session_hooks: Hooks, listener: tf.train.CheckpointSaverListener) -> None:
    """Adds a listener to the model function's checkpoint saver."""
    for hook in session_hooks:
        if isinstance(hook, tf.train.CheckpointSaverHook):
            hook._listeners.append(listener)


def _summaries(model_dir, scaffold):
    return tf.train.SummarySaverHook(save_secs=30, output_dir=model_dir, scaffold=scaffold)


def _tokens(features: Mapping[str, tf.Tensor]) -> int | None:
    """Returns the number of target positions in a batch, or None if the shape is not fixed."""
    return features["targets"].shape.num_elements() if "targets" in features else None


def _tell(line: str) -> None:
    print(as_named(line), file=sys.stderr, flush=True)
