"""Runs of one model that train together, as one program on JAX.

A small model leaves most of a GPU idle, whatever it does: the time goes into starting thousands of
small operations. `jax.vmap` makes the step of one run the step of many, which takes as many
operations. The runs may differ in their seed, their learning rates and their length.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from primer_tf.data.load_chunks import load_chunks
from primer_tf.data.token_chunks import TokenChunks
from primer_tf.errors import UserError
from primer_tf.evaluation.evaluator import Evaluation, RowSums
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerCausalLM, PrimerTokenizer
from primer_tf.optimizers import make_optimizer
from primer_tf.studies.study import Run, Study
from primer_tf.training.config import RunConfig
from primer_tf.training.optimizer_of_run import schedule_of_run
from primer_tf.training.run import build_model

Row = dict[str, Any]


class GivenRate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate that was set last, which may be a tracer of JAX."""

    rate: Any = 0.0

    def __call__(self, step: Any) -> Any:
        """Returns the rate, whatever the step."""
        return self.rate


def train_together(
    study: Study, runs: Sequence[Run], vocabulary: Path
) -> tuple[list[list[Row]], str]:
    """Trains runs that differ in seed, learning rate and length, on JAX.

    They see the batches, start from the weights and are evaluated at the steps as each would alone,
    so their losses are the same but for rounding.

    Args:
        study: The study.
        runs: Runs of one model and size.
        vocabulary: The SentencePiece model of the study.

    Returns:
        `(histories, digest)`: for each run the rows of its history, as in `history.csv`; they end
        before the first that is not finite. The digest is that of the training tokens.

    Raises:
        UserError: The backend is not JAX, or the study has options that only single runs have.
    """
    configs = [study.config(run, vocabulary) for run in runs]
    config = max(configs, key=lambda each: each.steps)
    _check(config)
    tokenizer = PrimerTokenizer(vocabulary.read_bytes())
    data = (tokenizer, config.sequence_length, config.validation_data)
    chunks, _ = load_chunks(config.data, "train", *data)
    validation, text = load_chunks(config.data, "validation", *data)
    program = _Program(config, [each.seed for each in configs], tokenizer)
    rates = _rates(configs, config.steps)
    seeds = sorted({each.seed for each in configs})
    seed_of_run = np.array([seeds.index(each.seed) for each in configs])
    batches = [chunks.training_batches(config.batch_size, seed) for seed in seeds]
    due = [_evaluation_steps(each) for each in configs]
    histories: list[list[Row]] = [[] for _ in configs]
    done = 0
    tokens = config.batch_size * config.sequence_length
    steps_due = sorted(set().union(*due))
    # Stretches of one length need one compilation.
    stretch = math.gcd(*steps_due)
    for step in steps_due:
        start = time.monotonic()
        means = []
        for first in range(done, step, stretch):
            # [steps, seeds, ...]
            data = _stack([_stack([next(batch) for batch in batches]) for _ in range(stretch)])
            means.append(program.train(data, rates[first : first + stretch], seed_of_run))
        losses = np.mean(means, axis=0)
        speed = len(runs) * tokens * (step - done) / (time.monotonic() - start)
        sums = program.evaluate(validation, config.batch_size)
        for run, (steps, history) in enumerate(zip(due, histories, strict=True)):
            loss, correct = (float(value) / validation.num_tokens for value in sums[run])
            diverged = len(history) < sum(each < step for each in steps)
            if step in steps and not diverged and np.isfinite([loss, losses[run]]).all():
                evaluation = Evaluation(loss, correct, validation.num_tokens, text)
                history.append(
                    {
                        "step": step,
                        "loss": float(losses[run]),
                        "validation_loss": loss,
                        "bits_per_byte": evaluation.bits_per_byte,
                        "tokens_per_second": speed,
                    }
                )
        print(f"step {step}/{config.steps}  {len(runs)} runs  {speed:,.0f} tokens/s", flush=True)
        done = step
    return histories, chunks.sha256


def is_complete(study: Study, run: Run, vocabulary: Path, history: Sequence[Row]) -> bool:
    """Returns whether a history has every row of its run, which so did not diverge."""
    return len(history) == len(_evaluation_steps(study.config(run, vocabulary)))


def _check(config: RunConfig) -> None:
    if keras.backend.backend() != "jax":
        raise UserError("Runs train together on JAX alone; set KERAS_BACKEND=jax.")
    alone = ("gradient_accumulation_steps", "ema_momentum", "max_restarts", "dropout")
    defaults = RunConfig.defaults()
    if given := [name for name in alone if getattr(config, name) != defaults[name]]:
        raise UserError(f"Runs with {', '.join(given)} do not train together.")


def _evaluation_steps(config: RunConfig) -> list[int]:
    return [*range(config.interval, config.steps, config.interval), config.steps]


