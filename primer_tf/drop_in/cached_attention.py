"""KerasHub's attention layers, which keep a cache for decoding, with convolutions."""

from typing import Any, ClassVar

import keras
import keras_hub
from keras import ops

from primer_tf._compat import CachedGemmaAttention, CachedMistralAttention, LlamaAttention
from primer_tf.drop_in.convolved_projections import ConvolvedKerasAttention, ConvolvedProjections
from primer_tf.drop_in.decoding_cache import KEY_AND_VALUE, read_before, widen, write
from primer_tf.errors import UserError
from primer_tf.types import Tensor


class CachedConvolvedAttention(ConvolvedProjections):
    """A mixin for self-attention with KerasHub's arguments `cache` and `cache_update_index`."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Attends as KerasHub's layer does, with convolved queries, keys and values."""
        cache, index = kwargs.get("cache"), kwargs.get("cache_update_index")
        if cache is None:
            mask = unpadded(kwargs.get("attention_mask"))
            layer = self.with_convolutions(lambda role, x: self.convolve(role, x, mask))
            return super(CachedConvolvedAttention, layer).call(*args, **kwargs)
        if index is None:
            raise UserError(
                "Convolutions depend on the position: pass `cache_update_index` with `cache`."
            )
        cache = widen(cache, self._groups())
        history, inputs = read_before(cache, index, self.kernel_size - 1), {}

        def convolve(role: str, x: Tensor) -> Tensor:
            inputs[role] = x
            return self.convolve(role, x, history=history[role])

        layer = self.with_convolutions(convolve)
        kwargs["cache"] = cache[:, :KEY_AND_VALUE]
        *outputs, key_and_value = super(CachedConvolvedAttention, layer).call(*args, **kwargs)
        return (*outputs, write(cache, key_and_value, inputs, index))

    def _groups(self) -> int:
        """Returns the number of query heads for each head of keys."""
        query, key = (
            getattr(self, self.projections[role]).get_config()["output_shape"][-2]
            for role in ("query", "key")
        )
        return query // key

    def _compute_vllm_attention(self, *args: Any, **kwargs: Any) -> Tensor:
        raise UserError("vLLM has no cache for convolutions; use the model's `generate`.")


def unpadded(attention_mask: Tensor | None) -> Tensor | None:
    """Returns where a sequence has tokens, judging by the mask of its self-attention.

    KerasHub merges the padding into this mask: a padded position may not attend to itself. Those
    after the last token cannot change it, and are left as they are.

    Args:
        attention_mask: `[B, T, T]`, or `None`.

    Returns:
        `[B, T]` booleans, or `None`.
    """
    if attention_mask is None:
        return None
    own = ops.diagonal(ops.cast(attention_mask, "bool"), axis1=1, axis2=2)
    until_end = ops.flip(ops.cumsum(ops.cast(ops.flip(own, axis=1), "int32"), axis=1), axis=1)
    return ops.logical_or(own, ops.equal(until_end, 0))


@keras.saving.register_keras_serializable(package="primer_tf")
class CachedMultiHeadAttention(
    CachedConvolvedAttention, ConvolvedKerasAttention, keras_hub.layers.CachedMultiHeadAttention
):
    """`keras_hub.layers.CachedMultiHeadAttention` with Primer's convolutions, for self-attention.

    `primer_tf.drop_in.MultiHeadAttention` describes the convolutions. The first call with a cache
    takes an empty one, `[B, 2, S, H, D]` zeros, and returns a wider one: it holds the inputs of the
    convolutions, too, as `[B, 5, S, H, D]`. Positions before the first call count as zeros.

    Args:
        *args: Arguments of `keras.layers.MultiHeadAttention`.
        kernel_size: Number of positions that an output of a convolution depends on, at least 1.
            Defaults to 3.
        **kwargs: Arguments of `keras.layers.MultiHeadAttention`.

    Raises:
        UserError: `kernel_size` is below 1, or a cache comes without `cache_update_index`.

    Example:

    >>> import numpy as np
    >>> from primer_tf.drop_in import CachedMultiHeadAttention
    >>> layer = CachedMultiHeadAttention(num_heads=2, key_dim=4)
    >>> x, cache = np.ones((1, 1, 8), "float32"), np.zeros((1, 2, 6, 2, 4), "float32")
    >>> y, cache = layer(x, x, cache=cache, cache_update_index=0)
    >>> tuple(y.shape), tuple(cache.shape)
    ((1, 1, 8), (1, 5, 6, 2, 4))
    """

    def call(
        self,
        query: Tensor,
        value: Tensor,
        key: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Tensor | None = None,
        cache_update_index: int | Tensor | None = None,
        return_attention_scores: bool = False,
        training: bool | None = None,
    ) -> Any:
        """Attends as KerasHub's layer does, with convolved queries, keys and values."""
        return super().call(
            query,
            value,
            key=key,
            attention_mask=attention_mask,
            cache=cache,
            cache_update_index=cache_update_index,
            return_attention_scores=return_attention_scores,
            training=training,
        )


class ConvolvedLlamaAttention(CachedConvolvedAttention, LlamaAttention):
    """The attention of Llama with convolutions."""


class ConvolvedMistralAttention(CachedConvolvedAttention, CachedMistralAttention):
    """The attention of Mistral with convolutions."""


class ConvolvedGemmaAttention(CachedConvolvedAttention, CachedGemmaAttention):
    """The attention of Gemma with convolutions."""

    projections: ClassVar[dict[str, str]] = {
        "query": "query_dense",
        "key": "key_dense",
        "value": "value_dense",
    }
