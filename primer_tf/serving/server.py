"""The server: its parts, its start and its stop."""

import logging
import signal
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response
from starlette.exceptions import HTTPException

from primer_tf.errors import UserError
from primer_tf.serving.completions import CompletionsApi
from primer_tf.serving.config import ModelConfig, ServerConfig
from primer_tf.serving.grpc_services import GrpcServices
from primer_tf.serving.limits import BearerToken
from primer_tf.serving.loaded_version import LoadedVersion
from primer_tf.serving.manager import ModelManager, State
from primer_tf.serving.metrics import Metrics
from primer_tf.serving.rest import RestApi, error_answer, http_error
from primer_tf.serving.status import Code, ServingError
from primer_tf.serving.workers import Workers

# These need no token: whether the server is alive is no secret, and the page asks for the token.
_HEALTH, _PAGE = "/healthz", "/"
_PAGE_FILE = Path(__file__).with_name("page.html")
# The page loads nothing from anywhere else.
_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; connect-src 'self'; img-src data:; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'"
}
_GRACE_SECONDS = 10


class Server:
    """Serves models over REST and gRPC.

    Args:
        models: The models.
        config: Addresses and limits. Defaults to those of `ServerConfig`.

    Raises:
        UserError: A port is taken, or a model has no version that can be served.

    Example:

        models = models_of_folders(["runs/mine/serving"])
        Server(models).run()
    """

    def __init__(self, models: Sequence[ModelConfig], config: ServerConfig | None = None) -> None:
        self.config = config = config or ServerConfig()
        self.metrics = Metrics()
        self._workers = Workers(
            self.metrics, config.max_concurrent_requests, config.timeout_seconds
        )
        self.manager = ModelManager(models, self._load, config.poll_seconds)
        self._grpc = GrpcServices(
            self.manager,
            self._workers,
            config.max_request_bytes,
            config.max_concurrent_requests,
            config.token,
        )
        self._socket = _listen(config.host, config.rest_api_port)
        self.rest_api_port = self._socket.getsockname()[1]
        try:
            self.port = self._grpc.start(f"{_bracketed(config.host)}:{config.port}")
        except RuntimeError:
            raise UserError(f"Port {config.port} cannot be had; give another one.") from None
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                self._app(),
                log_level=logging.WARNING,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                server_header=False,
                http="h11",  # httptools is faster, but it takes heads of any size
                ws="none",
            )
        )

    def _load(self, model: str, number: int, folder: Path) -> LoadedVersion:
        return LoadedVersion(
            folder, self.config.max_request_bytes, self.config.max_batch_size, self.metrics
        )

    def load(self) -> None:
        """Loads the models, and starts to watch their folders.

        Raises:
            UserError: A model has no version that can be served.
        """
        self.manager.start()
        for name, model in self.manager.configs.items():
            versions = [v for v in self.manager.statuses() if v.model == name]
            if not any(version.state is State.AVAILABLE for version in versions):
                self.stop()
                reasons = [version.error.message for version in versions if version.error]
                reason = reasons[0] if reasons else "there is no numbered folder in it"
                raise UserError(f"Nothing in {model.folder} can be served: {reason}")

    def run(self) -> None:
        """Answers requests until the process gets SIGTERM or SIGINT; `load` comes first."""
        if threading.current_thread() is threading.main_thread():
            # uvicorn stops at these signals, then raises them again.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: None)
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self.stop()

    def stop_soon(self) -> None:
        """Lets `run` return, from another thread."""
        self._uvicorn.should_exit = True

    def stop(self) -> None:
        """Answers what is in work over gRPC, and frees all models."""
        self._grpc.stop(_GRACE_SECONDS)
        self.manager.stop()
        self._workers.close()
        self._socket.close()

    def _app(self) -> FastAPI:
        app = FastAPI(
            title="primer serve",
            openapi_url=None,
            redirect_slashes=False,
            exception_handlers={HTTPException: http_error},
        )
        error = ServingError(Code.UNAUTHENTICATED, "Send the server's bearer token.")
        app.add_middleware(
            BearerToken,
            token=self.config.token,
            open_paths=(_HEALTH, _PAGE),
            refusal=error_answer(error, {"WWW-Authenticate": "Bearer"}),
        )

        @app.get(_HEALTH)
        async def health() -> Response:
            return Response("ok\n", media_type="text/plain")

        @app.get(_PAGE)
        async def page() -> Response:
            return Response(_PAGE_FILE.read_bytes(), 200, _PAGE_HEADERS, "text/html; charset=utf-8")

        @app.get("/metrics")
        async def metrics() -> Response:
            return Response(self.metrics.page(), media_type="text/plain; version=0.0.4")

        for api in (CompletionsApi, RestApi):  # The second one has the rest of `/v1`.
            app.include_router(api(self.manager, self._workers, self.config).router)
        return app


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"Cannot listen on {host}:{port}: {reason}.") from None
    return listener
