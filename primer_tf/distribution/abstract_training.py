"""A model and its optimizer as they are on a mesh of devices, without any values."""

import math
import re
from dataclasses import dataclass

import keras

from primer_tf._compat import set_variable_layout, variable_layout
from primer_tf.distribution.checked_model_parallel import check_division
from primer_tf.distribution.mesh_layouts import mesh_layouts
from primer_tf.distribution.mesh_shape import MeshShape
from primer_tf.errors import UserError
from primer_tf.losses import NextTokenLoss
from primer_tf.models import PrimerBackbone, PrimerCausalLM
from primer_tf.models.without_values import without_values
from primer_tf.optimizers import RsqrtSchedule, make_optimizer
from primer_tf.types import DType, StrPath


@dataclass(frozen=True)
class AbstractTraining:
    """A model that could be trained on a mesh.

    Attributes:
        model: A compiled `PrimerCausalLM` with a built optimizer, whose variables have no values.
            Each has the layout that it has on the mesh.
        mesh: The `MeshShape`.
        batches_per_step: Number of batches in a training step.
    """

    model: PrimerCausalLM
    mesh: MeshShape
    batches_per_step: int = 1

    def bytes_of(self, variables: list[keras.Variable]) -> int:
        """Returns the bytes that a device has of some variables."""
        sizes = {self.mesh.batch_axis: self.mesh.replicas, "model": self.mesh.model}
        total = 0
        for variable in variables:
            layout = variable_layout(variable)
            axes = [axis for axis in layout.axes if axis] if layout else []
            parts = math.prod(sizes[axis] for axis in axes)
            total += math.prod(variable.shape) * bytes_per_number(variable.dtype) // parts
        return total


def abstract_training(
    preset: StrPath,
    mesh: MeshShape,
    optimizer: str = "adafactor",
    gradient_accumulation_steps: int = 1,
    ema_momentum: float | None = None,
    gradient_checkpointing: bool = False,
    dtype: DType = "float32",
) -> AbstractTraining:
    """Returns a model as it is trained on a mesh, and makes no weight.

    Args:
        preset: Name or directory of a preset.
        mesh: The `MeshShape`.
        optimizer: Name of the optimizer; see `make_optimizer`.
        gradient_accumulation_steps: Number of batches whose gradients are added up. Defaults to 1.
        ema_momentum: Momentum of the moving average of the weights, if there is one.
        gradient_checkpointing: Whether activations are computed again. Defaults to `False`.
        dtype: Dtype policy. Defaults to `"float32"`.

    Returns:
        An `AbstractTraining`.

    Raises:
        UserError: The preset is unknown, the mesh does not divide a weight, or Keras' backend is
            not JAX.
    """
    # Other backends make values to build an optimizer.
    if keras.backend.backend() != "jax":
        raise UserError("A plan needs Keras on JAX; set KERAS_BACKEND=jax.")
    # Nothing is put on these devices, which need not exist.
    devices = [f"cpu:{index}" for index in range(mesh.devices)]
    layouts = mesh_layouts(mesh, devices)

    def build() -> PrimerCausalLM:
        backbone = PrimerBackbone.from_preset(
            preset,
            load_weights=False,
            dtype=dtype,
            gradient_checkpointing=gradient_checkpointing,
        )
        return PrimerCausalLM(backbone, compile=False)

    model = without_values(build)
    for weight in model.weights:
        layout = layouts[weight.path] if layouts is not None else None
        if layout is not None:
            check_division(weight, layout)
        set_variable_layout(weight, layout)
    weights = model.trainable_variables
    made = make_optimizer(
        optimizer,
        RsqrtSchedule(),
        weights,
        gradient_accumulation_steps=gradient_accumulation_steps,
        ema_momentum=ema_momentum,
    )
    without_values(lambda: made.build(weights))
    model.compile(optimizer=made, loss=NextTokenLoss(), weighted_metrics=None)
    model.optimizer.build(weights)  # of a `LossScaleOptimizer`, which Keras puts around it
    return AbstractTraining(model, mesh, gradient_accumulation_steps)


def bytes_per_number(dtype: str) -> int:
    """Returns the bytes of a number of a dtype with its bits in its name, such as `"bfloat16"`."""
    bits = re.search(r"\d+$", keras.backend.standardize_dtype(dtype))
    return int(bits[0]) // 8 if bits else 1
