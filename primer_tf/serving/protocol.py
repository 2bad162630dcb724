"""TensorFlow Serving's answers, which REST and gRPC share."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from primer_tf.serving.manager import ModelManager, Version
from primer_tf.serving.status import Code, invalid

SIGNATURE_DEF = "signature_def"
DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY


def chosen_version(spec: model_pb2.ModelSpec) -> tuple[str, int | None, str | None]:
    """Returns the model's name, the number and the label of a `ModelSpec`.

    Args:
        spec: The `ModelSpec`.
    """
    choice = spec.WhichOneof("version_choice")
    number = spec.version.value if choice == "version" else None
    return spec.name, number, spec.version_label if choice == "version_label" else None


def model_status(
    manager: ModelManager, name: str, number: int | None, label: str | None
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the states of a model's versions.

    Args:
        manager: The models.
        name: The model's name.
        number: The number of a version, or `None`.
        label: The label of a version, or `None`.
    """
    number = manager.resolve(name, number, label)
    answer = get_model_status_pb2.GetModelStatusResponse()
    for version in manager.statuses(name, number):
        entry = answer.model_version_status.add()
        entry.version, entry.state = version.number, version.state.value
        code = Code.OK if version.error is None else version.error.code
        entry.status.error_code = code.number
        entry.status.error_message = "" if version.error is None else version.error.message
    return answer


def model_metadata(version: Version) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns the signatures of a version.

    Args:
        version: A loaded version.
    """
    answer = get_model_metadata_pb2.GetModelMetadataResponse()
    answer.model_spec.name = version.model
    answer.model_spec.version.value = version.number
    answer.metadata[SIGNATURE_DEF].Pack(signature_map(version))
    return answer


def signature_map(version: Version) -> get_model_metadata_pb2.SignatureDefMap:
    """Returns the signatures of a version as one message.

    Args:
        version: A loaded version.
    """
    return get_model_metadata_pb2.SignatureDefMap(
        signature_def=version.loaded.saved_model.signatures
    )


def check_method(version: Version, signature_name: str, method: str) -> None:
    """Refuses the methods that take `tf.train.Example`, as TensorFlow Serving would.

    Args:
        version: A loaded version.
        signature_name: The name of the signature; empty for `serving_default`.
        method: `"classify"` or `"regress"`.

    Raises:
        ServingError: Always; `UNIMPLEMENTED` for a signature that has this method.
    """
    name = signature_name or DEFAULT_SIGNATURE
    signatures = version.loaded.saved_model.signatures
    if name not in signatures:
        raise invalid(f"No signature was found with the name: {name}")
    expected, actual = f"tensorflow/serving/{method}", signatures[name].method_name
    if actual != expected:
        raise invalid(f"Expected {method} signature method_name to be {expected}. Was: {actual}")
    error = invalid(f"primer serve answers predict, not {method}.")
    error.code = Code.UNIMPLEMENTED
    raise error


def predict(
    version: Version,
    signature_name: str,
    inputs: Mapping[str, np.ndarray],
    output_filter: tuple[str, ...] = (),
) -> dict[str, tf.Tensor]:
    """Runs a signature of a version.

    Args:
        version: A loaded version.
        signature_name: The name of the signature; empty for `serving_default`.
        inputs: The inputs by name.
        output_filter: The names of the outputs to return. Defaults to all.
    """
    return version.loaded.saved_model.predict(signature_name, inputs, output_filter)
