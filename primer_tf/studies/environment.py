"""Where something was measured."""

import os
import platform
from importlib import metadata
from pathlib import Path

import primer_tf

LIBRARIES = ("tensorflow", "keras", "keras-hub", "numpy")


def environment() -> dict[str, str]:
    """Returns the versions, the Keras backend and the machine, by name."""
    import keras

    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "primer_tf": primer_tf.__version__,
        "python": platform.python_version(),
        **versions,
        "backend": keras.backend.backend(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line)
    return next(names, platform.processor())
