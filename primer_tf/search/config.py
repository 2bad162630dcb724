"""What defines a search.

Importing this module imports neither TensorFlow nor Keras.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

from primer_tf.errors import UserError, first_line
from primer_tf.programs.library import transformer
from primer_tf.programs.primitives import PRIMITIVES
from primer_tf.programs.program import Program
from primer_tf.training.config import COUNT, POSITIVE, SEED, check_value, option
from primer_tf.types import StrPath

FILE = "search.json"
ALGORITHMS = ("evolution", "random")


@dataclasses.dataclass(frozen=True)
class SearchConfig:
    """What defines a search; kept as `search.json` in its folder.

    Each field is an option of `primer search`, whose help explains it.

    Raises:
        UserError: A value has the wrong type or is out of range.
    """

    data: str = option("as --data of primer train")
    steps: int = option("steps that the start program trains; others get the same work", 200, COUNT)
    hidden_dim: int = option("channels of the model, a multiple of 8", 64, COUNT)
    num_layers: int = option("blocks of the model", 2, COUNT)
    num_heads: int = option("heads of the start program: 1, 2, 4 or 8", 8, COUNT)
    sequence_length: int = option("tokens in a sequence", 64, COUNT)
    batch_size: int = option("sequences in a batch", 16, COUNT)
    vocabulary_size: int = option("pieces of the vocabulary, which is trained", 512, COUNT)
    validation_sequences: int = option("sequences that the fitness is measured on", 256, COUNT)
    learning_rate: float = option("learning rate of Adam", 3e-3, POSITIVE)
    population: int = option("individuals in the population", 100, COUNT)
    tournament: int = option("individuals of which the best becomes a parent", 10, COUNT)
    hurdles: int = option("hurdles, at each of which half of the individuals end", 4, COUNT)
    max_parameters: int = option("weights beyond which a program is too large", 2_000_000, COUNT)
    max_seconds: float = option("seconds beyond which a program is too slow", 120.0, POSITIVE)
    wall_time: float = option(
        "seconds of training for each individual, in place of the work of --steps", 0.0
    )
    operations: str = option("primitives that mutations bring in, with commas; or all", "all")
    seed: int = option("seed of weights, data and mutations", 0, SEED)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check_value(field, getattr(self, field.name), field.name)
        if not 2 <= self.tournament <= self.population:
            raise UserError(
                f"tournament must be from 2 to the population, {self.population}; received "
                f"{self.tournament}."
            )
        if self.hidden_dim % 8:
            raise UserError(f"hidden_dim must be a multiple of 8; received {self.hidden_dim}.")
        if self.num_heads not in (1, 2, 4, 8):
            raise UserError(f"num_heads must be 1, 2, 4 or 8; received {self.num_heads}.")
        unknown = [name for name in self.operation_names() if name not in PRIMITIVES]
        if unknown:
            raise UserError(
                f"Unknown primitive {unknown[0]!r}. Known ones: {', '.join(PRIMITIVES)}."
            )

    def operation_names(self) -> tuple[str, ...]:
        """Returns the primitives that mutations bring in."""
        return tuple(PRIMITIVES) if self.operations == "all" else tuple(self.operations.split(","))

    def start(self) -> Program:
        """Returns the program that the search starts from, a Transformer."""
        head_dim = self.hidden_dim // self.num_heads
        return transformer(self.num_heads, score_scale=head_dim**-0.5)

    def to_json(self) -> str:
        """Returns the configuration as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"


def read_config(directory: StrPath) -> SearchConfig:
    """Returns the configuration of the search in a folder.

    Args:
        directory: The folder.

    Raises:
        UserError: It holds no search, or `search.json` is damaged.
    """
    path = Path(directory) / FILE
    if not path.exists():
        raise UserError(f"There is no search in {directory}; start one with primer search.")
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return SearchConfig(**fields)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: {first_line(error)}") from error
