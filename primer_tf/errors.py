"""The error whose message is meant for the user."""

from contextlib import contextmanager


class UserError(ValueError):
    """Something the user can put right; the message is one line that says what and how."""


@contextmanager
def preset_errors(preset):
    """Raises whatever goes wrong in the block, which loads a preset, as a `UserError`.

    Args:
        preset: Its name or directory, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a damaged file fails in any way it likes
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"Cannot load preset {str(preset)!r}: {reason}") from error
