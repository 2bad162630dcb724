"""The primitives that programs are made of, in one table (Primer, appendix A.1).

Every program is causal by construction. Convolutions and cumulative sums look back only. Scores of
queries against keys know the future until the causal mask; only element-wise primitives take such
scores. Behind the mask, what reduces over keys leaves those in the future out.

`constant_add`, `position_bias` and `split` are not among the paper's: they express the epsilon of a
normalization, T5's position bias, and heads that share a projection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from primer_tf.programs.primitive import Call, InvalidProgram, Primitive, Setting, Shapes
from primer_tf.programs.value_shape import MASKED_SCORES, SCORES, ValueShape
from primer_tf.types import Tensor

MASKED = -1e9  # What masked scores hold, so that the softmax ignores them.


def _unary(name: str, function: Callable[[Any, Tensor], Tensor]) -> Primitive:
    return Primitive(name, lambda ops, call: function(ops, call.inputs[0]))


def _with_constant(name: str, function: Callable[[Any, Tensor, Tensor], Tensor]) -> Primitive:
    def apply(ops: Any, call: Call) -> Tensor:
        return function(ops, call.inputs[0], ops.cast(call.constant, call.inputs[0].dtype))

    return Primitive(name, apply, uses=("constant",))


def _binary(name: str, function: Callable[[Any, Tensor, Tensor], Tensor]) -> Primitive:
    return Primitive(
        name, lambda ops, call: function(ops, *call.inputs), num_inputs=2, infer=_broadcast
    )


def _broadcast(shapes: Shapes, setting: Setting) -> ValueShape:
    first, second = shapes
    if first.is_scores and second.is_scores:
        return MASKED_SCORES if first.masked or second.masked else SCORES
    if first == second or second.channels == 1:
        return first
    if first.channels == 1:
        return second
    raise InvalidProgram(f"{first} and {second} do not broadcast")


def _reduction(name: str, neutral: float, function: Callable[[Any, Tensor], Tensor]) -> Primitive:
    """Returns a reduction over channels, or over the keys that a query may see."""

    def apply(ops: Any, call: Call) -> Tensor:
        (x,) = call.inputs
        if call.shapes[0].is_scores:
            x = ops.where(call.triangle, x, ops.cast(neutral, x.dtype))
        return function(ops, x)

    return Primitive(name, apply, infer=_reduced)


def _reduced(shapes: Shapes, setting: Setting) -> ValueShape:
    _check_masked(shapes[0])
    return ValueShape(1)


def _mean(ops: Any, call: Call) -> Tensor:
    (x,) = call.inputs
    if not call.shapes[0].is_scores:
        return ops.mean(x, axis=-1, keepdims=True)
    visible = ops.cast(call.triangle, x.dtype)
    x = ops.where(call.triangle, x, ops.cast(0.0, x.dtype))
    return ops.sum(x, axis=-1, keepdims=True) / ops.sum(visible, axis=-1, keepdims=True)


def _check_masked(shape: ValueShape) -> None:
    if shape.is_scores and not shape.masked:
        raise InvalidProgram("scores need the causal mask before a reduction over keys")


def _channels(shape: ValueShape) -> int:
    if shape.channels is None:
        raise InvalidProgram("scores are given where channels are needed")
    return shape.channels


def _of_channels(shapes: Shapes, setting: Setting) -> ValueShape:
    _channels(shapes[0])
    return shapes[0]


def _units(shapes: Shapes, setting: Setting) -> ValueShape:
    _channels(shapes[0])
    return ValueShape(setting.units)


def _last(x: ValueShape, y: ValueShape) -> tuple[int, ...]:
    return (_channels(x),)


def _project(ops: Any, x: Tensor, kernel: Tensor) -> Tensor:
    """Multiplies `[B, N or 1, T, D]` with `[N, D, E]`."""
    if kernel.shape[0] == 1:
        return ops.matmul(x, kernel[0])
    if x.shape[1] == 1:  # One large product instead of `N` small ones.
        return ops.einsum("btd,nde->bnte", x[:, 0], kernel)
    return ops.einsum("bntd,nde->bnte", x, kernel)


def _shifted(ops: Any, x: Tensor, width: int) -> list[Tensor]:
    """Returns `x` as it was 0 to `width - 1` positions before, zeros before the first."""
    padded, length = ops.pad(x, ((0, 0), (0, 0), (width - 1, 0), (0, 0))), ops.shape(x)[2]
    return [padded[:, :, width - 1 - shift : width - 1 - shift + length] for shift in range(width)]


def _convolution(width: int) -> Primitive:
    """Returns a causal convolution; its kernel is `[width, D, E]`, the present position first."""

    def apply(ops: Any, call: Call) -> Tensor:
        (x,), kernel = call.inputs, call.weight
        if width > 1:
            x = ops.concatenate(_shifted(ops, x, width), axis=-1)
        copies, _, inputs, units = kernel.shape
        return _project(ops, x, ops.reshape(kernel, (copies, width * inputs, units)))

    return Primitive(
        f"conv_{width}x1",
        apply,
        infer=_units,
        weight=lambda x, y: (width, _channels(x), _channels(y)),
        products=lambda x, length: width * _channels(x),
        uses=("dimension",),
    )


def _depthwise_convolution(width: int) -> Primitive:
    """Returns a causal depthwise convolution; its kernel is `[width, D]`, present position first.

    The initial values are those of `CausalDepthwiseConv1D`.
    """

    def apply(ops: Any, call: Call) -> Tensor:
        shifted = ops.stack(_shifted(ops, call.inputs[0], width), axis=2)
        return ops.sum(shifted * call.weight[:, :, None], axis=2)

    return Primitive(
        f"depthwise_conv_{width}x1",
        apply,
        infer=_of_channels,
        weight=lambda x, y: (width, _channels(x)),
        initial=(0.5, *[0.5 / width] * (width - 1)),
        products=lambda x, length: width,
    )


def _matmul(ops: Any, call: Call) -> Tensor:
    weights, values = call.inputs
    weights = ops.where(call.triangle, weights, ops.cast(0.0, weights.dtype))
    return ops.matmul(weights, values)


def _matmul_shape(shapes: Shapes, setting: Setting) -> ValueShape:
    if not shapes[0].is_scores or shapes[1].is_scores:
        raise InvalidProgram(f"matmul takes scores and channels, and gets {shapes[0]}, {shapes[1]}")
    _check_masked(shapes[0])
    return shapes[1]


def _transposed_shape(shapes: Shapes, setting: Setting) -> ValueShape:
    if _channels(shapes[0]) != _channels(shapes[1]):
        raise InvalidProgram(f"queries have {shapes[0]} and keys have {shapes[1]}")
    return SCORES


def _mask(ops: Any, call: Call) -> Tensor:
    (x,) = call.inputs
    return ops.where(call.triangle, x, ops.cast(MASKED, x.dtype))


def _mask_shape(shapes: Shapes, setting: Setting) -> ValueShape:
    if not shapes[0].is_scores:
        raise InvalidProgram("channels are given where scores are needed")
    return MASKED_SCORES


def _position_bias(ops: Any, call: Call) -> Tensor:
    (x,) = call.inputs
    return x if call.position_bias is None else x + ops.cast(call.position_bias, x.dtype)


def _bias_shape(shapes: Shapes, setting: Setting) -> ValueShape:
    _mask_shape(shapes, setting)
    return shapes[0]


def _split(ops: Any, call: Call) -> Tensor:
    (x,) = call.inputs
    batch, length = ops.shape(x)[0], ops.shape(x)[2]
    copies, channels, n = x.shape[1], x.shape[-1], call.branches
    if copies == 1:
        outer = call.copies // n
        parts = ops.reshape(x[:, 0], (batch, length, n, channels // n))
        return ops.tile(ops.transpose(parts, (0, 2, 1, 3)), (1, outer, 1, 1))
    parts = ops.reshape(x, (batch, copies // n, n, length, n, channels // n))
    own = ops.stack([parts[:, :, i, :, i] for i in range(n)], axis=2)
    return ops.reshape(own, (batch, copies, length, channels // n))


def _split_shape(shapes: Shapes, setting: Setting) -> ValueShape:
    channels = _channels(shapes[0])
    if channels % setting.branches:
        raise InvalidProgram(f"{channels} channels do not split into {setting.branches} branches")
    return ValueShape(channels // setting.branches)


_TABLE = (
    # Of two values
    _binary("add", lambda ops, x, y: x + y),
    _binary("difference", lambda ops, x, y: x - y),
    _binary("divide", lambda ops, x, y: x / y),
    _binary("multiply", lambda ops, x, y: x * y),
    # Of one value
    _unary("abs", lambda ops, x: ops.abs(x)),
    _unary("abs_square_root", lambda ops, x: ops.sqrt(ops.abs(x))),
    _unary("square", lambda ops, x: x * x),
    _unary("exp", lambda ops, x: ops.exp(x)),
    _unary("log", lambda ops, x: ops.log(ops.abs(x))),
    _unary("reciprocal", lambda ops, x: 1.0 / x),
    _unary("sign", lambda ops, x: ops.sign(x)),
    _unary("cos", lambda ops, x: ops.cos(x)),
    _unary("sin", lambda ops, x: ops.sin(x)),
    _unary("tanh", lambda ops, x: ops.tanh(x)),
    _unary("sigmoid", lambda ops, x: ops.sigmoid(x)),
    # With a constant
    _with_constant("max", lambda ops, x, c: ops.maximum(x, c)),
    _with_constant("min", lambda ops, x, c: ops.minimum(x, c)),
    _with_constant("constant_multiply", lambda ops, x, c: x * c),
    _with_constant("constant_add", lambda ops, x, c: x + c),
    # Learned, for each channel
    Primitive(
        "scale",
        lambda ops, call: call.inputs[0] * call.weight[:, None],
        infer=_of_channels,
        weight=_last,
        initial=1.0,
    ),
    Primitive(
        "shift",
        lambda ops, call: call.inputs[0] + call.weight[:, None],
        infer=_of_channels,
        weight=_last,
        initial=0.0,
    ),
    # Over the channels of a position, or the keys of a query
    Primitive("reduce_mean", _mean, infer=_reduced),
    _reduction("reduce_sum", 0.0, lambda ops, x: ops.sum(x, axis=-1, keepdims=True)),
    _reduction("reduce_max", MASKED, lambda ops, x: ops.max(x, axis=-1, keepdims=True)),
    _reduction("reduce_min", -MASKED, lambda ops, x: ops.min(x, axis=-1, keepdims=True)),
    _reduction("reduce_product", 1.0, lambda ops, x: ops.prod(x, axis=-1, keepdims=True)),
    # Over positions
    *[_convolution(width) for width in (1, 3, 7, 15, 31)],
    *[_depthwise_convolution(width) for width in (3, 7, 15, 31)],
    Primitive("cumulative_sum", lambda ops, c: ops.cumsum(c.inputs[0], axis=2), infer=_of_channels),
    Primitive(
        "cumulative_product", lambda ops, c: ops.cumprod(c.inputs[0], axis=2), infer=_of_channels
    ),
    # Of attention
    Primitive(
        "transposed_matmul",
        lambda ops, c: ops.matmul(c.inputs[0], ops.transpose(c.inputs[1], (0, 1, 3, 2))),
        num_inputs=2,
        infer=_transposed_shape,
        products=lambda x, length: _channels(x),
    ),
    Primitive("causal_mask", _mask, infer=_mask_shape),
    Primitive("position_bias", _position_bias, infer=_bias_shape, differs_by_branch=True),
    Primitive(
        "matmul", _matmul, num_inputs=2, infer=_matmul_shape, products=lambda x, length: length
    ),
    Primitive("split", _split, infer=_split_shape, differs_by_branch=True),
)

PRIMITIVES = {primitive.name: primitive for primitive in _TABLE}
