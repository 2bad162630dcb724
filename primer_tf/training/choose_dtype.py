"""The dtype policy that suits the device."""

from collections.abc import Callable
from pathlib import Path

import keras

# Extensions of x86 processors with products of bfloat16.
BFLOAT16_PRODUCTS = {"avx512_bf16", "amx_bf16"}
PROCESSOR = Path("/proc/cpuinfo")
# NVIDIA's Ampere, the first with them.
COMPUTE_CAPABILITY = (8, 0)


def choose_dtype(dtype: str, report: Callable[[str], object]) -> str:
    """Returns the dtype policy of a run, which `"auto"` leaves to the device.

    With products of bfloat16 a training step on a CPU takes 0.6 (35M parameters) to 0.75 (the
    demo's) of its time in float32, and on a GPU 0.6; after as many steps the loss is the same
    (docs/performance.md). Without them bfloat16 is slower, and so it is with XLA on
    CPUs, and thus on JAX. Weights and the state of the optimizer are in float32 either way.

    Args:
        dtype: The name of a policy, or `"auto"`.
        report: A function that is told the choice.
    """
    if dtype != "auto":
        return dtype
    accelerated = _accelerator_has_bfloat16_products()
    if accelerated is None:
        on_tensorflow = keras.backend.backend() == "tensorflow"
        accelerated = on_tensorflow and has_bfloat16_products()
    if accelerated:
        report("mixed_bfloat16, faster on this device; --dtype float32 turns it off")
        return "mixed_bfloat16"
    report("float32: this device or backend does not multiply bfloat16 faster")
    return "float32"


def has_bfloat16_products() -> bool:
    """Returns whether the processor of this machine multiplies bfloat16; false if unknown."""
    try:
        lines = PROCESSOR.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not BFLOAT16_PRODUCTS.isdisjoint(flags.split())


def _accelerator_has_bfloat16_products() -> bool | None:
    """Returns whether the backend's accelerator multiplies bfloat16, `None` if there is none."""
    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0]
        if device.platform == "cpu":
            return None
        if "NVIDIA" not in device.device_kind:  # Of other GPUs it is not known.
            return device.platform == "tpu"
        return tuple(map(int, device.compute_capability.split("."))) >= COMPUTE_CAPABILITY
    if keras.backend.backend() == "torch":
        import torch

        if not torch.cuda.is_available():
            return None
        return torch.cuda.get_device_capability() >= COMPUTE_CAPABILITY
    import tensorflow as tf

    if tf.config.list_physical_devices("TPU"):
        return True
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    details = tf.config.experimental.get_device_details(gpus[0])
    return details.get("compute_capability", (0, 0)) >= COMPUTE_CAPABILITY
