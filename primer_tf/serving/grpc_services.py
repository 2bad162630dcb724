"""TensorFlow Serving's gRPC services, `PredictionService` and `ModelService`."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from primer_tf.serving import protocol
from primer_tf.serving.limits import is_authorized
from primer_tf.serving.manager import ModelManager
from primer_tf.serving.status import ServingError, invalid
from primer_tf.serving.tensor_protos import to_array, to_proto
from primer_tf.serving.workers import Workers

T = TypeVar("T")
_CODES = {code.value[0]: code for code in grpc.StatusCode}
# TensorFlow Serving cuts messages at this many bytes, since they travel in a header.
_MAX_MESSAGE = 1024


class GrpcServices:
    """The gRPC server.

    Args:
        manager: The models.
        workers: Counts the requests.
        max_request_bytes: Size of a request.
        max_concurrent_requests: Requests that are in work at the same time.
        token: What clients send as bearer token, or `None`.
    """

    def __init__(
        self,
        manager: ModelManager,
        workers: Workers,
        max_request_bytes: int,
        max_concurrent_requests: int,
        token: str | None,
    ) -> None:
        self.manager = manager
        self.workers = workers
        self.max_request_bytes = max_request_bytes
        self.token = token
        self._server = grpc.server(
            ThreadPoolExecutor(max_concurrent_requests, thread_name_prefix="grpc"),
            maximum_concurrent_rpcs=max_concurrent_requests,
            options=[
                ("grpc.max_receive_message_length", max_request_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),
            ],
        )
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _PredictionService(self), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(self), self._server)

    def start(self, address: str) -> int:
        """Starts to listen.

        Args:
            address: Host and port.

        Returns:
            The port.

        Raises:
            RuntimeError: The address cannot be had.
        """
        port = self._server.add_insecure_port(address)
        self._server.start()
        return port

    def stop(self, grace_seconds: float) -> None:
        """Takes no new requests, and waits for those in work.

        Args:
            grace_seconds: Seconds after which they are cancelled.
        """
        self._server.stop(grace_seconds).wait()

    def answer(
        self,
        api: str,
        spec: model_pb2.ModelSpec,
        context: grpc.ServicerContext,
        function: Callable[[], T],
    ) -> T:
        """Returns what a function returns; its errors become gRPC's.

        Args:
            api: What was asked for, such as `"predict"`.
            spec: The model that was asked for.
            context: The context of the call.
            function: The function.
        """
        header = dict(context.invocation_metadata()).get("authorization")
        if not is_authorized(header, self.token):
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "Send the server's bearer token.")
        name = spec.name if spec.name in self.manager.configs else ""
        try:
            with self.workers.request(api, name):
                return function()
        except ServingError as error:
            message = error.message
            encoded = message.encode("utf-8", "replace")
            if len(encoded) > _MAX_MESSAGE:
                message = encoded[:_MAX_MESSAGE].decode("utf-8", "ignore") + "...TRUNCATED"
            context.abort(_CODES[error.code.number], message)
            raise AssertionError("abort raises") from error


def _checked_spec(request: Any) -> tuple[str, int | None, str | None]:
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    return protocol.chosen_version(request.model_spec)


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, services: GrpcServices) -> None:
        self._services = services

    def Predict(
        self, request: predict_pb2.PredictRequest, context: grpc.ServicerContext
    ) -> predict_pb2.PredictResponse:
        """Runs a signature."""
        answer = lambda: self._predict(request)  # noqa: E731
        return self._services.answer("predict", request.model_spec, context, answer)

    def _predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        limit = self._services.max_request_bytes
        signature_name = request.model_spec.signature_name or protocol.DEFAULT_SIGNATURE
        with self._services.manager.use(*_checked_spec(request)) as version:
            inputs = {k: to_array(k, proto, limit) for k, proto in request.inputs.items()}
            wanted = tuple(request.output_filter)
            outputs = protocol.predict(version, signature_name, inputs, wanted)
            answer = predict_pb2.PredictResponse()
            answer.model_spec.name = version.model
            answer.model_spec.version.value = version.number
            answer.model_spec.signature_name = signature_name
            for name, tensor in outputs.items():
                answer.outputs[name].CopyFrom(to_proto(tensor))
            return answer

    def GetModelMetadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """Describes the signatures of a version."""

        def answer() -> get_model_metadata_pb2.GetModelMetadataResponse:
            chosen = _checked_spec(request)
            if not request.metadata_field:
                raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
            for field in request.metadata_field:
                if field != protocol.SIGNATURE_DEF:
                    raise invalid(f"Metadata field {field} is not supported")
            with self._services.manager.use(*chosen) as version:
                return protocol.model_metadata(version)

        return self._services.answer("metadata", request.model_spec, context, answer)

    def Classify(
        self, request: classification_pb2.ClassificationRequest, context: grpc.ServicerContext
    ) -> None:
        """Refuses, as no signature of ours takes `tf.train.Example`."""
        self._refuse("classify", request, context)

    def Regress(
        self, request: regression_pb2.RegressionRequest, context: grpc.ServicerContext
    ) -> None:
        """Refuses, as no signature of ours takes `tf.train.Example`."""
        self._refuse("regress", request, context)

    def _refuse(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        def answer() -> None:
            with self._services.manager.use(*_checked_spec(request)) as version:
                protocol.check_method(version, request.model_spec.signature_name, method)

        self._services.answer(method, request.model_spec, context, answer)


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, services: GrpcServices) -> None:
        self._services = services

    def GetModelStatus(
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Describes the states of a model's versions."""
        answer = lambda: protocol.model_status(  # noqa: E731
            self._services.manager, *_checked_spec(request)
        )
        return self._services.answer("status", request.model_spec, context, answer)
