"""Tensors as `TensorProto`, which gRPC transports."""

import math

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from primer_tf.serving.status import invalid

# The field of a `TensorProto` that holds the values of a type, as TensorFlow Serving fills it.
_FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int8: "int_val",
    tf.int16: "int_val",
    tf.int32: "int_val",
    tf.uint8: "int_val",
    tf.uint16: "int_val",
    tf.int64: "int64_val",
    tf.uint32: "uint32_val",
    tf.uint64: "uint64_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


def to_array(name: str, proto: tensor_pb2.TensorProto, max_bytes: int) -> np.ndarray:
    """Returns the array of a tensor that a client sent.

    Args:
        name: The name of the input, for error messages.
        proto: The tensor.
        max_bytes: Size that the array may have. A few bytes can describe a huge array.

    Raises:
        ServingError: The tensor is malformed or too large.
    """
    try:
        dtype = tf.as_dtype(proto.dtype)
        if not dtype.is_numpy_compatible:
            raise TypeError(f"no array has the type {dtype.name}")
        sizes = [dim.size for dim in proto.tensor_shape.dim]
        if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
            raise ValueError("its shape is not fully defined")
        if math.prod(sizes) * max(dtype.size or 1, 1) > max_bytes:
            raise ValueError(f"it would have more than {max_bytes} bytes")
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, OverflowError, IndexError) as error:
        raise invalid(f"Input {name} is not a tensor: {error}.") from error


def to_proto(tensor: tf.Tensor) -> tensor_pb2.TensorProto:
    """Returns a tensor with its values in the typed fields, which every client can read.

    Args:
        tensor: A dense tensor.
    """
    field = _FIELDS.get(tensor.dtype)
    if field is None:
        return tf.make_tensor_proto(tensor)
    proto = tensor_pb2.TensorProto(
        dtype=tensor.dtype.as_datatype_enum, tensor_shape=tensor.shape.as_proto()
    )
    getattr(proto, field).extend(np.ravel(tensor.numpy()).tolist())
    return proto
