"""The configuration of a training run.

Importing this module imports neither TensorFlow nor Keras.
"""

import dataclasses
import shlex
import sys
from collections.abc import Callable
from dataclasses import MISSING, dataclass
from typing import Any

from primer_tf.errors import UserError
from primer_tf.types import Config


@dataclass(frozen=True)
class Constraint:
    """What the values of a field have in common beyond their type.

    Args:
        text: The condition in words, as in "must be TEXT".
        holds: A function from a value to whether the condition holds.
    """

    text: str
    holds: Callable[[Any], bool]

    def check(self, value: Any, name: str) -> None:
        """Raises `UserError`, which calls the value `name`, if it does not hold."""
        if not self.holds(value):
            raise UserError(f"{name} must be {self.text}; received {value!r}.")


OPTIMIZERS = ("adafactor", "adamw", "muon")
SCHEDULES = ("rsqrt", "cosine", "linear", "wsd")
POLICIES = ("float32", "float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
DTYPES = (*POLICIES, "auto")
LARGEST = sys.float_info.max

COUNT = Constraint("at least 1 and below 2**31", lambda value: 1 <= value < 2**31)
COUNT_OR_ZERO = Constraint("at least 0 and below 2**31", lambda value: 0 <= value < 2**31)
SEED = Constraint("at least 0 and below 2**32", lambda value: 0 <= value < 2**32)
POSITIVE = Constraint("a positive number", lambda value: 0 < value <= LARGEST)
NOT_NEGATIVE = Constraint("zero or a positive number", lambda value: 0 <= value <= LARGEST)
RATE = Constraint("at least 0 and below 1", lambda value: 0 <= value < 1)
SHARE = Constraint("at least 0 and at most 1", lambda value: 0 <= value <= 1)


def one_of(names: tuple[str, ...]) -> Constraint:
    """Returns the constraint that a value is one of some names."""
    return Constraint(f"one of {', '.join(names)}", lambda value: value in names)


# What a field of each type may hold, and what that is called.
TYPES: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a string"),
    str | None: ((str, type(None)), "a string"),
    int: ((int,), "an integer"),
    float: ((int, float), "a number"),
    float | None: ((int, float, type(None)), "a number"),
    bool: ((bool,), "true or false"),
    Config | None: ((dict, type(None)), "a table of arguments"),
}


def option(help: str, default: Any = MISSING, constraint: Constraint | None = None) -> Any:
    """Returns a dataclass field that is also an option of the command line.

    Args:
        help: What the field means, in a few words.
        default: The default. A field without one is required.
        constraint: A condition on the values. Optional.
    """
    return dataclasses.field(default=default, metadata={"help": help, "constraint": constraint})


