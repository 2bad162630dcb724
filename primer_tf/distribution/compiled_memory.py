"""A training step compiled ahead of time on JAX, and the memory that XLA gives it."""

from dataclasses import dataclass
from typing import Any

import jax
import keras
import numpy as np

from primer_tf._compat import variable_layout
from primer_tf.distribution.abstract_training import AbstractTraining
from primer_tf.distribution.make_distribution import make_distribution


@dataclass(frozen=True)
class CompiledMemory:
    """Bytes of one device, as `jax.stages.Compiled.memory_analysis` counts them.

    Attributes:
        arguments: The weights, the optimizer's variables and the batch. A step overwrites the first
            two.
        temporaries: All else: gradients, activations, and what the compiler copies.
        outputs: What a step returns in memory of its own.
    """

    arguments: int
    temporaries: int
    outputs: int

    @property
    def peak(self) -> int:
        """Bytes in all."""
        return self.arguments + self.temporaries + self.outputs


def compiled_memory(
    training: AbstractTraining, batch_size: int, sequence_length: int
) -> CompiledMemory:
    """Returns the memory of a training step, without making a weight; see `compiled_step`."""
    analysis: Any = compiled_step(training, batch_size, sequence_length).memory_analysis()
    return CompiledMemory(
        arguments=analysis.argument_size_in_bytes,
        temporaries=analysis.temp_size_in_bytes,
        outputs=analysis.output_size_in_bytes - analysis.alias_size_in_bytes,
    )


def compiled_step(
    training: AbstractTraining, batch_size: int, sequence_length: int
) -> jax.stages.Compiled:
    """Compiles a training step for the devices that JAX sees, without making a weight.

    Args:
        training: The model on a mesh; see `abstract_training`.
        batch_size: Sequences in a batch, on all devices together.
        sequence_length: Tokens in a sequence.

    Returns:
        The step as Keras' `fit` compiles it.

    Raises:
        UserError: Keras' backend is not JAX, or there are not as many devices.
    """
    distribution = make_distribution(training.mesh)
    model = training.model

    def abstract(variable: keras.Variable) -> jax.ShapeDtypeStruct:
        layout = variable_layout(variable)
        axes = layout.axes if layout else [None] * len(variable.shape)
        sharding = keras.distribution.TensorLayout(axes, distribution.device_mesh).backend_layout
        dtype = keras.backend.standardize_dtype(variable.dtype)
        return jax.ShapeDtypeStruct(variable.shape, jax.numpy.dtype(dtype), sharding=sharding)

    def array(dtype: str) -> jax.ShapeDtypeStruct:
        shape = (batch_size, sequence_length)
        sharding = distribution.get_data_layout(shape).backend_layout
        return jax.ShapeDtypeStruct(shape, np.dtype(dtype), sharding=sharding)

    with distribution.scope():
        state = tuple(
            [abstract(variable) for variable in variables]
            for variables in (
                model.trainable_variables,
                model.non_trainable_variables,
                model.optimizer.variables,
                model.metrics_variables,
            )
        )
        inputs = {"token_ids": array("int32"), "padding_mask": array("int32")}
        data = (inputs, array("int32"), array("float32"))
        shardings = jax.tree.map(lambda leaf: leaf.sharding, state)
        step: Any = jax.jit(model.train_step, donate_argnums=0, out_shardings=(None, shardings))
        return step.lower(state, data).compile()