def _rates(configs: Sequence[RunConfig], steps: int) -> np.ndarray:
    """Returns the learning rate of each run at each step, `[steps, runs]`; zero after its end."""
    import jax

    columns = []
    for config in configs:
        rates = np.zeros(steps, np.float32)
        rates[: config.steps] = jax.vmap(schedule_of_run(config))(np.arange(config.steps))
        columns.append(rates)
    return np.stack(columns, axis=1)


def _stack(trees: Sequence[Any]) -> Any:
    import jax

    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)


class _Program:
    """The weights of all runs, and the compiled functions that change and evaluate them."""

    def __init__(self, config: RunConfig, seeds: Sequence[int], tokenizer: PrimerTokenizer) -> None:
        weights = {}
        for seed in dict.fromkeys(seeds):
            keras.utils.set_random_seed(seed)
            model = build_model(config, tokenizer)
            weights[seed] = [np.array(v) for v in model.backbone.trainable_variables]
        self.model = PrimerCausalLM(model.backbone)
        self.rate = GivenRate()
        optimizer = make_optimizer(
            config.optimizer,
            self.rate,
            self.model.trainable_variables,
            config.weight_decay,
            config.global_clipnorm,
        )
        self.model.compile(
            optimizer=optimizer, loss=NextTokenLoss(config.z_loss, config.label_smoothing)
        )
        optimizer.build(self.model.trainable_variables)
        self.sums = RowSums(self.model)
        self.trainable = [np.stack(each) for each in zip(*(weights[s] for s in seeds), strict=True)]
        self.optimizer = [
            np.stack([np.array(variable)] * len(seeds)) for variable in optimizer.variables
        ]
        self.train_stretch: Any = None
        self.evaluate_batch: Any = None

    def train(self, batches: Any, rates: np.ndarray, seed_of_run: np.ndarray) -> np.ndarray:
        """Trains all runs.

        Args:
            batches: Tree of arrays `[steps, seeds, ...]`.
            rates: `[steps, runs]`, the learning rates.
            seed_of_run: `[runs]`, which of the seeds each run has.

        Returns:
            `[runs]`, the mean losses over the steps.
        """
        import jax

        if self.train_stretch is None:
            first = jax.tree.map(lambda leaf: leaf[0, 0], batches)
            self.model._symbolic_build(data_batch=first)
            self.train_stretch = jax.jit(self._train_stretch, donate_argnums=(0, 1))
        self.trainable, self.optimizer, losses = self.train_stretch(
            self.trainable, self.optimizer, batches, rates, seed_of_run
        )
        return np.asarray(losses).mean(axis=0)

    def _train_stretch(
        self, trainable: Any, optimizer: Any, batches: Any, rates: Any, seed_of_run: Any
    ) -> Any:
        import jax

        others = [v.value for v in self.model.non_trainable_variables]
        metrics = [jax.numpy.zeros_like(v.value) for v in self.model.metrics_variables]

        def step_of_one(trainable: Any, optimizer: Any, rate: Any, batch: Any) -> Any:
            self.rate.rate = rate
            state = (trainable, others, optimizer, metrics)
            logs, (trainable, _, optimizer, _) = self.model.train_step(state, batch)
            return trainable, optimizer, logs["loss"]

        def step(state: Any, given: Any) -> Any:
            rates, batch = given
            batch = jax.tree.map(lambda leaf: leaf[seed_of_run], batch)
            vectorized = jax.vmap(step_of_one)
            trainable, optimizer, losses = vectorized(state[0], state[1], rates, batch)
            return (trainable, optimizer), losses

        state, losses = jax.lax.scan(step, (trainable, optimizer), (rates, batches))
        return *state, losses

    def evaluate(self, chunks: TokenChunks, batch_size: int) -> np.ndarray:
        """Returns the sums of losses and of correct predictions of each run, `[runs, 2]`."""
        import jax

        if self.evaluate_batch is None:
            batches = chunks.evaluation_batches(batch_size)
            inputs = [
                {**x, "targets": targets, "weights": weights} for x, targets, weights in batches
            ]
            self.sums(inputs[0])
            order = [id(variable) for variable in self.sums.trainable_variables]
            assert order == [id(variable) for variable in self.model.trainable_variables]
            self.evaluate_batch = jax.jit(self._evaluate_all)
            self._inputs = _stack(inputs)
        return np.asarray(self.evaluate_batch(self.trainable, self._inputs))

    def _evaluate_all(self, trainable: Any, inputs: Any) -> Any:
        import jax

        others = [v.value for v in self.sums.non_trainable_variables]

        def rows_of_one(trainable: Any, batch: Any) -> Any:
            rows, _ = self.sums.stateless_call(trainable, others, batch)
            return rows.sum(axis=0)

        def add(total: Any, batch: Any) -> Any:
            return total + jax.vmap(rows_of_one, in_axes=(0, None))(trainable, batch), None

        runs = len(trainable[0])
        return jax.lax.scan(add, jax.numpy.zeros((runs, 2)), inputs)[0]
