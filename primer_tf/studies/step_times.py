"""What a training step of each model costs in seconds, measured in alternation."""

import dataclasses
import itertools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from primer_tf.studies.run_record import read_record, write_record
from primer_tf.studies.study import Study

FILE = "step_times.json"
ROUNDS = 10
STEPS = 5
# Rounds go on until every ratio is known this well, or for so many seconds.
PRECISION = 0.01
PATIENCE = 600


@dataclass(frozen=True)
class StepTimes:
    """Measured seconds of a training step.

    Attributes:
        rounds: Dict from model to the seconds of a step in each round. In a round all models take a
            few steps one after the other, so that whatever else the machine does slows all of them.
        environment: Where they were measured.
    """

    rounds: dict[str, list[float]]
    environment: dict[str, str]

    def seconds(self, model: str) -> float:
        """Returns the median seconds of a step."""
        return float(np.median(self.rounds[model]))

    def ratio(self, baseline: str, model: str) -> tuple[float, float]:
        """Returns how a model's step compares with the baseline's.

        Args:
            baseline: Name of the baseline.
            model: Name of the model.

        Returns:
            `(ratio, error)`: the median over the rounds of the model's seconds over the baseline's,
            and the standard error of its logarithm.
        """
        logs = np.log(self.rounds[model]) - np.log(self.rounds[baseline])
        # From the quartiles, because a round may be disturbed; a median's error is larger than a
        # mean's by the square root of pi / 2.
        spread = np.subtract(*np.quantile(logs, (0.75, 0.25))) / 1.349
        error = np.sqrt(np.pi / 2) * spread / np.sqrt(len(logs))
        return float(np.exp(np.median(logs))), float(error)


def read_step_times(output: Path) -> StepTimes | None:
    """Returns the step times of a study, or `None` if they were not measured yet."""
    path = output / FILE
    if not path.exists():
        return None
    record = read_record(path)
    return StepTimes(record["seconds"], record["environment"])


def measure(study: Study, output: Path, rounds: int = ROUNDS, steps: int = STEPS) -> None:
    """Measures the step times of all models of a study, of one size, and keeps them.

    On a machine that does other things rounds differ, and more of them are measured.

    Args:
        study: The study.
        output: The folder of the study.
        rounds: Least number of rounds. Defaults to 10.
        steps: Number of steps that each model takes in a round. Defaults to 5.
    """
    from primer_tf.studies.environment import environment

    trainers = {name: _trainer(study, name) for name in study.models}
    for name, trainer in trainers.items():
        print(f"Compiling {name}", flush=True)
        trainer(1)
        trainer(1)
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    times = StepTimes(seconds, environment())
    start = time.monotonic()
    for number in itertools.count(1):
        print(f"Measuring steps, round {number}", flush=True)
        for name, trainer in trainers.items():
            begun = time.perf_counter()
            trainer(steps)
            seconds[name].append((time.perf_counter() - begun) / steps)
        errors = [times.ratio(study.baseline, name)[1] for name in study.models]
        known = max(errors) <= PRECISION or time.monotonic() - start > PATIENCE
        if number >= rounds and known:
            break
    write_record(
        output / FILE,
        {"seconds": seconds, "steps_in_a_round": steps, "environment": times.environment},
    )


def _trainer(study: Study, model: str) -> Any:
    """Returns a function that trains a model for a number of steps."""
    import keras

    from primer_tf.data.repeatable_batches import repeatable_batches
    from primer_tf.data.token_chunks import TokenChunks, without_masks
    from primer_tf.losses import NextTokenLoss
    from primer_tf.models import PrimerBackbone, PrimerCausalLM
    from primer_tf.training.choose_dtype import choose_dtype
    from primer_tf.training.optimizer_of_run import optimizer_of_run

    config = study.base_config
    backbone = PrimerBackbone(
        **{
            **study.architecture(model),
            "vocabulary_size": study.vocabulary_rows,
            "dropout": config.dropout,
            "gradient_checkpointing": config.gradient_checkpointing,
            "dtype": choose_dtype(config.dtype, lambda line: None),
        }
    )
    trained = PrimerCausalLM(backbone)
    # Rates take no time, and a budget in seconds has no steps yet, on which other schedules depend.
    plain = dataclasses.replace(config, schedule="rsqrt", linear_decay_fraction=None)
    optimizer = optimizer_of_run(plain, trained.trainable_variables)
    trained.compile(optimizer=optimizer, loss=NextTokenLoss(config.z_loss))
    trained.optimizer.build(trained.trainable_variables)
    # The time of a step does not depend on the text.
    size = config.batch_size * config.sequence_length
    tokens = np.random.default_rng(0).integers(3, config.vocabulary_size, size=2 * size)
    chunks = TokenChunks(tokens.astype("int32"), config.sequence_length)

    def train(steps: int) -> None:
        keras.Model.fit(
            trained,
            repeatable_batches(
                lambda: without_masks(chunks.training_batches(config.batch_size, seed=0))
            ),
            steps_per_epoch=steps * config.gradient_accumulation_steps,
            shuffle=False,
            verbose=0,
        )

    return train
