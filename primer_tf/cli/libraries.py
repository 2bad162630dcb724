"""Other libraries: their log lines, and those of an extra that is not installed."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from primer_tf.errors import UserError
from primer_tf.installation import install_command

# Information and warnings in TensorFlow's two formats, and the errors by which it finds out that
# there is no driver of NVIDIA (303) or no device (100).
NO_ERRORS = re.compile(
    r"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d|"
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] |.*failed call to cuInit: .*\((100|303)\)"
)


@contextmanager
def library_logs(verbose: bool) -> Iterator[None]:
    """Chooses which log lines libraries write in the block: only errors, or all.

    The environment variable TF_CPP_MIN_LOG_LEVEL, if set, decides first.

    Args:
        verbose: Whether to show more than errors.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "2")
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "0":
        yield
        return
    for name in ("absl", "datasets", "jax", "lm_eval", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    sys.meta_path.insert(0, _TensorFlowFinder)
    try:
        yield
    finally:
        sys.meta_path.remove(_TensorFlowFinder)


@contextmanager
def need(extra: str) -> Iterator[None]:
    """Says how to install an extra if the block imports a module that is missing.

    Args:
        extra: Name of the extra.

    Raises:
        UserError: A module is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        command = install_command(extra)
        raise UserError(f"{error.name} is not installed; run: {command}") from None


class _TensorFlowFinder:
    """Lets only errors through while TensorFlow is imported and finds its devices.

    TensorFlow's first lines come before it reads how much it is to write.
    """

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name == "tensorflow" else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with _errors_only():
                    execute(module)
                    module.config.list_physical_devices()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


@contextmanager
def _errors_only() -> Iterator[None]:
    """Holds back what the block writes to the standard error; then prints what is no noise."""
    with tempfile.TemporaryFile() as lines:
        kept = os.dup(2)
        os.dup2(lines.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            lines.seek(0)
            for line in lines.read().decode("utf-8", "replace").splitlines():
                if not NO_ERRORS.match(line):
                    print(line, file=sys.stderr)
