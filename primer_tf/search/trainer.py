"""Trains programs, each with the same amount of work, and measures their validation loss."""

import gc
import math
import time
from typing import Any

import keras
import numpy as np

from primer_tf.data.token_chunks import TokenChunks
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

VALIDATION_BATCH = 64
AT_ONCE = 10  # Steps between two looks at the clock.


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
        self._validation_batch = min(VALIDATION_BATCH, sequences)
        sequences -= sequences % self._validation_batch  # Another shape compiles again.
        validation = TokenChunks(tokens.validation[: sequences * length], length)
        self._validation = next(validation.evaluation_batches(sequences))

    def __call__(self, task: Task) -> Outcome:
        """Trains a program; whatever goes wrong is a failed outcome."""
        start = time.monotonic()
        try:
            return self._train_bands(task, start)
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
        inputs, targets, weights = self._validation
        return model.evaluate(
            inputs, targets, self._validation_batch, verbose=0, sample_weight=weights
        )

    def steps(self, program: Program) -> int:
        """Returns the number of steps that the budget of an individual buys."""
        return affordable_steps(self.config, infer_graph(program, self.config.hidden_dim))

    def _train_bands(self, task: Task, start: float) -> Outcome:
        config, program = self.config, Program.from_json(task.program)
        graph = infer_graph(program, config.hidden_dim)
        head = config.hidden_dim * config.vocabulary_size
        parameters = config.num_layers * graph.num_parameters + head
        if parameters > config.max_parameters:
            reason = f"too large: {parameters:,} weights, more than {config.max_parameters:,}"
            return Outcome("failed", reason=reason, parameters=parameters)
        affordable = self.steps(program)
        if affordable < LEAST * config.steps and not config.wall_time:
            reason = f"too slow: its budget buys {affordable} steps"
            return Outcome("failed", reason=reason, parameters=parameters)
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
            return outcome("failed", reason)
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
                return outcome("failed", reason)
            losses.append(loss)
            threshold = task.thresholds[band] if band < len(task.thresholds) else None
            if threshold is not None and loss >= threshold:
                return outcome("stopped")
        return outcome("trained")


class _Training(keras.callbacks.Callback):
    """A training that can be continued."""

    def __init__(self, model: PrimerCausalLM, batches: Any, deadline: float) -> None:
        super().__init__()
        self._trained, self._batches, self._deadline = model, batches, deadline
        self.steps = 0
        self._reason: str | None = None

    def train(self, steps: int) -> str | None:
        """Trains so many more steps, and returns why it stopped before."""
        if steps < 1:
            return None
        batches = [next(self._batches) for _ in range(steps)]
        ids, mask, targets, weights = (
            np.concatenate(parts)
            for parts in zip(
                *[(x["token_ids"], x["padding_mask"], y, w) for x, y, w in batches], strict=True
            )
        )
        self._trained.fit(
            {"token_ids": ids, "padding_mask": mask},
            targets,
            batch_size=len(batches[0][1]),
            shuffle=False,
            sample_weight=weights,
            callbacks=[self],
            verbose=0,
        )
        return self._reason

    def until(self, end: float) -> str | None:
        """Trains up to a time, and returns why it stopped before."""
        while time.monotonic() < end:
            if self.train(AT_ONCE) is not None:
                return self._reason
        return None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops a training that leads nowhere."""
        self.steps += 1
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            self._reason = f"its training loss is NaN or infinite at step {self.steps}"
        elif time.monotonic() > self._deadline:
            self._reason = f"too slow: {self.steps} steps within the longest time"
        if self._reason is not None:
            self._trained.stop_training = True
