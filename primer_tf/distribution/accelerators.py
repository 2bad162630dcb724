"""Named accelerators and what their vendors promise.

Importing this module imports neither TensorFlow nor Keras.
"""

from dataclasses import dataclass

GIB = 2**30


@dataclass(frozen=True)
class Accelerator:
    """A device for training.

    Attributes:
        flops: Peak of dense bfloat16 products, in FLOP/s.
        memory: Bytes.
        bandwidth: Bytes a second between memory and chip.
    """

    flops: float
    memory: float
    bandwidth: float


ACCELERATORS = {
    # cloud.google.com/tpu/docs/v4, /v5e, /v5p and /v6e, "System architecture": of one chip.
    "tpu-v4": Accelerator(275e12, 32 * GIB, 1228e9),
    "tpu-v5e": Accelerator(197e12, 16 * GIB, 819e9),
    "tpu-v5p": Accelerator(459e12, 95 * GIB, 2765e9),
    "tpu-v6e": Accelerator(918e12, 32 * GIB, 1640e9),
    # NVIDIA A100 data sheet (2021): A100 40GB and A100 80GB, SXM.
    "a100-40gb": Accelerator(312e12, 40e9, 1555e9),
    "a100": Accelerator(312e12, 80e9, 2039e9),
    # NVIDIA H100 and H200 data sheets: SXM; half of the figures, which are with sparsity.
    "h100": Accelerator(989.5e12, 80e9, 3350e9),
    "h200": Accelerator(989.5e12, 141e9, 4800e9),
    # NVIDIA L4 data sheet; half of the figure, which is with sparsity.
    "l4": Accelerator(121e12, 24e9, 300e9),
}
