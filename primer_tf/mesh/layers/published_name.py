"""The names of the layers in gin."""

import logging
from collections.abc import Callable
from typing import TypeVar

import gin

Layer = TypeVar("Layer", bound=Callable)


def published_name(layer: Layer) -> Layer:
    """Makes a layer configurable as `t5_models.<its name>`, as in the code of the paper's authors.

    If the user's module has already registered this name, gin files refer to the user's layer.
    """
    name = f"t5_models.{layer.__name__}"
    try:
        gin.get_configurable(name)
    except ValueError:
        return gin.configurable(module="t5_models")(layer)
    logging.getLogger("primer_tf").warning("Gin files get %s from another module.", name)
    return layer
