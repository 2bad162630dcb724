"""Where something was measured."""

import os
import platform
from importlib import metadata
from pathlib import Path

import primer_tf

LIBRARIES = ("keras", "keras-hub", "numpy")


def environment() -> dict[str, str]:
    """Returns the versions, the Keras backend and the machine, by name."""
    import keras

    backend = keras.backend.backend()
    accelerator = _accelerator(backend)
    return {
        "primer_tf": primer_tf.__version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in (backend, *LIBRARIES)},
        "backend": backend,
        **({"accelerator": accelerator} if accelerator else {}),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
    }


def _accelerator(backend: str) -> str | None:
    """Returns the kind of the first GPU or TPU that the backend computes on, if there is one."""
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        return None if device.platform == "cpu" else device.device_kind
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(devices[0])["device_name"] if devices else None


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line)
    return next(names, platform.processor())