@dataclass(frozen=True)
class RunConfig:
    """What defines a training run; kept as `run.json` in its folder.

    Each field but the two below is an option of `primer train`, whose help explains it.

    Args:
        architecture: The arguments of the `PrimerBackbone` if gin files describe it, in which case
            `preset` only names it. Defaults to `None`.
        first_step: Number of updates that the optimizer has done before the run, which goes on from
            a preset. Defaults to 0.

    Raises:
        UserError: A value has the wrong type or is out of range.
    """

    preset: str = option("name of a preset, or a preset directory or run to train on")
    data: str = option(
        "demo; .txt, .json, .jsonl, .jsonl.gz or .parquet files, folders or globs; seqio:TASK; "
        "tfds:NAME; or lm:DATA, cut into chunks as T5 cuts it; or a folder of primer prepare"
    )
    architecture: Config | None = None
    first_step: int = dataclasses.field(default=0, metadata={"constraint": COUNT_OR_ZERO})
    validation_data: str | None = option("as --data; by default held out from it", None)
    vocabulary: str | None = option("SentencePiece model; by default one is trained", None)
    vocabulary_size: int = option("pieces of a trained vocabulary", 8000, COUNT)
    steps: int = option("training steps in all", 1000, COUNT)
    batch_size: int = option("sequences in a batch", 16, COUNT)
    gradient_accumulation_steps: int = option(
        "batches whose mean gradient makes a training step", 1, COUNT
    )
    sequence_length: int = option("tokens in a sequence", 128, COUNT)
    interval: int = option("steps between two evaluations and checkpoints", 100, COUNT)
    optimizer: str = option("optimizer: " + ", ".join(OPTIMIZERS), "adafactor", one_of(OPTIMIZERS))
    weight_decay: float | None = option(
        "weight decay, times the learning rate; by default 0.1 for adamw and muon",
        None,
        NOT_NEGATIVE,
    )
    global_clipnorm: float | None = option("largest norm of all gradients together", None, POSITIVE)
    ema_momentum: float | None = option(
        "momentum of a moving average of the weights, which is evaluated and saved as presets",
        None,
        RATE,
    )
    schedule: str = option(
        "schedule of the learning rate: " + ", ".join(SCHEDULES), "rsqrt", one_of(SCHEDULES)
    )
    learning_rate: float | None = option(
        "highest learning rate; by default 0.001, and 1/sqrt(warmup_steps) for adafactor, which "
        "multiplies it by the size of each weight",
        None,
        POSITIVE,
    )
    warmup_steps: int = option(
        "steps before the learning rate decays; with rsqrt it is constant in them, else it grows",
        1000,
        COUNT,
    )
    linear_decay_fraction: float | None = option(
        "share of the steps, at the end, in which the learning rate of rsqrt and wsd falls "
        "linearly to zero",
        0.5,
        SHARE,
    )
    learning_rate_scale: float = option("factor on the learning rate", 1.0, POSITIVE)
    ramp_up_steps: int = option(
        "steps at the start in which the learning rate grows linearly, for rsqrt", 0, COUNT_OR_ZERO
    )
    max_restarts: int = option(
        "times that a run that diverges goes on from its last checkpoint with other data",
        0,
        COUNT_OR_ZERO,
    )
    z_loss: float = option("factor of the z-loss", 1e-4, NOT_NEGATIVE)
    label_smoothing: float = option("share of each target spread over all pieces", 0.0, RATE)
    dropout: float = option("rate of all dropouts", 0.0, RATE)
    gradient_checkpointing: bool = option("recompute activations to save memory", False)
    dtype: str = option(
        f"dtype policy: {', '.join(POLICIES)}, or auto: mixed_bfloat16 where the device multiplies "
        "it faster, else float32; presets of mixed policies are saved in float32",
        "auto",
        one_of(DTYPES),
    )
    seed: int = option("seed of the weights, the order of the data and dropout", 0, SEED)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """Returns the defaults of all fields that have one, by name."""
        fields = dataclasses.fields(cls)
        return {field.name: field.default for field in fields if field.default is not MISSING}

    def __str__(self) -> str:
        """Returns the options that differ from their defaults, as on the command line."""
        given = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if "help" in field.metadata and getattr(self, field.name) != field.default
        }
        return " ".join(
            f"--{name}" if value is True else f"--{name} {shlex.quote(str(value))}"
            for name, value in given.items()
        )

    def __post_init__(self) -> None:
        """Checks what can be checked without reading anything."""
        for field in dataclasses.fields(self):
            check_value(field, getattr(self, field.name), field.name)


def config_field(name: str) -> dataclasses.Field:
    """Returns the field of `RunConfig` with this name."""
    return RunConfig.__dataclass_fields__[name]


def check_value(field: dataclasses.Field, value: Any, name: str) -> None:
    """Checks a value that a field is to have.

    Args:
        field: The field of `RunConfig`.
        value: The value.
        name: What the error calls it.

    Raises:
        UserError: The value has the wrong type or breaks the constraint of the field.
    """
    types, expected = TYPES[field.type]
    if type(value) not in types:
        raise UserError(f"{name} must be {expected}; received {value!r}.")
    constraint = field.metadata.get("constraint")
    if constraint is not None and value is not None:
        constraint.check(value, name)
