"""Trains programs, each with the same amount of work, and measures their validation loss."""

import gc
import math
import time
from collections.abc import Iterator

import keras

from primer_tf.data.token_chunks import Batch, TokenChunks
from primer_tf.errors import first_line
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerBackbone, PrimerCausalLM
from primer_tf.programs.graph import infer_graph
from primer_tf.programs.program import Program
from primer_tf.search.config import SearchConfig
from primer_tf.search.hurdles import band_ends
from primer_tf.search.individual import Outcome, Task
from primer_tf.search.tokens import Tokens
from primer_tf.search.work import LEAST, affordable_steps


class Trainer:
    """Trains one program after the other.

    Args:
        config: The configuration of the search.
        tokens: The `Tokens`.
    """

    def __init__(self, config: SearchConfig, tokens: Tokens) -> None:
        self.config = config
        length = config.sequence_length
        self._train = TokenChunks(tokens.train, length)
        sequences = min(config.validation_sequences, len(tokens.validation) // length)
        validation = TokenChunks(tokens.validation[: sequences * length], length)
        self._validation = next(validation.evaluation_batches(sequences))

    def __call__(self, task: Task) -> Outcome:
        """Trains a program; whatever goes wrong is a failed outcome."""
        start = time.monotonic()
        try:
            return self._train_bands(task, start)[0]
        except Exception as error:  # Libraries raise anything, and the search goes on.
            reason = f"{type(error).__name__}: {first_line(error)}"
            return Outcome("failed", reason=reason, seconds=time.monotonic() - start)
        finally:
            keras.utils.clear_session(free_memory=False)
            gc.collect()

    def model(self, program: Program, seed: int) -> PrimerCausalLM:
        """Returns a compiled model with fresh weights, whose blocks run a program."""
        config = self.config
        keras.utils.set_random_seed(seed)
        backbone = PrimerBackbone(
            vocabulary_size=config.vocabulary_size,
            num_layers=config.num_layers,
            hidden_dim=config.hidden_dim,
            block=["program"],
            program=program.to_json(),
            max_sequence_length=config.sequence_length,
        )
        model = PrimerCausalLM(backbone, compile=False)
        model.compile(
            optimizer=keras.optimizers.Adam(config.learning_rate, global_clipnorm=1.0),
            loss=NextTokenLoss(),
            weighted_metrics=None,
            jit_compile=keras.backend.backend() == "jax",
        )
        return model

    def validation_loss(self, model: PrimerCausalLM) -> float:
        """Returns the mean loss of a token of the validation text, in nats."""
        model.reset_metrics()  # Keras averages over calls.
        inputs, targets, weights = self._validation
        return float(model.test_on_batch(inputs, targets, sample_weight=weights))

    def train_whole(self, task: Task) -> tuple[Outcome, PrimerCausalLM | None]:
        """Trains a program, and also returns the model, `None` if there is none."""
        return self._train_bands(task, time.monotonic())

    def _train_bands(self, task: Task, start: float) -> tuple[Outcome, PrimerCausalLM | None]:
        config, program = self.config, Program.from_json(task.program)
        graph = infer_graph(program, config.hidden_dim)
        head = config.hidden_dim * config.vocabulary_size
        parameters = config.num_layers * graph.num_parameters + head
        reason: str | None
        if parameters > config.max_parameters:
            reason = f"too large: {parameters:,} weights, more than {config.max_parameters:,}"
            return Outcome("failed", reason=reason, parameters=parameters), None
        affordable = affordable_steps(config, graph)
        if affordable < LEAST * config.steps and not config.wall_time:
            reason = f"too slow: its budget buys {affordable} steps"
            return Outcome("failed", reason=reason, parameters=parameters), None
        model = self.model(program, config.seed)
        batches = self._train.training_batches(config.batch_size, config.seed)
        training = _Training(model, batches, start + config.max_seconds)
        reason = training.train(1)  # Compiles.
        losses: list[float] = []
        began = time.monotonic()

        def outcome(status: str, reason: str | None = None) -> Outcome:
            spent = training.steps / affordable
            if config.wall_time:
                spent = (time.monotonic() - began) / config.wall_time
            loss = losses[-1] if losses and status != "failed" else None
            return Outcome(
                status,
                loss,
                tuple(losses),
                reason,
                training.steps,
                spent,
                time.monotonic() - start,
                parameters,
            )

        if reason is not None:
            return outcome("failed", reason), model
        for band, end in enumerate(band_ends(config.hurdles)):
            if config.wall_time:
                reason = training.until(began + end * config.wall_time)
            else:
                reason = training.train(round(end * affordable) - training.steps)
            if reason is None:
                loss = self.validation_loss(model)
                if not math.isfinite(loss):
                    reason = "its validation loss is NaN or infinite"
            if reason is not None:
                return outcome("failed", reason), model
            losses.append(loss)
            threshold = task.thresholds[band] if band < len(task.thresholds) else None
            if threshold is not None and loss >= threshold:
                return outcome("stopped"), model
        return outcome("trained"), model


class _Training:
    """A training that can be continued."""

    def __init__(self, model: PrimerCausalLM, batches: Iterator[Batch], deadline: float) -> None:
        self._model, self._batches, self._deadline = model, batches, deadline
        self.steps = 0

    def train(self, steps: int) -> str | None:
        """Trains so many more steps, and returns why it stopped before."""
        for _ in range(steps):
            if reason := self._step():
                return reason
        return None

    def until(self, end: float) -> str | None:
        """Trains up to a time, and returns why it stopped before."""
        while time.monotonic() < end:
            if reason := self._step():
                return reason
        return None

    def _step(self) -> str | None:
        # Less than `fit` takes to start, which here trains for a few steps only.
        inputs, targets, weights = next(self._batches)
        loss = self._model.train_on_batch(inputs, targets, sample_weight=weights)
        self.steps += 1
        if not math.isfinite(float(loss)):
            return f"its training loss is NaN or infinite at step {self.steps}"
        if time.monotonic() > self._deadline:
            return f"too slow: {self.steps} steps within the longest time"
        return None
