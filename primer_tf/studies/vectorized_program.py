"""A step of several runs of one model as one program of JAX."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from primer_tf._compat import moving_averages
from primer_tf.evaluation.evaluator import Evaluator
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerCausalLM, PrimerTokenizer
from primer_tf.training.config import RunConfig
from primer_tf.training.optimizer_of_run import optimizer_of_run, schedule_of_run
from primer_tf.training.run import model_of_run
from primer_tf.types import Tensor


class GivenRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is an argument of a compiled step: `rate`, whatever the step."""

    rate: Tensor

    def __call__(self, step: int | Tensor) -> Tensor:
        """Returns the learning rate."""
        return self.rate


class VectorizedProgram:
    """The variables of `R` runs and the compiled functions that work on all of them.

    A small model leaves a GPU idle: its kernels take less time than it takes to start them. Here
    each kernel works for all runs, whose variables are the rows of one array.

        variables [R, ...]     rates [R]     batches [R, B, T]
              |                   |                  |
              +---- jax.vmap(model.train_step) ------+----> variables [R, ...], losses [R]

    Args:
        configs: What defines each run. They differ in their seed, length and learning rate.
        tokenizer: The `PrimerTokenizer` of the runs.

    Attributes:
        model: One of the models, without what the runs have learned.
    """

    def __init__(self, configs: Sequence[RunConfig], tokenizer: PrimerTokenizer) -> None:
        import jax

        longest = max(each.steps for each in configs)
        self._rates = np.stack([_rates(each, longest) for each in configs], axis=1)
        schedule, starts = GivenRate(), {}
        for config in {each.seed: each for each in configs}.values():
            keras.utils.set_random_seed(config.seed)
            self.model = model_of_run(config, tokenizer)
            # The same weights without a preprocessor: what is trained on are tokens, not strings.
            self._trained = trained = PrimerCausalLM(self.model.backbone)
            trained.compile(
                optimizer=optimizer_of_run(config, trained.trainable_variables, schedule),
                loss=NextTokenLoss(config.z_loss, config.label_smoothing),
                weighted_metrics=None,  # The state of a step would hold them.
            )
            trained.optimizer.build(trained.trainable_variables)
            starts[config.seed] = keras.tree.map_structure(ops.convert_to_numpy, self._variables)
        rows = [starts[each.seed] for each in configs]
        self._state = keras.tree.map_structure(lambda *arrays: jax.numpy.stack(arrays), *rows)
        tracker = trained.metrics_variables

        def step(state: Any, rate: Tensor, batch: Any) -> tuple[Any, Tensor]:
            schedule.rate = rate
            # The mean of the losses begins again at each step.
            zeros = [jax.numpy.zeros(v.shape, v.dtype) for v in tracker]
            logs, (*state, _) = trained.train_step((*state, zeros), batch)
            return state, logs["loss"]

        self._train = jax.jit(jax.vmap(step), donate_argnums=0)
        self._predict: Any = None

    @property
    def _variables(self) -> list[list[keras.Variable]]:
        model = self._trained
        return [
            model.trainable_variables,
            model.non_trainable_variables,
            model.optimizer.variables,
        ]

    def train(self, step: int, batches: Any) -> Tensor:
        """Trains each run on a batch.

        Args:
            step: The step, counted from zero.
            batches: The batches of all runs: inputs, targets and weights, `[R, B, T]`.

        Returns:
            `[R]`, the losses.
        """
        self._state, losses = self._train(self._state, self._rates[step], batches)
        return losses

    def evaluate(self, evaluator: Evaluator) -> np.ndarray:
        """Evaluates each run, with the moving averages of its weights if it keeps any.

        Args:
            evaluator: An `Evaluator` of `model`.

        Returns:
            `[R, 2]`, the sums over the text that `Evaluator.evaluation` takes.
        """
        import jax

        sums = evaluator.sums
        if self._predict is None:  # Compiled once.

            def predict(state: Any, batch: Any) -> Tensor:
                return sums.predict_step(state, batch)[0].sum(axis=0)

            self._predict = jax.jit(jax.vmap(predict, in_axes=(0, None)))
        flat = map(keras.tree.flatten, (self._variables, self._state))
        values = {id(variable): value for variable, value in zip(*flat, strict=True)}
        for weight, average in moving_averages(self._trained.optimizer):
            values[id(weight)] = values[id(average)]
        kinds = sums.trainable_variables, sums.non_trainable_variables
        state = [[values[id(variable)] for variable in variables] for variables in kinds]
        parts = [self._predict(state, batch) for batch in evaluator.batches()]
        return np.stack(parts).astype("float64").sum(axis=0)


def _rates(config: RunConfig, length: int) -> np.ndarray:
    """Returns the learning rates of a run, and zeros after its end, `[length]`."""
    import jax

    rates = jax.vmap(schedule_of_run(config))(jax.numpy.arange(config.steps))
    return np.pad(ops.convert_to_numpy(rates), (0, length - config.steps))
