"""KerasHub's decoder layers with convolutions, and with an activation of one's choice."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import keras_hub
from keras import ops

from primer_tf._compat import (
    GemmaDecoderBlock,
    LlamaTransformerDecoder,
    MistralTransformerDecoder,
    open_for_weights,
)
from primer_tf.drop_in.cached_attention import (
    CachedConvolvedAttention,
    CachedMultiHeadAttention,
    ConvolvedGemmaAttention,
    ConvolvedLlamaAttention,
    ConvolvedMistralAttention,
)
from primer_tf.drop_in.convolved_projections import check_kernel_size
from primer_tf.layers import activations
from primer_tf.types import Activation, Config, Initializer, Shape, Tensor

if TYPE_CHECKING:
    # Type checkers see what the mixin finds in the class that it is mixed into.
    from keras.layers import Layer as LayerBase
else:
    LayerBase = object


class ConvolvedDecoder(LayerBase):
    """A mixin for a decoder layer of KerasHub that holds its attention in an attribute.

    KerasHub's layers and backbones choose the classes of their parts themselves. The parts get
    their new classes once they are built; weights and their names stay.
    """

    attention_attribute: ClassVar[str] = "_self_attention_layer"
    attention_class: ClassVar[type[CachedConvolvedAttention]]
    # What `activation=None` stands for where KerasHub's layer has no such argument.
    own_activation: ClassVar[Activation | None] = None

    def __init__(self, *args: Any, kernel_size: int = 3, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kernel_size = check_kernel_size(kernel_size)

    def build(self, *args: Any, **kwargs: Any) -> None:
        """Creates KerasHub's weights and the convolutions."""
        super().build(*args, **kwargs)
        self._convolve_attention()

    @classmethod
    def convert(
        cls, layer: keras.layers.Layer, kernel_size: int, activation: Activation | None
    ) -> None:
        """Turns a built layer of KerasHub into one of this class.

        Args:
            layer: The layer.
            kernel_size: Number of positions that an output of a convolution depends on, at least 1.
            activation: Activation of the feed-forward network; `None` keeps the layer's own.
        """
        layer.__class__ = cls
        layer.kernel_size = kernel_size
        layer._convolve_attention()
        activation = cls.own_activation if activation is None else activation
        if activation is not None:
            layer._set_activation(activations.get(activation))

    def _convolve_attention(self) -> None:
        attention = getattr(self, self.attention_attribute)
        attention.__class__ = self.attention_class
        with open_for_weights(attention):
            attention.add_convolutions(self.kernel_size)

    def convolutions(self) -> list[keras.layers.Layer]:
        """Returns the convolutions of queries, keys and values."""
        return list(getattr(self, self.attention_attribute).convolutions().values())

    def _set_activation(self, activation: Callable[[Tensor], Tensor]) -> None:
        self.activation = activation

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {**super().get_config(), "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable(package="primer_tf")
class TransformerDecoder(ConvolvedDecoder, keras_hub.layers.TransformerDecoder):
    """`keras_hub.layers.TransformerDecoder` as Primer-EZ has it.

    Its self-attention has convolutions (section 4.1 "MDHA"), its feed-forward network squared ReLU.
    Cross-attention, where there is an encoder sequence, is KerasHub's.

    A call with `self_attention_cache` returns a wider cache, as
    `primer_tf.drop_in.CachedMultiHeadAttention` does.

    Args:
        intermediate_dim: Hidden size of the feed-forward network.
        num_heads: Number of attention heads.
        dropout: Dropout rate of attention and feed-forward network. Defaults to 0.
        activation: Activation of the feed-forward network. Defaults to `"squared_relu"`.
        layer_norm_epsilon: Epsilon of the layer normalizations. Defaults to 1e-5.
        kernel_initializer: Initializer of the kernels of dense and attention layers. Defaults to
            `"glorot_uniform"`.
        bias_initializer: Initializer of their biases. Defaults to `"zeros"`.
        normalize_first: Whether to normalize the inputs of attention and feed-forward network
            instead of the sums after them. Defaults to `False`.
        kernel_size: Number of positions that an output of a convolution depends on, at least 1.
            Defaults to 3.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        UserError: `kernel_size` is below 1.

    Example:

    >>> import numpy as np
    >>> from primer_tf.drop_in import TransformerDecoder
    >>> layer = TransformerDecoder(intermediate_dim=16, num_heads=2, normalize_first=True)
    >>> tuple(layer(np.ones((1, 5, 8), "float32")).shape)
    (1, 5, 8)
    """

    attention_class = CachedMultiHeadAttention

    def __init__(
        self,
        intermediate_dim: int,
        num_heads: int,
        dropout: float = 0,
        activation: Activation = "squared_relu",
        layer_norm_epsilon: float = 1e-5,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        normalize_first: bool = False,
        kernel_size: int = 3,
        **kwargs: Any,
    ) -> None:
        # KerasHub's constructor would build the layer from these before it has its kernel size.
        shapes = [kwargs.pop(f"{name}_sequence_shape", None) for name in ("decoder", "encoder")]
        super().__init__(
            intermediate_dim,
            num_heads,
            dropout=dropout,
            activation=activations.get(activation),
            layer_norm_epsilon=layer_norm_epsilon,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            normalize_first=normalize_first,
            kernel_size=kernel_size,
            **kwargs,
        )
        if shapes[0]:
            self.build(*shapes)

    def build(
        self, decoder_sequence_shape: Shape, encoder_sequence_shape: Shape | None = None
    ) -> None:
        """Creates KerasHub's weights and the convolutions."""
        super().build(decoder_sequence_shape, encoder_sequence_shape)

    def _set_activation(self, activation: Callable[[Tensor], Tensor]) -> None:
        self.activation = self._feedforward_intermediate_dense.activation = activation


@keras.saving.register_keras_serializable(package="primer_tf")
class ConvolvedLlamaDecoder(ConvolvedDecoder, LlamaTransformerDecoder):
    """The decoder layer of Llama with convolutions."""

    attention_class = ConvolvedLlamaAttention


@keras.saving.register_keras_serializable(package="primer_tf")
class ConvolvedMistralDecoder(ConvolvedDecoder, MistralTransformerDecoder):
    """The decoder layer of Mistral with convolutions."""

    attention_class = ConvolvedMistralAttention


@keras.saving.register_keras_serializable(package="primer_tf")
class ConvolvedGemmaDecoder(ConvolvedDecoder, GemmaDecoderBlock):
    """The decoder layer of Gemma with convolutions and an argument for its activation.

    Args:
        *args: Arguments of KerasHub's layer.
        activation: Activation of the gate. Defaults to Gemma's own, GELU.
        **kwargs: Arguments of KerasHub's layer, and `kernel_size`.
    """

    attention_attribute = "attention"
    attention_class = ConvolvedGemmaAttention
    own_activation = "gelu_tanh"

    def __init__(self, *args: Any, activation: Activation = "gelu_tanh", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.activation = activations.get(activation)

    def call(
        self,
        x: Tensor,
        padding_mask: Tensor | None = None,
        cache: Tensor | None = None,
        cache_update_index: int | Tensor = 0,
    ) -> Any:
        """Computes what KerasHub's layer computes, whose call names GELU."""
        y = self.pre_attention_norm(x)
        mask = self._compute_attention_mask(y, padding_mask, cache, cache_update_index)
        y = self.attention(
            y, attention_mask=mask, cache=cache, cache_update_index=cache_update_index
        )
        if cache is not None:
            y, cache = y
        if self.use_post_attention_norm:
            y = self.post_attention_norm(y)
        if self.dropout:
            y = self.attention_dropout(y)
        x = x + y
        y = self.pre_ffw_norm(x)
        y = ops.multiply(self.activation(self.gating_ffw(y)), self.gating_ffw_2(y))
        y = self.ffw_linear(y)
        if self.use_post_ffw_norm:
            y = self.post_ffw_norm(y)
        return x + y if cache is None else (x + y, cache)

    def get_config(self) -> Config:
        """Returns the constructor arguments."""
        return {**super().get_config(), "activation": activations.serialize(self.activation)}
