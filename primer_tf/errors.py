"""The error whose message is meant for the user, and what raises it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from primer_tf.types import StrPath


class UserError(ValueError):
    """What the user can correct; the message is one line that says what is wrong and what to do."""


@contextmanager
def errors_of(action: str) -> Iterator[None]:
    """Raises any error of the block as a `UserError`: "Cannot ACTION: reason".

    It is meant for code that reads what a user gives and may raise any error, such as a library
    that reads a damaged file.

    Args:
        action: What the block does, starting with a verb, for the message.

    Raises:
        UserError: The block raises an error.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"Cannot {action}: {first_line(error)}") from error


def preset_errors(preset: StrPath) -> AbstractContextManager[None]:
    """Returns `errors_of` for a block that loads a preset, given its name or directory."""
    return errors_of(f"load preset {str(preset)!r}")


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, or its type's name if the message is empty."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
