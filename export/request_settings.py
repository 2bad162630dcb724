"""The settings of a request: one value for each row, or one for all."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from primer_tf.export.checks import after, check, check_rows
from primer_tf.export.sampling import SamplingSettings
from primer_tf.types import Tensor


class Defaults(NamedTuple):
    """The settings of requests that give none.

    Attributes:
        max_new_tokens: Largest number of new tokens, -1 for as many as there is room for.
        temperature: Divisor of the logits, 0 for greedy.
        top_k: Number of most probable tokens to draw from, 0 for all.
        top_p: Probability of the tokens to draw from, 1 for all.
        repetition_penalty: Factor against tokens that the text has already, 1 for none.
        seed: Seed of what is drawn, -1 for a random one.
    """

    max_new_tokens: int = -1
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = -1

    def specs(self) -> list[tf.TensorSpec]:
        """Returns the specs of the inputs, each `[B]`."""
        integers = ("max_new_tokens", "top_k", "seed")
        return [
            tf.TensorSpec([None], tf.int32 if name in integers else tf.float32, name)
            for name in self._fields
        ]

    def tensors(self) -> "Defaults":
        """Returns the values as tensors `[1]`, which signatures keep as defaults of inputs."""
        pairs = zip(self, self.specs(), strict=True)
        return Defaults(*(tf.constant([value], spec.dtype) for value, spec in pairs))


# For each input, what must hold for its values, given the number of tokens, and how to say it.
RULES: dict[str, tuple[Callable[[Tensor, int], Tensor], str]] = {
    "temperature": (lambda x, size: tf.math.is_finite(x) & (x >= 0.0), "a number from 0 on"),
    "top_k": (lambda x, size: (x >= 0) & (x <= size), "from 0 to the {size} tokens there are"),
    "top_p": (lambda x, size: (x > 0.0) & (x <= 1.0), "above 0 and at most 1"),
    "repetition_penalty": (lambda x, size: tf.math.is_finite(x) & (x > 0.0), "a number above 0"),
    "seed": (lambda x, size: x >= -1, "a number from 0 on, or -1 for a random one"),
}


def for_each_row(name: str, values: Tensor, batch_size: Tensor) -> Tensor:
    """Returns a value for each row, of values that are one for each row or one for all."""
    count = tf.shape(values)[0]
    is_right = check(
        (count == batch_size) | (count == 1),
        lambda: tf.strings.format(
            f"{name} has {{}} rows for a batch of {{}}; give one for each, or one for all",
            (count, batch_size),
        ),
    )
    (values,) = after([is_right], values)
    return tf.repeat(values, tf.where(count == batch_size, 1, batch_size), axis=0)


def check_sampling(
    settings: Mapping[str, Tensor], batch_size: Tensor, vocabulary_size: int
) -> tuple[SamplingSettings, Tensor]:
    """Checks how tokens are to be chosen.

    Args:
        settings: The values of the fields of `SamplingSettings`, and `"seed"`, `[B]` or `[1]`.
        batch_size: The number of rows, `B`.
        vocabulary_size: Number of tokens, `V`.

    Returns:
        `(sampling, seeds)`: the `SamplingSettings`, and the seed of each row, `[B]`.
    """
    rows = {name: for_each_row(name, settings[name], batch_size) for name in RULES}
    checks = [
        check_rows(
            holds(rows[name], vocabulary_size),
            _message(name, rows[name], rule.format(size=vocabulary_size)),
        )
        for name, (holds, rule) in RULES.items()
    ]
    *sampling, seeds = after(checks, *(rows[name] for name in (*SamplingSettings._fields, "seed")))
    drawn = tf.random.uniform(tf.shape(seeds), maxval=tf.int32.max, dtype=tf.int32)
    return SamplingSettings(*sampling), tf.where(seeds == -1, drawn, seeds)


def check_new_tokens(max_new_tokens: Tensor, lengths: Tensor, max_length: int) -> Tensor:
    """Returns the largest number of new tokens of each row, `[B]`, after a check.

    Args:
        max_new_tokens: `[B]` or `[1]` integers, -1 for as many as there is room for.
        lengths: `[B]` integers, the lengths of the prompts.
        max_length: Largest number of tokens of prompt and completion.
    """
    new = for_each_row("max_new_tokens", max_new_tokens, tf.shape(lengths)[0])
    room = max_length - lengths
    is_right = check_rows(
        (new == -1) | ((new >= 1) & (new <= room)),
        lambda row: tf.strings.format(
            "max_new_tokens[{}] is {}, but must be from 1 to the {} tokens that the prompt leaves "
            "room for, or -1 for all of them",
            (row, new[row], room[row]),
        ),
    )
    (new,) = after([is_right], new)
    return tf.where(new == -1, room, new)


def _message(name: str, values: Tensor, rule: str) -> Callable[[Tensor], Tensor]:
    text = f"{name}[{{}}] is {{}}, but must be {rule}"
    return lambda row: tf.strings.format(text, (row, values[row]))
