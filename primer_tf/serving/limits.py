"""How much a client may send, how long it may take, and who it must be."""

import asyncio
import hmac
from collections.abc import Collection

from fastapi import Request, Response
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from primer_tf.serving.config import ServerConfig
from primer_tf.serving.status import Code, ServingError


async def read_body(request: Request, config: ServerConfig) -> bytes:
    """Returns the body of a request.

    Args:
        request: The request.
        config: The size that the body may have, and the seconds within which it arrives.

    Raises:
        ServingError: The body is larger, late, or never ends because the client is gone.
    """
    body, max_bytes, timeout_seconds = bytearray(), config.max_request_bytes, config.timeout_seconds

    async def read() -> None:
        async for chunk in request.stream():
            body.extend(chunk)
            if len(body) > max_bytes:
                raise ServingError(
                    Code.RESOURCE_EXHAUSTED, f"The request has more than {max_bytes} bytes."
                )

    try:
        await asyncio.wait_for(read(), timeout_seconds)
    except TimeoutError:
        message = f"The request did not arrive within {timeout_seconds:g} seconds."
        raise ServingError(Code.DEADLINE_EXCEEDED, message) from None
    except ClientDisconnect:
        raise ServingError(Code.CANCELLED, "The client is gone.") from None
    return bytes(body)


def is_authorized(header: str | None, token: str | None) -> bool:
    """Returns whether an `Authorization` header has the server's token.

    Args:
        header: The header, or `None`.
        token: The token, or `None` if the server asks for none.
    """
    if token is None:
        return True
    scheme, _, given = (header or "").partition(" ")
    same = hmac.compare_digest(given.strip().encode("utf-8"), token.encode("utf-8"))
    return scheme.lower() == "bearer" and same


class BearerToken:
    """Refuses HTTP requests without the server's token, before anything of them is read.

    It is middleware in ASGI's own form: Starlette's class for middleware takes half a millisecond.

    Args:
        app: The application behind it.
        token: The token, or `None` if the server asks for none.
        open_paths: Paths that need no token.
        refusal: The answer to requests without the token.
    """

    def __init__(
        self, app: ASGIApp, token: str | None, open_paths: Collection[str], refusal: Response
    ) -> None:
        self._app = app
        self._token = token
        self._open_paths = open_paths
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        is_open = scope["type"] != "http" or scope["path"] in self._open_paths
        if is_open or is_authorized(Headers(scope=scope).get("authorization"), self._token):
            await self._app(scope, receive, send)
        else:
            await self._refusal(scope, receive, send)
