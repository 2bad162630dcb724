"""Tensors in the JSON of TensorFlow Serving's REST API."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2

from primer_tf.serving.status import invalid

TensorInfos = Mapping[str, meta_graph_pb2.TensorInfo]

_INTEGERS = (tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint32, tf.uint64)
_FLOATS = (tf.float32, tf.float64)
# NumPy's arrays have no more dimensions.
_MAX_RANK = 64


def parse(body: bytes) -> dict[str, Any]:
    """Returns the object that a request's body holds.

    As in TensorFlow Serving, `NaN` and `Infinity` are numbers, and what follows the object is
    ignored.

    Args:
        body: The body of the request.

    Raises:
        ServingError: The body is not a JSON object in UTF-8.
    """
    if not body.strip():
        raise invalid("JSON Parse error: The document is empty")
    try:
        value, _ = json.JSONDecoder().raw_decode(body.decode("utf-8").lstrip(" \t\r\n"))
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: invalid UTF-8 at offset: {error.start}") from None
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {error.msg} at offset: {error.pos}") from None
    except (RecursionError, ValueError) as error:  # Too deep, or a number of too many digits.
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(value, dict):
        raise invalid(f"JSON Value: {_shown(value)} Is not object")
    return value


def read_inputs(request: dict[str, Any], infos: TensorInfos) -> tuple[dict[str, np.ndarray], bool]:
    """Returns the inputs of a predict request by name, and whether it is in row format.

    Args:
        request: The parsed body.
        infos: The inputs of the signature.

    Raises:
        ServingError: The request does not fit the signature.
    """
    if "instances" in request and "inputs" in request:
        raise invalid("Expecting only one of 'inputs' or 'instances' keys to exist")
    if "instances" in request:
        return _read_rows(request["instances"], infos), True
    if "inputs" in request:
        return _read_columns(request["inputs"], infos), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _read_rows(rows: Any, infos: TensorInfos) -> dict[str, np.ndarray]:
    if not isinstance(rows, list):
        raise invalid(f"JSON Value: {_shown(rows)} Expecting 'instances' to be an list/array")
    if not rows:
        raise invalid("No values in 'instances' array")
    named = _is_named(rows[0])
    if not named and len(infos) != 1:
        raise invalid("instances is a plain list, but expecting list of objects as multiple inputs")
    for index, row in enumerate(rows):
        if _is_named(row) != named:
            expected, got = ("object", "value/list") if named else ("value/list", "object")
            raise invalid(f"Expecting {expected} but got {got} at item {index} of input list")
        if named and row.keys() != infos.keys():
            keys = ",".join(sorted(infos))
            raise invalid(
                f"Failed to process element: {index} of 'instances' list. JSON object: "
                f"{_shown(row)} keys must be equal to: {keys}"
            )
    if not named:
        (name,) = infos
        return {name: _to_array(rows, infos[name])}
    return {name: _to_array([row[name] for row in rows], info) for name, info in infos.items()}


def _read_columns(columns: Any, infos: TensorInfos) -> dict[str, np.ndarray]:
    if not _is_named(columns):
        if len(infos) != 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple inputs"
            )
        (name,) = infos
        return {name: _to_array(columns, infos[name])}
    for name in sorted(infos):
        if name not in columns:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _to_array(columns[name], info) for name, info in infos.items()}


def _is_named(value: Any) -> bool:
    return isinstance(value, dict) and not _is_base64(value)


def _is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _to_array(value: Any, info: meta_graph_pb2.TensorInfo) -> np.ndarray:
    dtype = tf.as_dtype(info.dtype)
    shape, first = [], value
    while isinstance(first, list):
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    if len(shape) > _MAX_RANK:
        raise invalid(f"Lists are nested {len(shape)} deep; at most {_MAX_RANK} can be read.")
    values: list[Any] = [value]
    for level, size in enumerate(shape):
        for element in values:
            if not isinstance(element, list):
                raise invalid(
                    f"JSON Value: {_shown(element)} found at incorrect level: {level} in the JSON "
                    f"DOM. Expected at level: {len(shape)}"
                )
            if len(element) != size:
                raise invalid(
                    f"Encountered list at unexpected size: {len(element)} at level: {level} "
                    f"expected size: {size}"
                )
        values = [item for element in values for item in element]
    values = _convert(values, dtype)
    array = np.empty(len(values), dtype.as_numpy_dtype)
    array[:] = values
    return array.reshape(shape)


def _convert(values: list[Any], dtype: tf.DType) -> list[Any]:
    """Returns leaves of JSON as values of a type, as strictly as TensorFlow Serving does."""
    if dtype == tf.string:
        return [_to_bytes(value) for value in values]
    if dtype in _INTEGERS:
        wrong = [v for v in values if type(v) is not int or not dtype.min <= v <= dtype.max]
    elif dtype in _FLOATS:
        wrong = [v for v in values if type(v) not in (int, float) or _overflows(v)]
    elif dtype == tf.bool:
        wrong = [v for v in values if type(v) is not bool]
    else:
        raise invalid(f"Conversion of JSON values to type {dtype.name} is not supported.")
    if wrong:
        raise invalid(f"JSON Value: {_shown(wrong[0])} is not of expected type: {dtype.name}")
    return values


def _overflows(value: float) -> bool:
    return isinstance(value, int) and abs(value) >= 1 << 1023


def _to_bytes(value: Any) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode("utf-8")
        if _is_base64(value):
            text = value["b64"].rstrip("=").replace("-", "+").replace("_", "/")
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except UnicodeEncodeError:
        raise invalid("JSON Parse error: a string has a lone surrogate") from None
    except (binascii.Error, ValueError):
        raise invalid("Unable to base64 decode") from None
    if isinstance(value, dict):
        raise invalid(f"JSON Value: {_shown(value)} not formatted correctly for base64 data")
    raise invalid(f"JSON Value: {_shown(value)} is not of expected type: string")


def _shown(value: Any) -> str:
    """Returns the beginning of a value, for error messages."""
    try:
        text = json.dumps(value)
    except RecursionError:
        text = f"a nested {type(value).__name__}"
    return text if len(text) <= 256 else text[:256] + "..."


def write_outputs(outputs: Mapping[str, tf.Tensor], row_format: bool) -> dict[str, Any]:
    """Returns the answer to a predict request, ready for `json.dumps`.

    Args:
        outputs: The outputs by name, at least one.
        row_format: Whether the request was in row format.

    Raises:
        ServingError: The outputs cannot be written in this format.
    """
    if not outputs:
        raise invalid("Cannot convert empty tensor map to JSON")
    if not row_format:
        columns = {name: _to_json(name, tensor) for name, tensor in outputs.items()}
        return {"outputs": next(iter(columns.values())) if len(columns) == 1 else columns}
    sizes = {}
    for name, tensor in outputs.items():
        if tensor.shape.rank == 0:
            raise invalid(f"Tensor name: {name} has no shape information")
        sizes[name] = tensor.shape[0]
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        raise invalid(f"Tensors have inconsistent batch sizes: {listed}")
    columns = {name: _to_json(name, tensor) for name, tensor in outputs.items()}
    if len(columns) == 1:
        return {"predictions": next(iter(columns.values()))}
    rows = zip(*columns.values(), strict=True)
    return {"predictions": [dict(zip(columns, row, strict=True)) for row in rows]}


def _to_json(name: str, tensor: tf.Tensor) -> Any:
    array = tensor.numpy()
    if tensor.dtype == tf.float32:
        # The shortest decimals that are these numbers in 32 bits: 0.2, not 0.20000000298.
        texts = np.ravel(array).astype(str)
        array = np.array([float(text) for text in texts]).reshape(tensor.shape)
    elif tensor.dtype == tf.string:
        write = _to_base64 if name.endswith("_bytes") else _to_text
        leaves = [write(value) for value in np.ravel(np.asarray(array, object))]
        array = np.empty(len(leaves), object)
        array[:] = leaves
        array = array.reshape(tensor.shape)
    elif tensor.dtype not in (*_INTEGERS, tf.float64, tf.bool):
        raise invalid(f"Failed to write JSON value for tensor type: {tensor.dtype.name}")
    return array.tolist() if array.shape else array.item()


def _to_base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}


def _to_text(value: bytes) -> str:
    # JSON must be UTF-8; outputs of other bytes have names that end in `_bytes`.
    return value.decode("utf-8", errors="replace")
