"""What the layers of a decoder share in one call, beside the hidden states."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from primer_tf.types import Cache, Tensor


@dataclasses.dataclass(frozen=True)
class DecoderContext:
    """Position biases, masks and decoding state, passed as one object through a decoder.

    Layers outside a decoder take the same values as keyword arguments, because a Functional model
    tracks only tensors that are arguments of a call.

    Attributes:
        position_biases: Position bias by number of heads: `[H, R]`, a bias for each distance from
            query to key, or `[H, T, S]`, a bias for each pair of positions.
        padding_mask: `[B, T]`, true at real tokens, or `None`.
        segment_ids: `[B, T]` integers that tell packed sequences apart, or `None`.
        cache: The cache that the layer's `build_cache` or last call returned, or `None`.
        cache_update_index: Position of the first token of `x` if there is a cache: an integer, a
            scalar tensor, or `[B]` if each row has a position of its own.
        decoding_weights: The weights that the layer's `decoding_weights` returned, or `None`.

    Example:

    >>> import numpy as np
    >>> from primer_tf.layers import CausalSelfAttention, DecoderContext
    >>> layer = CausalSelfAttention(num_heads=2)
    >>> context = DecoderContext(padding_mask=np.ones((2, 5), "bool"))
    >>> tuple(layer(np.ones((2, 5, 8), "float32"), context=context).shape)
    (2, 5, 8)
    """

    position_biases: Mapping[int | None, Tensor] = dataclasses.field(default_factory=dict)
    padding_mask: Tensor | None = None
    segment_ids: Tensor | None = None
    cache: Cache = None
    cache_update_index: int | Tensor = 0
    decoding_weights: Any = None

    def for_child(self, index: int) -> DecoderContext:
        """Returns the context of a layer whose cache and weights are entry `index` of a tuple."""

        def entry(values: Any) -> Any:
            return None if values is None else values[index]

        return dataclasses.replace(
            self, cache=entry(self.cache), decoding_weights=entry(self.decoding_weights)
        )
