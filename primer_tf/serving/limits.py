"""How much a client may send, how long it may take, and who it must be."""

import asyncio
import hmac

from fastapi import Request
from starlette.requests import ClientDisconnect

from primer_tf.serving.status import Code, ServingError


async def read_body(request: Request, max_bytes: int, timeout_seconds: float) -> bytes:
    """Returns the body of a request.

    Args:
        request: The request.
        max_bytes: Size that the body may have.
        timeout_seconds: Seconds within which the body arrives.

    Raises:
        ServingError: The body is larger, late, or never ends because the client is gone.
    """
    body = bytearray()

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
