"""Types that annotations share."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

# What Keras takes for a tensor: one of the backend in use, a `KerasTensor` or a NumPy array.
Tensor = Any
# The cache of a layer or of a whole decoder: tensors in a nest of dicts and tuples.
Cache = Any
# The arguments of an architecture or a layer, as `get_config` and presets have them.
Config = dict[str, Any]
# The name of a dtype or policy, or a `keras.DTypePolicy`.
DType = Any
# The name of a Keras initializer, or the initializer itself.
Initializer = str | Callable[..., Tensor]
# The name of an activation function, or the function itself.
Activation = str | Callable[[Tensor], Tensor]
# The sizes of a tensor's axes: integers, or `None` where a size is unknown.
Shape = tuple[Any, ...]
# The inputs of a model by name.
Inputs = Mapping[str, Tensor]
StrPath = str | PathLike[str]
