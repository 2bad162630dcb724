"""The base class of the layers: frozen stays frozen, and no keyword is swallowed."""

import keras

from primer_tf.layers.keyword_checks import argument_names, check_keywords

# Keras still takes these, with a warning.
LEGACY = ("input_shape", "input_dim")


class Layer(keras.layers.Layer):
    """`keras.layers.Layer`, strict about two things.

    - `trainable=False` also reaches the layers that `build` makes. Keras hands it on only to those
      that exist when it is set, and a model trains whatever variable says that it is trainable.
    - An unknown keyword is an error that names the nearest known one.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: A keyword is no argument of the layer.
    """

    def __init__(self, **kwargs):
        self._check_keywords(kwargs)
        super().__init__(**kwargs)

    @classmethod
    def _check_keywords(cls, keywords):
        known = {*argument_names(cls), *argument_names(keras.layers.Layer), *LEGACY}
        check_keywords(cls.__name__, keywords, known)

    @classmethod
    def from_config(cls, config):
        """Returns the layer that `get_config` described."""
        cls._check_keywords(config)  # Keras would bury the line in a report of the whole config
        return super().from_config(config)

    def _post_build(self):
        super()._post_build()
        freeze_sublayers(self)


def freeze_sublayers(layer):
    """Freezes what is inside a layer or model that is frozen itself.

    Args:
        layer: A built `keras.layers.Layer`.
    """
    if not layer.trainable:
        # Setting it on the layer again would not do: TensorFlow skips what changes no value.
        for sublayer in layer._flatten_layers(include_self=False):
            sublayer.trainable = False
