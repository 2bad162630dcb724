"""Errors with the canonical codes that TensorFlow, gRPC and TensorFlow Serving share."""

import enum
import re

import tensorflow as tf

from primer_tf.errors import first_line


class Code(enum.Enum):
    """A canonical code: its number, and the HTTP status that TensorFlow Serving gives it."""

    OK = (0, 200)
    CANCELLED = (1, 499)
    UNKNOWN = (2, 500)
    INVALID_ARGUMENT = (3, 400)
    DEADLINE_EXCEEDED = (4, 504)
    NOT_FOUND = (5, 404)
    ALREADY_EXISTS = (6, 409)
    PERMISSION_DENIED = (7, 403)
    RESOURCE_EXHAUSTED = (8, 429)
    FAILED_PRECONDITION = (9, 400)
    ABORTED = (10, 409)
    OUT_OF_RANGE = (11, 400)
    UNIMPLEMENTED = (12, 501)
    INTERNAL = (13, 500)
    UNAVAILABLE = (14, 503)
    DATA_LOSS = (15, 500)
    UNAUTHENTICATED = (16, 401)

    def __init__(self, number: int, http_status: int) -> None:
        self.number = number
        self.http_status = http_status


_BY_NUMBER = {code.number: code for code in Code}


class ServingError(Exception):
    """An answer that is an error.

    Args:
        code: The canonical code.
        message: What was wrong.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> ServingError:
    """Returns an error with the code `INVALID_ARGUMENT`."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def from_exception(error: BaseException) -> ServingError:
    """Returns what to answer when a request raised an error.

    Args:
        error: Any exception. TensorFlow's errors keep their codes.
    """
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return ServingError(
            _BY_NUMBER.get(error.error_code, Code.UNKNOWN), _sentence(error.message)
        )
    if isinstance(error, MemoryError):
        return ServingError(Code.RESOURCE_EXHAUSTED, "Not enough memory for this request.")
    return ServingError(Code.INTERNAL, f"{type(error).__name__}: {first_line(error)}")


# What TensorFlow writes around the reason: names of nodes, and where Python defined them.
_NODES = re.compile(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:\w*\]")
_HEADINGS = ("Graph execution error", "Detected at node", "<stack traces", "File ")


def _sentence(message: str | None) -> str:
    """Returns the reason in a message of TensorFlow as one line."""
    lines = (line.strip() for line in (message or "").splitlines())
    kept = (_NODES.sub("", line).strip() for line in lines if not line.startswith(_HEADINGS))
    text = "\n".join(line for line in kept if line) or "TensorFlow gave no reason."
    # The first value of an assertion is its message, which may have brackets of its own.
    assertion = re.search(r"assertion failed: \[(.*?)\](?: \[|$)", text, re.MULTILINE)
    return assertion[1] if assertion else text.replace("\n", " ")
