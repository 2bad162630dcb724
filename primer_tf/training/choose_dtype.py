"""The dtype policy that suits the processor."""

from collections.abc import Callable
from pathlib import Path

import keras

# Extensions of x86 processors with products of bfloat16.
BFLOAT16_PRODUCTS = {"avx512_bf16", "amx_bf16"}
PROCESSOR = Path("/proc/cpuinfo")


def choose_dtype(dtype: str, report: Callable[[str], object]) -> str:
    """Returns the dtype policy of a run, which `"auto"` leaves to the processor.

    With products of bfloat16 a training step of 35M parameters took 0.6 of its time in float32 on
    TensorFlow. Without them, bfloat16 is slower than float32, and so it is on JAX's CPU backend as
    far as is known. Weights and the state of the optimizer are in float32 either way.

    Args:
        dtype: The name of a policy, or `"auto"`.
        report: A function that is told the choice.
    """
    if dtype != "auto":
        return dtype
    if keras.backend.backend() == "tensorflow" and has_bfloat16_products():
        report("mixed_bfloat16, which this processor multiplies; --dtype float32 for float32")
        return "mixed_bfloat16"
    report("float32: this processor or backend does not multiply bfloat16 faster")
    return "float32"


def has_bfloat16_products() -> bool:
    """Returns whether the processor of this machine multiplies bfloat16; false if unknown."""
    try:
        lines = PROCESSOR.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not BFLOAT16_PRODUCTS.isdisjoint(flags.split())
