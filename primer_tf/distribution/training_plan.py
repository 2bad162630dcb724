"""What training on a mesh of devices takes: memory, arithmetic and time."""

import math
from dataclasses import dataclass

from primer_tf.distribution.abstract_training import AbstractTraining, bytes_per_number
from primer_tf.distribution.accelerators import GIB, Accelerator
from primer_tf.errors import UserError
from primer_tf.gin_config.presets import format_table
from primer_tf.layers.replicas import check_batch_size
from primer_tf.losses.linear_cross_entropy import CHUNK_ELEMENTS
from primer_tf.models.cost import model_cost

# A chunk of the loss has its logits, their exponentials and the logits' gradients at a time.
ARRAYS_OF_A_CHUNK = 3


@dataclass(frozen=True)
class TrainingPlan:
    """What training takes.

    Activations are those that the layers keep between the forward pass and the gradients. What a
    compiler keeps beside them, or saves, is not known: expect its memory to differ by a quarter.
    Communication between devices is in the utilisation.

    Attributes:
        parameters: Number of weights.
        devices: Number of devices.
        weights: Bytes of weights on a device.
        optimizer: Bytes of the optimizer's variables on a device.
        gradients: Bytes of gradients on a device.
        activations: Bytes of activations on a device, those of the loss included.
        tokens_per_step: Tokens of all devices in a training step.
        flops_per_step: FLOPs of all devices in a training step.
        steps: Training steps.
        seconds_per_step: Seconds of a training step.
    """

    parameters: int
    devices: int
    weights: int
    optimizer: int
    gradients: int
    activations: int
    tokens_per_step: int
    flops_per_step: float
    steps: int
    seconds_per_step: float

    @property
    def memory(self) -> int:
        """Bytes on a device, all together."""
        return self.weights + self.optimizer + self.gradients + self.activations

    def describe(self, accelerator: Accelerator) -> str:
        """Returns the plan as lines of text.

        Args:
            accelerator: The `Accelerator`.
        """
        parts = ("weights", "optimizer", "gradients", "activations")
        rows = [("memory of a device", "GiB")]
        rows += [(part, f"{getattr(self, part) / GIB:.3g}") for part in parts]
        rows += [("all", f"{self.memory / GIB:.3g}")]
        rows += [("it has", f"{accelerator.memory / GIB:.3g}")]
        hours = self.steps * self.seconds_per_step / 3600
        lines = [
            format_table(rows),
            f"step: {self.tokens_per_step:,} tokens, {self.flops_per_step:.3g} FLOPs, "
            f"{self.seconds_per_step:.3g} s",
            f"run: {self.steps:,} steps, {hours:,.1f} hours, {hours * self.devices:,.1f} hours of "
            "one device",
        ]
        if self.memory > accelerator.memory:
            lines.append(
                "It does not fit: take more devices along fsdp or model, a smaller batch with more "
                "gradient_accumulation_steps, or gradient_checkpointing."
            )
        return "\n".join(lines)


def plan_training(
    training: AbstractTraining,
    accelerator: Accelerator,
    tokens: int,
    batch_size: int,
    sequence_length: int,
    utilization: float,
) -> TrainingPlan:
    """Returns what it takes to train a model on a mesh.

    Args:
        training: The model on the mesh; see `abstract_training`.
        accelerator: The `Accelerator` that each device is.
        tokens: Tokens to train on.
        batch_size: Sequences in a batch, on all devices together.
        sequence_length: Tokens in a sequence.
        utilization: Share of the peak arithmetic that is reached, above 0. In float32 the peak is
            half of that in bfloat16, as on NVIDIA's tensor cores.

    Returns:
        A `TrainingPlan`.

    Raises:
        UserError: The devices do not divide the batch, or sequences are longer than the model's.
    """
    model, mesh = training.model, training.mesh
    backbone = model.backbone
    check_batch_size(batch_size, mesh.replicas)
    if sequence_length > backbone.max_sequence_length:
        raise UserError(
            f"sequence_length {sequence_length} is beyond the preset's "
            f"{backbone.max_sequence_length} tokens."
        )
    cost = model_cost(backbone.arguments, sequence_length)
    number = bytes_per_number(backbone.compute_dtype)
    weights = training.bytes_of(backbone.weights)
    gradients = training.bytes_of(model.trainable_variables)
    optimizer = training.bytes_of(model.optimizer.variables)

    tokens_of_device = batch_size // mesh.replicas * sequence_length
    split = cost.split_activation_values / mesh.model
    values = cost.activation_values - cost.split_activation_values + split
    chunk = min(CHUNK_ELEMENTS, tokens_of_device * backbone.vocabulary_size)
    activations = tokens_of_device * values * number + ARRAYS_OF_A_CHUNK * 4 * chunk / mesh.model

    tokens_per_step = training.batches_per_step * batch_size * sequence_length
    flops = cost.train_flops * tokens_per_step
    peak = accelerator.flops * (0.5 if number > 2 else 1.0)
    # Weights, gradients and the optimizer's variables are read and written once for an update.
    update = 2 * (weights + gradients + optimizer) / accelerator.bandwidth
    return TrainingPlan(
        parameters=backbone.count_params(),
        devices=mesh.devices,
        weights=weights,
        optimizer=optimizer,
        gradients=gradients,
        activations=round(activations),
        tokens_per_step=tokens_per_step,
        flops_per_step=flops,
        steps=math.ceil(tokens / tokens_per_step),
        seconds_per_step=flops / (mesh.devices * peak * utilization) + update,
    )
