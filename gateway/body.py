"""The request body off the wire: capped, with a deadline, unencoded.

No ASGI server measured has a deadline for the body, and a compressed body would be judged as other bytes than a model
server reads. A client that hangs up before the end of its body has not sent a request.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.requests import ClientDisconnect, Request

from gateway.errors import BadRequest, EncodingRefused, Slow, TooLarge

DEADLINE_S: Final = 30.0


async def read_body(request: Request, limit: int, *, deadline_s: float = DEADLINE_S) -> bytes:
    """The whole body. Raises TooLarge, Slow, EncodingRefused or BadRequest."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise EncodingRefused("content_encoding", "send the body without content-encoding")
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise EncodingRefused("content_type", "send the body as `application/json`")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body = bytearray()
    try:
        async with asyncio.timeout(deadline_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise Slow("body_timeout", f"the body did not arrive within {deadline_s:g} seconds") from None
    except ClientDisconnect:
        raise BadRequest("incomplete_body", "the connection closed before the end of the body") from None
    return bytes(body)


def _too_large(limit: int) -> TooLarge:
    return TooLarge("body_too_large", f"the body is larger than {limit} bytes")
