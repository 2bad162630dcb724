"""What every layer of this package adds to `keras.layers.Layer`."""

import functools

import keras

from primer_tf.keywords import check_keywords, parameter_names

# Arguments of `keras.layers.Layer` that are not in its signature.
KERAS_KEYWORDS = ("input_shape", "input_dim", "batch_size", "batch_shape")


class LayerMixin:
    """Makes `trainable=False` hold for weights made later, and misspelled arguments errors.

    Keras applies `trainable` to the weights and layers that exist when it is set; those that
    `build` creates afterwards would train as soon as a model holds the layer.
    """

    def __init_subclass__(cls, **kwargs):
        """Applies `trainable` again at the end of `build`."""
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = _freezing(cls.build)

    def __init__(self, *args, **kwargs):
        self._check_keywords(kwargs)
        super().__init__(*args, **kwargs)

    @classmethod
    def _check_keywords(cls, keywords):
        known = (*parameter_names(cls, keras.layers.Layer), *KERAS_KEYWORDS)
        check_keywords(cls.__name__, keywords, known)

    @classmethod
    def from_config(cls, config):
        """Returns the layer that `get_config` described."""
        cls._check_keywords(config)  # Keras would bury the line in a report of the whole config
        return super().from_config(config)


def _freezing(build):
    @functools.wraps(build)
    def wrapped(self, *args, **kwargs):
        build(self, *args, **kwargs)
        freeze_sublayers(self)

    return wrapped


def freeze_sublayers(layer):
    """Freezes what is inside a layer or model that is frozen itself.

    Args:
        layer: A `keras.layers.Layer` whose layers exist.
    """
    if not layer.trainable:
        # Setting it on the layer again would not do: TensorFlow skips what changes no value.
        for sublayer in layer._flatten_layers(include_self=False):
            sublayer.trainable = False


class Layer(LayerMixin, keras.layers.Layer):
    """`keras.layers.Layer` with the additions of `LayerMixin`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """
