"""The log lines of TensorFlow and other libraries."""

import logging
import os
import re
import sys
import tempfile

# Information and warnings in TensorFlow's two formats, and the errors by which it finds out that
# there is no driver of NVIDIA (303) or no device (100).
NO_ERRORS = re.compile(
    r"WARNING: All log messages before absl::InitializeLog|[IW]\d{4} \d\d:\d\d|"
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] |.*failed call to cuInit: .*\((100|303)\)"
)


def set_verbosity(verbose: bool) -> None:
    """Chooses which log lines TensorFlow writes; an environment variable of the user decides first.

    Args:
        verbose: Whether to show more than errors.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0" if verbose else "2")


def import_tensorflow() -> None:
    """Imports TensorFlow and finds its devices, without log lines unless the user wants them.

    Some lines come before TensorFlow reads how much to write, and go to the file descriptor.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL", "0") == "0" or "tensorflow" in sys.modules:
        return
    for name in ("absl", "jax", "tensorflow"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with tempfile.TemporaryFile() as lines:
        kept = os.dup(2)
        os.dup2(lines.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            lines.seek(0)
            for line in lines.read().decode("utf-8", "replace").splitlines():
                if not NO_ERRORS.match(line):
                    print(line, file=sys.stderr)
