"""Keras' attention layers with convolutions."""

from typing import Any

import keras
from keras import ops

from primer_tf.drop_in.convolved_projections import ConvolvedKerasAttention
from primer_tf.types import Tensor


class _KerasAttention(ConvolvedKerasAttention):
    """What Keras' two attention layers share: their call and their masks."""

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        query_mask: Tensor | None = None,
        value_mask: Tensor | None = None,
        key_mask: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
        use_causal_mask: bool = False,
    ) -> Any:
        """Attends as Keras' layer does, with convolved queries, keys and values."""
        masks = {
            "query": query_mask,
            "key": value_mask if key is None else key_mask,
            "value": value_mask,
        }
        masks = {role: m if m is None else ops.cast(m, "bool") for role, m in masks.items()}
        layer = self.with_convolutions(lambda role, x: self.convolve(role, x, masks[role]))
        return super(_KerasAttention, layer).call(
            query,
            value,
            key=key,
            query_mask=query_mask,
            value_mask=value_mask,
            key_mask=key_mask,
            attention_mask=attention_mask,
            return_attention_scores=return_attention_scores,
            training=training,
            use_causal_mask=use_causal_mask,
        )


@keras.saving.register_keras_serializable(package="primer_tf")
class MultiHeadAttention(_KerasAttention, keras.layers.MultiHeadAttention):
    """`keras.layers.MultiHeadAttention` with Primer's convolutions (section 4.1 "MDHA").

    A causal depthwise convolution over the positions follows the projection of queries, of keys and
    of values, with weights of its own for each channel of each head. The rest is Keras' layer: its
    arguments, its call, its weights and their names.

    Padding that a Keras mask marks, such as that of `Embedding(mask_zero=True)`, counts as zeros in
    the convolutions. `attention_mask` says which positions attend to which, and does not change
    what is convolved.

    Args:
        *args: Arguments of `keras.layers.MultiHeadAttention`.
        kernel_size: Number of positions that an output of a convolution depends on, at least 1.
            Defaults to 3.
        **kwargs: Arguments of `keras.layers.MultiHeadAttention`.

    Raises:
        UserError: `kernel_size` is below 1, or an input has more than one axis of positions.

    Example:

    >>> import numpy as np
    >>> from primer_tf.drop_in import MultiHeadAttention
    >>> layer = MultiHeadAttention(num_heads=2, key_dim=4, kernel_size=3)
    >>> x = np.ones((1, 5, 8), "float32")
    >>> tuple(layer(x, x, use_causal_mask=True).shape)
    (1, 5, 8)
    """


@keras.saving.register_keras_serializable(package="primer_tf")
class GroupQueryAttention(_KerasAttention, keras.layers.GroupQueryAttention):
    """`keras.layers.GroupQueryAttention` with Primer's convolutions (section 4.1 "MDHA").

    Keys and values are convolved before they are repeated for the query heads of their group.
    `primer_tf.drop_in.MultiHeadAttention` describes the convolutions and masks.

    Args:
        *args: Arguments of `keras.layers.GroupQueryAttention`.
        kernel_size: Number of positions that an output of a convolution depends on, at least 1.
            Defaults to 3.
        **kwargs: Arguments of `keras.layers.GroupQueryAttention`.

    Raises:
        UserError: `kernel_size` is below 1.

    Example:

    >>> import numpy as np
    >>> from primer_tf.drop_in import GroupQueryAttention
    >>> layer = GroupQueryAttention(head_dim=4, num_query_heads=4, num_key_value_heads=2)
    >>> x = np.ones((1, 5, 8), "float32")
    >>> tuple(layer(x, x, use_causal_mask=True).shape)
    (1, 5, 8)
    """
