"""Keras' distribution of weights, with errors for weights that the devices do not divide."""

import keras

from primer_tf.errors import UserError
from primer_tf.models.weight_layouts import logical_axes_of

# What the entries of a logical axis are called.
ENTRIES = {
    "heads": "attention heads",
    "mlp": "channels",
    "experts": "experts",
    "vocabulary": "rows of the embedding",
    "hidden": "hidden channels",
    "positions": "positions",
}


class CheckedModelParallel(keras.distribution.ModelParallel):
    """`keras.distribution.ModelParallel` that raises `UserError` before JAX raises its own.

    Args:
        **kwargs: Arguments of `keras.distribution.ModelParallel`.
    """

    def get_variable_layout(self, variable: keras.Variable) -> keras.distribution.TensorLayout:
        """Returns the layout of a variable, and checks that it divides the variable.

        Raises:
            UserError: It does not.
        """
        layout = super().get_variable_layout(variable)
        check_division(variable, layout)
        return layout


def check_division(variable: keras.Variable, layout: keras.distribution.TensorLayout) -> None:
    """Checks that the devices of a layout divide a variable.

    Args:
        variable: The variable.
        layout: Its layout.

    Raises:
        UserError: They do not.
    """
    mesh = dict(zip(layout.device_mesh.axis_names, layout.device_mesh.shape, strict=True))
    for index, (axis, size) in enumerate(zip(layout.axes, variable.shape, strict=True)):
        if axis is not None and size % mesh[axis]:
            logical = logical_axes_of(variable.path)
            entries = ENTRIES.get(logical[index] or "", "entries") if logical else "entries"
            raise UserError(
                f"The mesh's {axis}:{mesh[axis]} does not divide the {size} {entries} of "
                f"{variable.path}; choose a size that does."
            )
