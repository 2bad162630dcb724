"""Errors as the user sees them: one line each."""

from argparse import Namespace

from primer_tf.errors import UserError, first_line


def explain(error: BaseException) -> str:
    """Returns what to tell the user about an exception."""
    if isinstance(error, UserError):
        return f"error: {error}"
    if isinstance(error, OSError):
        if not error.strerror:
            return f"error: {error}"
        where = f" ({error.filename})" if error.filename else ""
        return f"error: {error.strerror}{where}; check the path, its permissions and the free space"
    # TensorFlow's own error, by its name: TensorFlow is not imported only to print an error.
    if isinstance(error, MemoryError) or type(error).__name__ == "ResourceExhaustedError":
        return "error: not enough memory; reduce the batch size, the sequence length or the model"
    return (
        f"internal error: {type(error).__name__}: {first_line(error)}; please report it with the "
        "traceback that PRIMER_TF_TRACEBACK=1 shows"
    )


def check_text(arguments: Namespace) -> None:
    """Checks that every argument is text.

    Python passes on bytes that are not text in the terminal's encoding as lone surrogates.

    Args:
        arguments: The parsed arguments.

    Raises:
        UserError: An argument is not text, or has a null character.
    """
    for name, value in vars(arguments).items():
        for word in value if isinstance(value, list) else [value]:
            if isinstance(word, str):
                try:
                    word.encode("utf-8")
                except UnicodeEncodeError:
                    raise UserError(f"{name} is not UTF-8 text: {ascii(word)}.") from None
                if "\0" in word:
                    raise UserError(f"{name} has a null character: {ascii(word)}.")
