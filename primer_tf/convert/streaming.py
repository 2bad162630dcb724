"""Models whose variables pass through memory one at a time, to save or to load them.

Built by `without_values`, a model knows the shape of every variable and holds no value. Keras takes
the value of such a variable from its initializer, whenever it asks.
"""

from pathlib import Path

import keras

from primer_tf._compat import forget_uninitialized_variables


def without_values(build):
    """Returns what `build()` returns, with variables that have no value."""
    with keras.StatelessScope(initialize_variables=False):
        model = build()
    forget_uninitialized_variables()
    return model


def read_from(variables, read):
    """Makes variables without values read theirs when they are saved.

    Args:
        variables: List of `keras.Variable` of a model built by `without_values`.
        read: A function from a variable's path to its value.
    """
    for variable in variables:

        def initializer(shape, dtype, path=variable.path):
            return keras.ops.convert_to_tensor(read(path), dtype=dtype)

        variable._initializer = initializer


def stream_weights(backbone, preset_dir, write):
    """Reads the weights of a preset one by one.

    Args:
        backbone: The preset's `PrimerBackbone`, built by `without_values`.
        preset_dir: A preset directory.
        write: Called with the path and the value of each variable, a NumPy array.
    """
    for variable in backbone.weights:

        def assign(value, path=variable.path):
            write(path, keras.ops.convert_to_numpy(value))

        variable.assign = assign
    sharded = Path(preset_dir) / "model.weights.json"
    backbone.load_weights(sharded if sharded.exists() else Path(preset_dir) / "model.weights.h5")
