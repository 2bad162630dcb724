"""Prints how the large variables of a training are split, without making one, as JSON.

`python -m tests.distribution.large_variables PRESET MESH OPTIMIZER` needs KERAS_BACKEND=jax.
"""

import json
import math
import sys

from primer_tf._compat import variable_layout
from primer_tf.distribution import parse_mesh
from primer_tf.distribution.abstract_training import abstract_training, bytes_per_number

LARGE = 10**6


def large_ones(variables):
    """Returns the shape and the axes of variables above 1 MB, by path."""
    found = {}
    for variable in variables:
        if math.prod(variable.shape) * bytes_per_number(variable.dtype) > LARGE:
            layout = variable_layout(variable)
            found[variable.path] = [list(variable.shape), list(layout.axes) if layout else None]
    return found


def main():
    preset, mesh, optimizer = sys.argv[1:]
    training = abstract_training(preset, parse_mesh(mesh), optimizer)
    model = training.model
    print(
        json.dumps(
            {
                "weights": large_ones(model.weights),
                "optimizer": large_ones(model.optimizer.variables),
            }
        )
    )


if __name__ == "__main__":
    main()
