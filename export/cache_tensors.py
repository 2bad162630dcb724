"""The cache as tensors with names, for clients that keep it between calls."""

from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from primer_tf.models import PrimerCausalLM
from primer_tf.types import Cache, Tensor


class CacheTensors:
    """Names for the tensors of a model's cache.

    A name is `cache`, the numbers of block and sublayer, and the kind, as in `cache_0_0_key`. In
    every tensor the first axis is the row and the second one the position.

    Args:
        model: A `PrimerCausalLM`.
    """

    def __init__(self, model: PrimerCausalLM) -> None:
        # In a graph of its own: only the shapes are needed.
        with tf.Graph().as_default():
            for_one = model.backbone.decoder.build_cache(1, 1)
            self._cache = tf.nest.map_structure(
                lambda x: tf.TensorSpec([None, None, x.shape[-1]], x.dtype), for_one
            )
        # The tensors of convolutions also have the positions before the first.
        self._before_first = [tensor.shape[1] - 1 for tensor in tf.nest.flatten(for_one)]
        self._names = list(_names(self._cache, "cache"))

    def specs(self) -> dict[str, tf.TensorSpec]:
        """Returns the specs of the tensors by name."""
        pairs = zip(self._names, tf.nest.flatten(self._cache), strict=True)
        return {name: tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in pairs}

    def zeros(self, rows: int, length: int) -> dict[str, np.ndarray]:
        """Returns the tensors of an empty cache by name, with room for `length` positions."""
        pairs = zip(self.specs().items(), self._before_first, strict=True)
        return {
            name: np.zeros([rows, length + before, spec.shape[-1]], spec.dtype.as_numpy_dtype)
            for (name, spec), before in pairs
        }

    def as_dict(self, cache: Cache) -> dict[str, Tensor]:
        """Returns the tensors of a cache by name."""
        return dict(zip(self._names, tf.nest.flatten(cache), strict=True))

    def as_cache(self, tensors: Mapping[str, Tensor]) -> Cache:
        """Returns the cache that has some tensors."""
        return tf.nest.pack_sequence_as(self._cache, [tensors[name] for name in self._names])

    def length(self, cache: Cache) -> Tensor:
        """Returns the number of positions that a cache has room for, a scalar."""
        pairs = zip(tf.nest.flatten(cache), self._before_first, strict=True)
        return tf.reduce_min([tf.shape(tensor)[1] - before for tensor, before in pairs])


def _names(cache: Cache, prefix: str) -> Iterator[str]:
    """Yields the names of the tensors in the order of `tf.nest`."""
    if isinstance(cache, dict):
        for key in sorted(cache):
            yield from _names(cache[key], f"{prefix}_{key}")
    elif isinstance(cache, tuple):
        for index, value in enumerate(cache):
            yield from _names(value, f"{prefix}_{index}")
    else:
        yield prefix
