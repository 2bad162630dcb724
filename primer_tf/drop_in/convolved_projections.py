"""Attention layers of others, with a convolution after each projection."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import keras
from keras import ops

from primer_tf.errors import UserError
from primer_tf.layers.causal_depthwise_conv_1d import CausalDepthwiseConv1D
from primer_tf.types import Config, Shape, Tensor

if TYPE_CHECKING:
    # Type checkers see what the mixin finds in the class that it is mixed into.
    from keras.layers import Layer as LayerBase
else:
    LayerBase = object


class ConvolvedProjections(LayerBase):
    """A mixin that convolves the projected queries, keys and values of an attention layer.

    The layer's `call` stays in charge. It runs on a copy of the layer that differs in one thing:
    each projection is followed by its convolution. Rotary embeddings and everything else that the
    layer does to its queries and keys come after the convolution.
    """

    # Names of the layer's attributes.
    projections: ClassVar[dict[str, str]] = {
        "query": "_query_dense",
        "key": "_key_dense",
        "value": "_value_dense",
    }

    def add_convolutions(self, kernel_size: int) -> None:
        """Creates the convolutions, with the published initial values.

        Args:
            kernel_size: Number of positions that an output of a convolution depends on, at least 1.
        """
        self.kernel_size = kernel_size
        for role, attribute in self.projections.items():
            heads, head_dim = getattr(self, attribute).get_config()["output_shape"][-2:]
            convolution = CausalDepthwiseConv1D(
                kernel_size, name=f"{role}_convolution", dtype=self.dtype_policy
            )
            convolution.build((None, None, heads * head_dim))
            setattr(self, convolution.name, convolution)

    def convolutions(self) -> dict[str, CausalDepthwiseConv1D]:
        """Returns the convolutions of `"query"`, `"key"` and `"value"`."""
        return {role: getattr(self, f"{role}_convolution") for role in self.projections}

    def with_convolutions(self, convolve: Callable[[str, Tensor], Tensor]) -> Any:
        """Returns a copy of the layer whose projections are followed by a function.

        The copy has the weights of the layer. It serves one call, so calls in several threads do
        not meet.

        Args:
            convolve: Maps `"query"`, `"key"` or `"value"` and its projection `[B, T, H, D]` to what
                attention takes instead.
        """
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        for role, attribute in self.projections.items():
            copy.__dict__[attribute] = _Chain(getattr(self, attribute), role, convolve)
        return copy

    def convolve(
        self, role: str, x: Tensor, mask: Tensor | None = None, history: Tensor | None = None
    ) -> Tensor:
        """Convolves a projection over its positions, every channel of every head by itself.

        Args:
            role: `"query"`, `"key"` or `"value"`.
            x: `[B, T, H, D]`, the projection.
            mask: `[B, T]`, false at padding, which counts as zeros. Defaults to no padding.
            history: `[B, kernel_size - 1, H * D]`, the projections just before. Defaults to zeros.
        """
        if mask is not None:
            x = ops.where(mask[:, :, None, None], x, ops.zeros_like(x))
        batch, length, heads, head_dim = ops.shape(x)
        flat = ops.reshape(x, (batch, length, heads * head_dim))
        return ops.reshape(self.convolutions()[role](flat, history=history), ops.shape(x))


class ConvolvedKerasAttention(ConvolvedProjections):
    """A mixin for subclasses of `keras.layers.MultiHeadAttention` and `GroupQueryAttention`.

    Args:
        *args: Arguments of Keras' layer.
        kernel_size: Number of positions that an output of a convolution depends on, at least 1.
            Defaults to 3.
        **kwargs: Arguments of Keras' layer.

    Raises:
        UserError: `kernel_size` is below 1, or an input has more than one axis of positions.
    """

    def __init__(self, *args: Any, kernel_size: int = 3, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kernel_size = check_kernel_size(kernel_size)

    def build(self, query_shape: Shape, value_shape: Shape, key_shape: Shape | None = None) -> None:
        """Creates Keras' weights and the convolutions."""
        if len(query_shape) != 3 or len(value_shape) != 3:
            raise UserError(
                f"{type(self).__name__} convolves over one axis of positions and takes inputs "
                f"[batch, time, channels]; received shapes {query_shape} and {value_shape}."
            )
        super().build(query_shape, value_shape, key_shape)
        self.add_convolutions(self.kernel_size)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {**super().get_config(), "kernel_size": self.kernel_size}


class _Chain:
    """A projection and the function after it."""

    def __init__(
        self, projection: keras.layers.Layer, role: str, convolve: Callable[[str, Tensor], Tensor]
    ) -> None:
        self.projection, self.role, self.convolve = projection, role, convolve

    def __call__(self, x: Tensor) -> Tensor:
        return self.convolve(self.role, self.projection(x))


def check_kernel_size(kernel_size: Any) -> int:
    """Returns `kernel_size`.

    Raises:
        UserError: It is no integer of at least 1.
    """
    if not isinstance(kernel_size, int) or isinstance(kernel_size, bool) or kernel_size < 1:
        raise UserError(
            f"`kernel_size` must be an integer of at least 1; received {kernel_size!r}."
        )
    return kernel_size
