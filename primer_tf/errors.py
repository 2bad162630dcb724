"""The error whose message is meant for the user."""

from contextlib import contextmanager


class UserError(ValueError):
    """Something the user can put right; the message is one line that says what and how."""


@contextmanager
def errors_of(action):
    """Raises whatever goes wrong in the block as a `UserError`: "Cannot ACTION: reason".

    For code that reads what a user gives and may fail in any way it likes, such as a library on a
    damaged file.

    Args:
        action: What the block does, a verb first, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"Cannot {action}: {first_line(error)}") from error


def preset_errors(preset):
    """Returns `errors_of` loading a preset; `preset` is its name or directory."""
    return errors_of(f"load preset {str(preset)!r}")


def first_line(error):
    """Returns the first line of an error's message, or the name of its type if it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
