"""gRPC answers to the real clients of TensorFlow Serving."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)


@pytest.fixture
def stub(server):
    return prediction_service_pb2_grpc.PredictionServiceStub(server.channel)


def request(signature="", model="toy", **inputs):
    made = predict_pb2.PredictRequest()
    made.model_spec.name, made.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        made.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return made


def test_predict(stub):
    answer = stub.Predict(request("line", x=np.float32([1, 2]), offset=np.float32([1])))
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("toy", 3)
    assert list(answer.outputs["y"].float_val) == [4, 7]
    strings = stub.Predict(request("text", s=[b"a\xff"])).outputs
    assert list(strings["same_bytes"].string_val) == [b"a\xff"]


def test_absent_inputs_have_defaults_and_outputs_can_be_chosen(stub):
    asked = request("line", x=np.float32([1]))
    asked.output_filter.append("y")
    asked.model_spec.version.value = 2
    answer = stub.Predict(asked)
    assert list(answer.outputs) == ["y"] and list(answer.outputs["y"].float_val) == [2.5]


def test_status_and_metadata(server, stub):
    models = model_service_pb2_grpc.ModelServiceStub(server.channel)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "toy"
    found = models.GetModelStatus(status).model_version_status
    assert [(v.version, v.state) for v in found] == [(3, 30), (2, 30)]
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "toy"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    stub.GetModelMetadata(metadata).metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) >= {"serving_default", "line", "text", "total"}


def huge():
    made = request(x=np.float32([1]))
    made.inputs["x"].tensor_shape.dim[0].size = 1 << 50
    return made


def resource():
    made = request(x=np.float32([1]))
    made.inputs["x"].dtype = types_pb2.DT_RESOURCE
    return made


def filtered(*names):
    made = request(x=np.float32([1]))
    made.output_filter.extend(names)
    return made


@pytest.mark.parametrize(
    ("asked", "code", "message"),
    [
        (request(model="none"), "NOT_FOUND", "Servable not found"),
        (request("none"), "FAILED_PRECONDITION", 'Serving signature key "none" not found'),
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "Missing ModelSpec"),
        (request(), "INVALID_ARGUMENT", "Missing but required: {x}"),
        (request(x=np.float32([1]), z=[1]), "INVALID_ARGUMENT", "Sent extra: {z}"),
        (request(x=[1]), "INVALID_ARGUMENT", "must be of type float32, not int32"),
        (request(x=np.float32([[1]])), "INVALID_ARGUMENT", "must have shape (None,)"),
        (request("total", ids=[[1, -1]]), "INVALID_ARGUMENT", "ids[:, :] must not be negative"),
        (filtered("z"), "INVALID_ARGUMENT", "output tensor alias not found"),
        (filtered("y", "y"), "INVALID_ARGUMENT", "duplicate output"),
        (huge(), "INVALID_ARGUMENT", "more than"),
        (resource(), "INVALID_ARGUMENT", "no array has the type resource"),
        # In a header, every byte of them becomes three.
        (request("\U0001f600" * 2000), "FAILED_PRECONDITION", "...TRUNCATED"),
    ],
)
def test_bad_requests(stub, asked, code, message):
    with pytest.raises(grpc.RpcError) as raised:
        stub.Predict(asked)
    assert raised.value.code().name == code
    assert message in raised.value.details()


def test_other_methods_refuse_as_tensorflow_serving_does(stub):
    asked = classification_pb2.ClassificationRequest()
    asked.model_spec.name = "toy"
    with pytest.raises(grpc.RpcError) as raised:
        stub.Classify(asked)
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
