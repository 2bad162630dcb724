"""Checks of a request's values, made inside the graph so that every client gets the same answer."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from primer_tf.types import Tensor


def check(is_right: Tensor, message: Callable[[], Tensor]) -> Tensor:
    """Raises `InvalidArgumentError` where the graph runs, unless a condition holds.

    Args:
        is_right: A boolean scalar.
        message: A function that returns the sentence, a string scalar. It runs only on failure.

    Returns:
        A tensor that what must come after the check depends on; see `after`.
    """

    def fail() -> Tensor:
        with tf.control_dependencies([tf.debugging.Assert(False, [message()], summarize=1)]):
            return tf.constant(False)

    return tf.cond(is_right, lambda: tf.constant(True), fail)


def check_rows(are_right: Tensor, message: Callable[[Tensor], Tensor]) -> Tensor:
    """Checks a condition on every row, and names the first row where it does not hold.

    Args:
        are_right: `[B]` booleans.
        message: A function from the number of the row to the sentence, a string scalar.

    Returns:
        As `check`.
    """
    first = tf.reduce_sum(tf.math.cumprod(tf.cast(are_right, tf.int32)))
    return check(tf.reduce_all(are_right), lambda: message(first))


def after(checks: Sequence[Tensor], *tensors: Tensor) -> tuple[Tensor, ...]:
    """Returns tensors whose values exist only if all checks succeeded."""
    with tf.control_dependencies(list(checks)):
        return tuple(tf.identity(tensor) for tensor in tensors)


def check_not_empty(name: str, values: Tensor) -> Tensor:
    """Checks that a batch has at least one row."""
    return check(tf.shape(values)[0] > 0, lambda: tf.constant(f"{name} is empty; give one or more"))


def check_texts(name: str, texts: Tensor, may_be_empty: bool = False) -> Tensor:
    """Checks that texts are UTF-8 without NUL, and that there are any.

    Args:
        name: The name of the input.
        texts: `[B]` strings.
        may_be_empty: Whether a text of length 0 is right. Defaults to `False`.

    Returns:
        The texts, `[B]`, after the checks.
    """
    # Whatever is no UTF-8 comes back as U+FFFD.
    as_unicode = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    checks = [
        check_not_empty(name, texts),
        check_rows(
            tf.equal(texts, as_unicode),
            lambda row: tf.strings.format(f"{name}[{{}}] is not UTF-8 text", row),
        ),
        check_rows(
            tf.strings.regex_full_match(as_unicode, r"[^\x00]*"),
            lambda row: tf.strings.format(f"{name}[{{}}] contains a NUL byte", row),
        ),
    ]
    if not may_be_empty:
        checks.append(
            check_rows(
                tf.strings.length(texts) > 0,
                lambda row: tf.strings.format(f"{name}[{{}}] is empty; give some text", row),
            )
        )
    (checked,) = after(checks, texts)
    return checked
