"""TensorFlow Serving's REST API."""

import json
import re
from typing import Any

from fastapi import APIRouter, Request, Response
from google.protobuf.json_format import MessageToDict
from starlette.exceptions import HTTPException

from primer_tf.serving import json_tensors, protocol
from primer_tf.serving.config import ServerConfig
from primer_tf.serving.limits import read_body
from primer_tf.serving.manager import ModelManager
from primer_tf.serving.status import Code, ServingError, invalid
from primer_tf.serving.workers import Workers

_MODEL = r"/v1/models(?:/(?P<name>[^/:]+))?(?:/versions/(?P<number>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(_MODEL + r":(?P<method>classify|regress|predict)", re.IGNORECASE)
_LOOK = re.compile(_MODEL + r"(?P<metadata>/metadata)?", re.IGNORECASE)
# What a `ModelSpec` can hold.
_MAX_VERSION = (1 << 63) - 1


def error_answer(error: ServingError, headers: dict[str, str] | None = None) -> Response:
    """Returns an error as TensorFlow Serving writes it.

    Args:
        error: The error.
        headers: Further headers of the answer. Defaults to none.
    """
    return _json({"error": error.message}, error.code.http_status, headers)


async def http_error(request: Request, error: Exception) -> Response:
    """Returns an error of the router, such as an unknown path, as our errors are written.

    Args:
        request: The request.
        error: A `starlette.exceptions.HTTPException`.
    """
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code, dict(error.headers or {}))


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    content = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return Response(content, status, headers, "application/json")


class RestApi:
    """Answers below `/v1/models`.

    Args:
        manager: The models.
        workers: The threads that run them.
        config: The limits.
    """

    def __init__(self, manager: ModelManager, workers: Workers, config: ServerConfig) -> None:
        self._manager = manager
        self._workers = workers
        self._config = config
        self.router = APIRouter()
        self.router.add_api_route("/v1/{path:path}", self.get, methods=["GET"])
        self.router.add_api_route("/v1/{path:path}", self.post, methods=["POST"])

    async def get(self, request: Request) -> Response:
        """Answers with a status or with metadata."""
        found = _LOOK.fullmatch(request.url.path)
        if found is None:
            return error_answer(invalid(f"Malformed request: GET {request.url.path}"))
        api = "metadata" if found["metadata"] else "status"
        try:
            with self._workers.request(api, self._known(found["name"])):
                if not found["name"]:
                    raise invalid("Missing model name in request.")
                return _json(self._look(found))
        except ServingError as error:
            return error_answer(error)

    async def post(self, request: Request) -> Response:
        """Answers predict, and refuses classify and regress."""
        found = _CALL.fullmatch(request.url.path)
        if found is None or not found["name"]:
            return error_answer(invalid(f"Malformed request: POST {request.url.path}"))
        try:
            body = await read_body(request, self._config)
            with self._workers.request(found["method"].lower(), self._known(found["name"])):
                return await self._workers.run(lambda: self._call(found, body))
        except ServingError as error:
            return error_answer(error)

    def _known(self, name: str | None) -> str:
        # Clients must not create time series at will.
        return name if name in self._manager.configs else ""

    def _look(self, found: re.Match[str]) -> dict[str, Any]:
        name, number, label = found["name"], _number(found), found["label"]
        options = {
            "always_print_fields_with_no_presence": True,
            "preserving_proto_field_name": True,
        }
        if not found["metadata"]:
            return MessageToDict(
                protocol.model_status(self._manager, name, number, label), **options
            )
        with self._manager.use(name, number, label) as version:
            spec = MessageToDict(protocol.model_metadata(version).model_spec, **options)
            signatures = MessageToDict(protocol.signature_map(version), **options)
        return {"model_spec": spec, "metadata": {"signature_def": signatures}}

    def _call(self, found: re.Match[str], body: bytes) -> Response:
        with self._manager.use(found["name"], _number(found), found["label"]) as version:
            request = json_tensors.parse(body)
            signature_name = request.get("signature_name", "")
            if not isinstance(signature_name, str):
                raise invalid("'signature_name' key must be a string value.")
            if found["method"].lower() != "predict":
                protocol.check_method(version, signature_name, found["method"].lower())
            infos = self._inputs(version, signature_name)
            inputs, row_format = json_tensors.read_inputs(request, infos)
            outputs = protocol.predict(version, signature_name, inputs)
            return _json(json_tensors.write_outputs(outputs, row_format))

    @staticmethod
    def _inputs(version: Any, signature_name: str) -> json_tensors.TensorInfos:
        try:
            return version.loaded.saved_model.signature(signature_name).inputs
        except ServingError:
            message = f'Serving signature name: "{signature_name}" not found in signature def'
            raise ServingError(Code.INVALID_ARGUMENT, message) from None


def _number(found: re.Match[str]) -> int | None:
    if found["number"] is None:
        return None
    if len(found["number"]) > 19 or int(found["number"]) > _MAX_VERSION:
        raise invalid(f"Failed to convert version: {found['number'][:32]} to numeric.")
    return int(found["number"])
