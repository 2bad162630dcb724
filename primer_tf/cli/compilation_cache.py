"""What XLA compiled in earlier runs, which a run loads instead of compiling it again."""

import contextlib
import hashlib
import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

# Bytes of the files, and of room on the disk: TensorFlow ends with an error if it cannot write.
LARGEST = LEAST_FREE = 2**28
TENSORFLOW_FLAG = "--tf_xla_persistent_cache_directory"
# Devices of GPUs and TPUs.
ACCELERATORS = ("nvidia[0-9]*", "kfd", "accel*", "vfio/*")


def use_compilation_cache() -> None:
    """Has TensorFlow and JAX keep what XLA compiles, if they are not imported yet.

    The environment variable PRIMER_TF_CACHE names the folder; if it is empty, nothing is kept. It
    is `~/.cache/primer_tf` by default on a machine without accelerators. With them nothing is kept
    by default, because XLA logs errors that are none when it loads code for a CPU. They are hidden,
    and others with them, such as those of a driver. Variables by which the user gives TensorFlow or
    JAX a folder of their own come first.
    """
    given = os.environ.get("PRIMER_TF_CACHE")
    if given == "" or (given is None and _has_accelerator()):
        return
    # Without a folder, only the start takes longer.
    with contextlib.suppress(OSError, RuntimeError):
        home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "primer_tf"
        folder = Path(given or home).absolute() / _machine()
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < LEAST_FREE:
            return
        _tidy(folder)
        if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "2":  # Errors and more.
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        flags = os.environ.get("TF_XLA_FLAGS", "")
        # TensorFlow separates its flags at spaces.
        if TENSORFLOW_FLAG not in flags and len(str(folder).split()) == 1:
            os.environ["TF_XLA_FLAGS"] = f"{flags} {TENSORFLOW_FLAG}={folder}".strip()


def _has_accelerator() -> bool:
    return any(any(Path("/dev").glob(pattern)) for pattern in ACCELERATORS)


def _machine() -> str:
    """Returns a name for all that code is compiled for: it may not run on another processor."""
    processor = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line for line in lines if line.startswith("flags")), processor)
    versions = [metadata.version(name) for name in ("tensorflow", "keras")]
    facts = [processor, str(os.cpu_count()), os.environ.get("XLA_FLAGS", ""), *versions]
    return hashlib.sha256(" ".join(facts).encode()).hexdigest()[:16]


def _tidy(folder: Path) -> None:
    """Removes the oldest files beyond the largest size, and what TensorFlow could not read."""
    size = 0
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True):
        size += path.stat().st_size
        if size > LARGEST or (path.suffix == ".pb" and not _is_whole(path)):
            path.unlink()


def _is_whole(path: Path) -> bool:
    """Returns whether a file holds a message of Protocol Buffers, whatever its fields are."""
    from google.protobuf.empty_pb2 import Empty
    from google.protobuf.message import DecodeError

    try:
        Empty().ParseFromString(content := path.read_bytes())
    except DecodeError:
        return False
    return len(content) > 0
