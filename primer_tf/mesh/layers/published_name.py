"""The names under which gin knows the layers."""

import logging

import gin


def published_name(layer):
    """Makes a layer configurable as `t5_models.<its name>`, as in the code of the paper's authors.

    If a module of the user has registered that name already, gin files mean that layer.
    """
    name = f"t5_models.{layer.__name__}"
    try:
        gin.get_configurable(name)
    except ValueError:
        return gin.configurable(module="t5_models")(layer)
    logging.getLogger("primer_tf").warning("Gin files get %s from another module.", name)
    return layer
