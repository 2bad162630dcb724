"""How the weights of a backbone are split over a mesh of devices.

Tensor parallelism as in Megatron-LM (Shoeybi et al. 2019, section 3): heads, the hidden channels of
feed-forward layers, experts and the rows of the embedding lie on different devices. The activations
between two products of a sublayer are then split, too, and only its output is summed over devices.
In addition the other axis of a matrix may be split, and is gathered where it is used (fully
sharded data parallelism, Rajbhandari et al. 2019).

The logical axes of a sublayer's weights stand in its registry entry.
"""

import re
from collections.abc import Iterator

import keras

from primer_tf.sublayers import get_sublayer, sublayer_names

LogicalAxes = tuple[str | None, ...]

# Normalizations are in no table: each device has a copy.
_OUTSIDE_SUBLAYERS: dict[str, LogicalAxes] = {
    "token_embedding/embeddings": ("vocabulary", "hidden"),
    r"decoder/position_bias_\d+_heads/embeddings": ("heads", None),
}
# What normalizations return, `[B, T, C]`.
_NORMALIZED = r"decoder/(block_\d+/sublayer_\d+/)?norm/output"
_MODEL_AXES = ("heads", "mlp", "experts", "vocabulary")
_DATA_AXES = ("hidden", "positions")


def logical_axes() -> Iterator[tuple[str, LogicalAxes]]:
    """Yields a pattern of paths and the logical axes of the weights with these paths."""
    yield from _OUTSIDE_SUBLAYERS.items()
    for name in sublayer_names():
        for pattern, axes in get_sublayer(name).axes.items():
            yield rf"decoder/block_\d+/sublayer_\d+/{name}/(?:{pattern})", axes


def logical_axes_of(path: str) -> LogicalAxes | None:
    """Returns the logical axes of the weight with a path, or `None` if it is never split."""
    return next((axes for pattern, axes in logical_axes() if re.fullmatch(pattern, path)), None)


def layout_map(
    device_mesh: keras.distribution.DeviceMesh, model_axis: str | None, data_axis: str | None
) -> keras.distribution.LayoutMap:
    """Returns the layouts of all weights; see `PrimerBackbone.get_layout_map`."""
    for axis in (model_axis, data_axis):
        if axis is not None and axis not in device_mesh.axis_names:
            raise ValueError(
                f"The device mesh has no axis {axis!r}; its axes: "
                f"{', '.join(device_mesh.axis_names)}."
            )
    layouts = keras.distribution.LayoutMap(device_mesh)
    for pattern, axes in logical_axes():
        layout = _mesh_axes(axes, model_axis, data_axis)
        if any(layout):
            layouts[pattern] = layout
    if data_axis is not None:
        # Else XLA may gather the activations of the whole batch instead of a weight.
        layouts[_NORMALIZED] = (data_axis, None, None)
    return layouts


def _mesh_axes(
    axes: LogicalAxes, model_axis: str | None, data_axis: str | None
) -> tuple[str | None, ...]:
    """Returns the mesh axis that splits each axis of a weight, each mesh axis at most once."""
    layout: list[str | None] = []
    for axis in axes:
        on = model_axis if axis in _MODEL_AXES else None
        # A vector along the hidden states is too small to be worth a gather.
        if axis in _DATA_AXES and len(axes) > 1:
            on = data_axis
        layout.append(None if on in layout else on)
    return tuple(layout)
