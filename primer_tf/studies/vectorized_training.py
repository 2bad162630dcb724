"""Training of several runs of one model at once, as one program of JAX.

What a run measures is what it would measure alone: its weights, batches and learning rates are the
same, the step is the one that Keras' `fit` takes, and the evaluation is that of `Evaluator`.
"""

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from primer_tf.data.load_chunks import load_chunks
from primer_tf.data.token_chunks import TokenChunks
from primer_tf.data.vocabulary import read_vocabulary
from primer_tf.errors import UserError
from primer_tf.evaluation.evaluator import Evaluation, Evaluator
from primer_tf.models import PrimerTokenizer
from primer_tf.studies.vectorized_program import VectorizedProgram
from primer_tf.training.callbacks.stop_at_divergence import LARGEST_LOSS, divergence_reason
from primer_tf.training.choose_dtype import choose_dtype
from primer_tf.training.config import RunConfig

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
            self.diverged = divergence_reason("training loss", losses[wrong[0]], at)
        elif not evaluation.loss <= LARGEST_LOSS:
            self.diverged = divergence_reason("validation loss", evaluation.loss, step)
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
    own = {name: getattr(first, name) for name in OWN}
    if any(dataclasses.replace(each, **own) != first for each in configs):
        raise UserError(f"Runs that train at once may differ in {', '.join(OWN)} only.")
    if first.max_restarts:
        raise UserError("Runs that train at once do not restart: leave max_restarts out.")
    dtype = choose_dtype(first.dtype, report)
    configs = [dataclasses.replace(each, dtype=dtype) for each in configs]
    config, runs = configs[0], [VectorizedRun(each) for each in configs]
    assert config.vocabulary is not None  # A study has one for all its runs.
    tokenizer = PrimerTokenizer(read_vocabulary(config.vocabulary))
    data = (tokenizer, config.sequence_length, config.validation_data)
    chunks, _ = load_chunks(config.data, "train", *data)
    validation, text = load_chunks(config.data, "validation", *data)
    program = VectorizedProgram(configs, tokenizer)
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
                since = losses[run.done * config.gradient_accumulation_steps :, number]
                run.add(step, since, evaluator.evaluation(sums[number]), rate)
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
