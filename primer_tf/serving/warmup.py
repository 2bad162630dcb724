"""Replays the requests that an export brings along, so that the first client need not wait."""

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from primer_tf.serving.saved_model import SavedModel
from primer_tf.serving.tensor_protos import to_array

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
# TensorFlow Serving accepts no more.
_MAX_RECORDS = 1000


def warm_up(model: SavedModel, max_bytes: int) -> int:
    """Runs the predict requests of a SavedModel's warm-up file.

    Args:
        model: The SavedModel.
        max_bytes: Size that an input may have.

    Returns:
        The number of requests that ran.

    Raises:
        ServingError: A request does not fit the model.
        tf.errors.OpError: The file is damaged, or a request failed.
    """
    path = model.folder / WARMUP_FILE
    if not path.is_file():
        return 0
    count = 0
    for record in tf.data.TFRecordDataset(str(path)).take(_MAX_RECORDS):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        if log.HasField("predict_log"):
            request = log.predict_log.request
            inputs = {k: to_array(k, proto, max_bytes) for k, proto in request.inputs.items()}
            model.predict(request.model_spec.signature_name, inputs, request.output_filter)
            count += 1
    return count
