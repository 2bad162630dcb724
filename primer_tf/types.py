"""Types that annotations share."""

from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any

# What Keras takes for a tensor: one of the backend in use, a `KerasTensor` or a NumPy array.
Tensor = Any
# A layer's cache, or those of a whole decoder: tensors in a nest of dicts, lists and tuples.
Cache = Any
# An architecture or a layer, as `get_config` and presets write it.
Config = dict[str, Any]
DType = str
Initializer = str | Callable[..., Tensor]
Activation = str | Callable[[Tensor], Tensor]
Shape = tuple[int | None, ...]
Inputs = Mapping[str, Tensor]
StrPath = str | PathLike[str]
