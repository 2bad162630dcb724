"""The activations of feed-forward layers, by their names in Keras and in Mesh TensorFlow."""

from primer_tf.errors import UserError
from primer_tf.sublayers.gin_arguments import Arguments, Rules, Translated

# Keras' activations that Mesh TensorFlow lacks and `primer_tf.mesh.layers.activations` has.
_OWN = (
    "gelu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu log_sigmoid mish relu6 "
    "soft_shrink softsign sparse_plus sparse_sigmoid squareplus tanh_shrink"
)
_CONFIGURABLES = {name: f"primer_tf.mesh.activations.{name}" for name in _OWN.split()}

# Mesh TensorFlow's activations as gin files name them, by their names in Keras.
ACTIVATIONS = {
    "relu": "relu",
    "squared_relu": "squared_relu",
    "gelu": "gelu_tanh",
    "swish": "swish",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "linear": "linear",
    "elu": "elu",
    "selu": "selu",
    "softplus": "softplus",
    "exp": "exponential",
    **{f"@{configurable}": name for name, configurable in _CONFIGURABLES.items()},
}

# The same activation by another name in Keras.
ALIASES = {"silu": "swish", "hard_swish": "hard_silu", "celu": "elu"}


def _read(names, value_of):
    names = [str(name) for name in (names if isinstance(names, list | tuple) else [names])]
    gated = len(names) == 2 and names[1] == "linear"
    if (len(names) != 1 and not gated) or names[0] not in ACTIVATIONS:
        raise UserError(
            f"the Keras model does not support {names!r}; it has the activations "
            f'{", ".join(ACTIVATIONS)}, each alone or gated, as ["swish", "linear"].'
        )
    return {"activation": ACTIVATIONS[names[0]], "gated": gated}


def _write(arguments: Arguments) -> str:
    name = ALIASES.get(arguments["activation"], arguments["activation"])
    for mesh, keras in ACTIVATIONS.items():
        if keras == name:
            text = mesh if mesh.startswith("@") else f'"{mesh}"'
            return f'[{text}, "linear"]' if arguments["gated"] else f"[{text}]"
    raise UserError(f"Mesh TensorFlow has no counterpart of the activation {name!r}.")


# The argument `activation` of a Mesh TensorFlow layer, and the configurables that it may name.
ACTIVATION = Translated("relu", _read, _write)
ACTIVATION_PARTS: dict[str, Rules] = {configurable: {} for configurable in _CONFIGURABLES.values()}
