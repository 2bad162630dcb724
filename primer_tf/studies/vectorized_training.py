"""Training of several runs of one model at once, as one program of JAX.

A small model leaves a GPU idle: its kernels take less time than it takes to start them. Here each
kernel works for all runs, whose weights are the rows of one array.

    weights [R, ...]      rates [R]      batches [R, B, T]
          |                  |                  |
          +---- jax.vmap(model.train_step) -----+----> weights [R, ...], losses [R]

The step is the one that Keras' `fit` takes, and the evaluation is that of `Evaluator`.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import ops

from primer_tf._compat import moving_averages
from primer_tf.data.load_chunks import load_chunks
from primer_tf.data.token_chunks import TokenChunks
from primer_tf.data.vocabulary import read_vocabulary
from primer_tf.errors import UserError
from primer_tf.evaluation.evaluator import Evaluation, Evaluator
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerCausalLM, PrimerTokenizer
from primer_tf.training.callbacks.stop_at_divergence import LARGEST_LOSS
from primer_tf.training.choose_dtype import choose_dtype
from primer_tf.training.config import RunConfig
from primer_tf.training.optimizer_of_run import optimizer_of_run, schedule_of_run
from primer_tf.training.run import model_of_run
from primer_tf.types import Tensor

# What runs that train at once may differ in.
OWN = ("preset", "steps", "seed", "learning_rate_scale", "interval")


@dataclass
class VectorizedRun:
    """What one of several runs has measured.

    Attributes:
        config: What defines the run.
        rows: A dict for each evaluation, with `step`, the mean training `loss` since the last one,
            `validation_loss`, `bits_per_byte` and `tokens_per_second`, its share of the speed of
            all runs.
        diverged: What was found where training has diverged, or `None`.
    """

    config: RunConfig
    rows: list[dict[str, float]] = field(default_factory=list)
    diverged: str | None = None

    @property
    def done(self) -> int:
        """The steps done at the last evaluation."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def goes_on(self) -> bool:
        """Whether the run has steps left."""
        return self.diverged is None and self.done < self.config.steps

    def add(
        self, step: int, losses: np.ndarray, evaluation: Evaluation, tokens_per_second: float
    ) -> None:
        """Adds what was measured since the last evaluation.

        Args:
            step: The steps done.
            losses: The training loss of each batch since then.
            evaluation: The `Evaluation` of the run.
            tokens_per_second: The speed since then.
        """
        wrong = np.flatnonzero(~np.isfinite(losses))
        if len(wrong):
            at = self.done + 1 + wrong[0] // self.config.gradient_accumulation_steps
            self.diverged = f"the training loss is {losses[wrong[0]]:.6g} at step {at}"
        elif not evaluation.loss <= LARGEST_LOSS:
            self.diverged = f"the validation loss is {evaluation.loss:.6g} at step {step}"
        else:
            self.rows.append(
                {
                    "step": step,
                    "loss": float(losses.mean()),
                    "validation_loss": evaluation.loss,
                    "bits_per_byte": evaluation.bits_per_byte,
                    "tokens_per_second": tokens_per_second,
                }
            )


class GivenRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that is an argument of a compiled step: `rate`, whatever the step."""

    rate: Tensor

    def __call__(self, step: int | Tensor) -> Tensor:
        """Returns the learning rate."""
        return self.rate


def train_vectorized(
    configs: Sequence[RunConfig], report: Callable[[str], object] = print
) -> tuple[list[VectorizedRun], TokenChunks]:
    """Trains runs that differ in their seed, length and learning rate at once.

    All runs go on until the longest ends; each is evaluated when it is due, and what becomes of it
    after its own last step is not looked at. No checkpoints are written.

    Args:
        configs: What defines each run.
        report: Called with a line for each evaluation. Defaults to `print`.

    Returns:
        `(runs, chunks)`: what each run has measured, and the training text.

    Raises:
        UserError: The backend is not JAX, or the runs differ in more, or have restarts.
    """
    if keras.backend.backend() != "jax":
        raise UserError("Runs train at once on the JAX backend only: set KERAS_BACKEND=jax.")
    first = configs[0]
    alike = [
        dataclasses.replace(c, **{name: getattr(first, name) for name in OWN}) for c in configs
    ]
    if any(each != alike[0] for each in alike):
        raise UserError(f"Runs that train at once may differ in {', '.join(OWN)} only.")
    if first.max_restarts:
        raise UserError("Runs that train at once do not restart: leave max_restarts out.")
    runs = [VectorizedRun(config) for config in configs]
    config = dataclasses.replace(first, dtype=choose_dtype(first.dtype, report))
    tokenizer = PrimerTokenizer(read_vocabulary(config.vocabulary))
    data = (tokenizer, config.sequence_length, config.validation_data)
    chunks, _ = load_chunks(config.data, "train", *data)
    validation, text = load_chunks(config.data, "validation", *data)
    program = _Program(config, [run.config for run in runs], tokenizer)
    evaluator = Evaluator(program.model, validation, text, config.batch_size)

    batches = _batches_of_runs(chunks, configs)
    due = sorted({step for each in configs for step in _evaluations(each)})
    tokens = config.batch_size * config.sequence_length * config.gradient_accumulation_steps
    losses = np.zeros((0, len(runs)))
    step = 0
    for end in due:
        clock = time.monotonic()
        recent = [
            program.train(each, next(batches))
            for each in range(step, end)
            for _ in range(config.gradient_accumulation_steps)
        ]
        losses = np.concatenate([losses, np.stack(recent)])  # Waits for the steps.
        rate = tokens * (end - step) / (time.monotonic() - clock)
        step = end
        sums = program.evaluate(evaluator)
        for number, run in enumerate(runs):
            if run.goes_on and step in _evaluations(run.config):
                own = losses[run.done * config.gradient_accumulation_steps :, number]
                run.add(step, own, evaluator.evaluation(sums[number]), rate)
        finals = [run.rows[-1]["validation_loss"] for run in runs if run.rows]
        shown = f"{min(finals):.4f} to {max(finals):.4f}" if finals else "none"
        report(
            f"{len(runs)} runs at once, step {step}/{due[-1]}: validation losses {shown}, "
            f"{len(runs) * rate:,.0f} tokens/s"
        )
        if not any(run.goes_on for run in runs):
            break
    return runs, chunks


def _evaluations(config: RunConfig) -> list[int]:
    """Returns the steps after which a run is evaluated."""
    return [*range(config.interval, config.steps, config.interval), config.steps]


def _batches_of_runs(chunks: TokenChunks, configs: Sequence[RunConfig]) -> Iterator[Any]:
    """Yields the batches of all runs, `[R, B, T]`."""
    seeds = dict.fromkeys(config.seed for config in configs)
    streams = {seed: chunks.training_batches(configs[0].batch_size, seed) for seed in seeds}
    while True:
        of_seeds = {seed: next(stream) for seed, stream in streams.items()}
        rows = [of_seeds[config.seed] for config in configs]
        yield keras.tree.map_structure(lambda *arrays: np.stack(arrays), *rows)


class _Program:
    """The compiled functions, and the variables of all runs."""

    def __init__(
        self, config: RunConfig, configs: Sequence[RunConfig], tokenizer: PrimerTokenizer
    ) -> None:
        import jax

        longest = max(each.steps for each in configs)
        self._rates = np.stack([_rates(each, longest) for each in configs], axis=1)
        values = {}
        for seed in {each.seed for each in configs}:
            keras.utils.set_random_seed(seed)
            self.model = model_of_run(config, tokenizer)
            # The same weights without a preprocessor: what is trained on are tokens, not strings.
            trained = PrimerCausalLM(self.model.backbone)
            schedule = GivenRate()
            optimizer = optimizer_of_run(config, trained.trainable_variables, schedule)
            # Without metrics, which the state of a step would hold.
            loss = NextTokenLoss(config.z_loss, config.label_smoothing)
            trained.compile(optimizer=optimizer, loss=loss, weighted_metrics=None)
            trained.optimizer.build(trained.trainable_variables)
            kinds = (
                trained.trainable_variables,
                trained.non_trainable_variables,
                trained.optimizer.variables,
            )
            values[seed] = [[ops.convert_to_numpy(v) for v in variables] for variables in kinds]
        self._trained = trained
        of_runs = [values[each.seed] for each in configs]
        self._state = keras.tree.map_structure(lambda *rows: jax.numpy.stack(rows), *of_runs)
        tracker = trained.metrics_variables

        def step(state: Any, rate: Tensor, batch: Any) -> tuple[Any, Tensor]:
            schedule.rate = rate
            start = [jax.numpy.zeros(v.shape, v.dtype) for v in tracker]
            logs, state = trained.train_step((*state, start), batch)
            return list(state[:3]), logs["loss"]

        self._train = jax.jit(jax.vmap(step), donate_argnums=0)
        self._predict: Callable[..., Any] | None = None

    def train(self, step: int, batches: Any) -> Tensor:
        """Trains each run on a batch.

        Args:
            step: The step, counted from zero.
            batches: The batches of all runs.

        Returns:
            `[R]`, the losses.
        """
        self._state, losses = self._train(self._state, self._rates[step], batches)
        return losses

    def evaluate(self, evaluator: Evaluator) -> np.ndarray:
        """Returns the sums of `RowSums` over the text, `[R, 2]`."""
        import jax

        if self._predict is None:

            def predict(state: Any, batch: Any) -> Tensor:
                return evaluator.sums.predict_step(state, batch)[0].sum(axis=0)

            self._predict = jax.jit(jax.vmap(predict, in_axes=(0, None)))
        values = dict(self._present_values())
        kinds = (evaluator.sums.trainable_variables, evaluator.sums.non_trainable_variables)
        state = [[values[id(variable)] for variable in variables] for variables in kinds]
        sums = [self._predict(state, batch) for batch in evaluator.batches()]
        return np.stack(sums).astype("float64").sum(axis=0)

    def _present_values(self) -> Iterator[tuple[int, Tensor]]:
        """Yields the values of the weights of all runs, or of their moving averages."""
        trained = self._trained
        kinds = (
            trained.trainable_variables,
            trained.non_trainable_variables,
            trained.optimizer.variables,
        )
        values = {
            id(variable): value
            for variables, rows in zip(kinds, self._state, strict=True)
            for variable, value in zip(variables, rows, strict=True)
        }
        yield from values.items()
        for weight, average in moving_averages(trained.optimizer):
            yield id(weight), values[id(average)]


def _rates(config: RunConfig, length: int) -> np.ndarray:
    """Returns the learning rates of a run, and zeros after its end, `[length]`."""
    import jax

    rates = jax.vmap(schedule_of_run(config))(jax.numpy.arange(config.steps))
    return np.pad(ops.convert_to_numpy(rates), (0, length - config.steps))
