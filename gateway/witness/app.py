"""The witness over HTTP: two routes of C2SP tlog-witness, and one that says it is alive.

Requests need no key: what counts is the signature on the head. A body is bounded; nothing of it is logged but the log's
name, once that is known, and the outcome.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.audit.anchors.witness import CERTIFICATE_HEADER, SIZE_TYPE
from gateway.witness.errors import Refused, WitnessError
from gateway.witness.service import Witness

log = structlog.get_logger()
LONGEST = 64 * 1024
_HASH = re.compile(r"[0-9a-f]{64}")


def make_witness_app(witness: Witness, body_s: float = 10.0) -> Starlette:
    """The application. A body has to be there within `body_s`."""

    async def add_checkpoint(request: Request) -> Response:
        try:
            async with asyncio.timeout(body_s):
                body = await _body(request)
            line = await asyncio.to_thread(witness.add_checkpoint, body, _certificate(request))
        except TimeoutError:
            return PlainTextResponse("the body did not come in time\n", 408)
        except Refused as exc:
            log.warning("head_refused", status=exc.status, problem=exc.problem)
            if exc.seen is not None:
                return Response(f"{exc.seen}\n", 409, headers={"content-type": SIZE_TYPE})
            return PlainTextResponse(exc.problem + "\n", exc.status)
        except (WitnessError, OSError) as exc:
            log.error("witness_unusable", problem=str(exc))
            return PlainTextResponse("the witness cannot keep what it sees\n", 500)
        log.info("head_cosigned")
        return PlainTextResponse(line)

    async def checkpoint(request: Request) -> Response:
        name = request.path_params["origin"]
        note = await asyncio.to_thread(witness.checkpoint, name) if _HASH.fullmatch(name) else None
        return PlainTextResponse(note) if note is not None else PlainTextResponse("not seen\n", 404)

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/livez", livez),
            Route("/{origin}/checkpoint", checkpoint),
        ]
    )


async def _body(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LONGEST:
            raise Refused(413, "the body is too long")
    return body


def _certificate(request: Request) -> bytes:
    try:
        return b64decode(request.headers.get(CERTIFICATE_HEADER, ""), validate=True)
    except ValueError as exc:
        raise Refused(400, f"`{CERTIFICATE_HEADER}` is not base64") from exc
