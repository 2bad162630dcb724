"""A SavedModel in memory, called by the names of its signatures."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from primer_tf.serving.status import Code, ServingError, invalid
from primer_tf.types import StrPath

DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
_TAG = "serve"


class SavedModel:
    """Loads a SavedModel of any origin.

    Args:
        folder: Folder with `saved_model.pb`.

    Raises:
        ServingError: `saved_model.pb` is damaged, or has no graph for serving.
    """

    def __init__(self, folder: StrPath) -> None:
        self.folder = Path(folder)
        self.signatures = _read_signatures(self.folder)
        _load_text_ops()
        self._loaded = tf.saved_model.load(str(folder), tags=[_TAG])

    def signature(self, name: str) -> meta_graph_pb2.SignatureDef:
        """Returns the description of a signature.

        Args:
            name: The name of the signature; empty for `serving_default`.

        Raises:
            ServingError: There is no such signature.
        """
        name = name or DEFAULT_SIGNATURE
        if name not in self.signatures:
            message = f'Serving signature key "{name}" not found.'
            raise ServingError(Code.FAILED_PRECONDITION, message)
        return self.signatures[name]

    def predict(
        self,
        signature_name: str,
        inputs: Mapping[str, np.ndarray],
        output_filter: Iterable[str] = (),
    ) -> dict[str, tf.Tensor]:
        """Runs a signature.

        Args:
            signature_name: The name of the signature; empty for `serving_default`.
            inputs: The inputs by name. Those that have defaults may be absent.
            output_filter: The names of the outputs to return. Defaults to all.

        Returns:
            The outputs by name.

        Raises:
            ServingError: The signature, an input or an output does not exist or does not fit.
            tf.errors.OpError: The graph raised an error.
        """
        signature = self.signature(signature_name)
        wanted = _wanted_outputs(signature, output_filter)
        tensors = _checked_inputs(signature, inputs)
        outputs = self._loaded.signatures[signature_name or DEFAULT_SIGNATURE](**tensors)
        for name in wanted:
            if not isinstance(outputs[name], tf.Tensor):
                raise ServingError(Code.UNIMPLEMENTED, f"Output {name} is not a dense tensor.")
        return {name: outputs[name] for name in wanted}


def _read_signatures(folder: Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    try:
        model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    except FileNotFoundError:
        raise ServingError(Code.NOT_FOUND, f"{folder} has no saved_model.pb.") from None
    except DecodeError:
        raise ServingError(Code.DATA_LOSS, f"{folder}/saved_model.pb is damaged.") from None
    for graph in model.meta_graphs:
        if _TAG in graph.meta_info_def.tags:
            return dict(graph.signature_def)
    raise ServingError(Code.NOT_FOUND, f"{folder} has no graph with the tag {_TAG!r}.")


def _load_text_ops() -> None:
    """Registers the operations of TF Text, which TensorFlow Serving has, too."""
    try:
        import tensorflow_text  # noqa: F401
    except ImportError:
        return  # Models that do without them still load.


def _wanted_outputs(
    signature: meta_graph_pb2.SignatureDef, output_filter: Iterable[str]
) -> list[str]:
    wanted = list(output_filter)
    for name in wanted:
        if name not in signature.outputs:
            known = ",".join(sorted(signature.outputs))
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in "
                f"the set {{{known}}}."
            )
        if wanted.count(name) > 1:
            raise invalid(f"duplicate output tensor alias: {name}")
    return wanted or sorted(signature.outputs)


def _checked_inputs(
    signature: meta_graph_pb2.SignatureDef, inputs: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    extra = inputs.keys() - signature.inputs.keys()
    missing = signature.inputs.keys() - inputs.keys() - signature.defaults.keys()
    if extra or missing:
        raise invalid(
            f"input size does not match signature: {len(inputs)}!={len(signature.inputs)} "
            f"Sent extra: {{{','.join(sorted(extra))}}}. "
            f"Missing but required: {{{','.join(sorted(missing))}}}."
        )
    tensors = {}
    for name, info in signature.inputs.items():
        if name not in inputs:
            tensors[name] = tf.constant(tf.make_ndarray(signature.defaults[name]))
            continue
        dtype, shape = tf.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape)
        given = tf.as_dtype(inputs[name].dtype)
        if given != dtype:
            raise invalid(f"Input {name} must be of type {dtype.name}, not {given.name}.")
        if not shape.is_compatible_with(inputs[name].shape):
            raise invalid(
                f"Input {name} must have shape {shape}, not {tf.TensorShape(inputs[name].shape)}."
            )
        tensors[name] = tf.constant(inputs[name], dtype)
    return tensors
