"""What the layers of a decoder share in one call, beside the hidden states."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class DecoderContext:
    """Position biases, masks and decoding state, passed as one object through a decoder.

    Layers that stand alone take the same things as plain keyword arguments, since a Functional
    model tracks only tensors that are arguments of a call.

    Attributes:
        position_biases: Dict from a number of heads to a bias: `[H, R]`, one bias for each distance
            from query to key, or a whole matrix `[H, T, S]`.
        padding_mask: `[B, T]`, true at real tokens, or `None`.
        segment_ids: `[B, T]` integers, for packed sequences, or `None`.
        cache: What the layer's `build_cache` or its last call returned, or `None`.
        cache_update_index: Position of the first token of `x` when there is a cache; an integer or
            a scalar tensor.
        decoding_weights: What the layer's `decoding_weights` returned, or `None`.
    """

    position_biases: Mapping[int, Any] = dataclasses.field(default_factory=dict)
    padding_mask: Any = None
    segment_ids: Any = None
    cache: Any = None
    cache_update_index: Any = 0
    decoding_weights: Any = None

    def for_child(self, index: int) -> DecoderContext:
        """Returns the context of one of several layers, whose caches and weights are a tuple."""

        def entry(values):
            return None if values is None else values[index]

        return dataclasses.replace(
            self, cache=entry(self.cache), decoding_weights=entry(self.decoding_weights)
        )
