"""What every layer of this package adds to `keras.layers.Layer`."""

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import keras

from primer_tf._compat import flatten_layers
from primer_tf.keywords import check_keywords, parameter_names
from primer_tf.types import Config

if TYPE_CHECKING:
    # Type checkers see what the mixin finds in the class that it is mixed into.
    from keras.layers import Layer as LayerBase
else:
    LayerBase = object

# Arguments of `keras.layers.Layer` that are not in its signature.
KERAS_KEYWORDS = ("input_shape", "input_dim", "batch_size", "batch_shape")


class LayerMixin(LayerBase):
    """A mixin that freezes all weights, passes masks on, and refuses unknown arguments.

    Keras applies `trainable` to the weights and layers that exist when it is set. Those that
    `build` creates afterwards would be trained as soon as the layer is part of a model.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Applies `trainable` again at the end of `build`."""
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _freezing(cls.build)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._check_keywords(kwargs)
        super().__init__(*args, **kwargs)
        self.supports_masking = True  # A mask of the input is one of the output.

    @classmethod
    def _check_keywords(cls, keywords: Iterable[str]) -> None:
        known = (*parameter_names(cls, keras.layers.Layer), *KERAS_KEYWORDS)
        check_keywords(cls.__name__, keywords, known)

    @classmethod
    def from_config(cls, config: Config) -> keras.layers.Layer:
        """Returns the layer that `get_config` described."""
        cls._check_keywords(config)  # Keras' own message would include the whole config.
        return super().from_config(config)


def _freezing(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def wrapped(self: keras.layers.Layer, *args: Any, **kwargs: Any) -> None:
        build(self, *args, **kwargs)
        freeze_sublayers(self)

    return wrapped


def freeze_sublayers(layer: keras.layers.Layer) -> None:
    """Freezes the sublayers of a layer or model if it is frozen itself.

    Args:
        layer: A `keras.layers.Layer` whose sublayers exist.
    """
    if not layer.trainable:
        # Setting it on the layer again has no effect: TensorFlow skips values that do not change.
        for sublayer in flatten_layers(layer):
            if sublayer is not layer:
                sublayer.trainable = False


class Layer(LayerMixin, keras.layers.Layer):
    """`keras.layers.Layer` with the additions of `LayerMixin`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """
