"""Work that ends when its client goes away.

While a request is judged and answered nobody reads its connection, so a client that hung up would keep a model server
busy. `unless_gone` watches the connection beside the work and cancels the work, which then writes its closing record;
before there is an admission that is a refusal (`refused_if_cut_off`). What must not be cut in two, such as a record
being made durable, runs `unbroken`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.types import Receive

from gateway.entries import Exchange, Recorder, refusal
from gateway.errors import GatewayError

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed its connection; there is nobody to answer."""


@dataclass(slots=True)
class Client:
    """Whether the client of an exchange is still there: what tells a hang-up from our own shutting down."""

    is_gone: bool = False

    def why_ended(self, exc: BaseException) -> str:
        """The code for an exchange that was cancelled or closed by `exc`. To be asked in the task that it met."""
        if self.is_gone:
            return "client_gone"
        task = asyncio.current_task()
        is_cancelled = isinstance(exc, asyncio.CancelledError) or (task is not None and task.cancelling() > 0)
        return "shutting_down" if is_cancelled else "internal_error"


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T], client: Client | None = None) -> T:
    """The result of `work`, or ClientGone once the client has hung up and `work` has wound up; `client` is told so."""
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_hangs_up(receive))
    try:
        await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            if client is not None:
                client.is_gone = True
            raise ClientGone
        return task.result()
    finally:
        watch.cancel()
        if not task.done():
            task.cancel()
            await _wound_up(task)


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which comes to its end before a cancellation of its caller goes on."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _wound_up(task)
        raise


async def _wound_up(task: asyncio.Task[Any]) -> None:
    """Return when it is done. A client may hang up just when a drain is over: however often we are cancelled meanwhile,
    that goes on only then."""
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled


@asynccontextmanager
async def refused_if_cut_off(log: Recorder, exchange: Exchange, client: Client, bytes_in: int) -> AsyncGenerator[None]:
    """Around what comes before an exchange is admitted: cancelled in there, it is on record as refused first."""
    try:
        yield
    except asyncio.CancelledError as exc:
        code, status = client.why_ended(exc), 499 if client.is_gone else 503
        record = refusal(exchange.id, exchange.caller, exchange.route, code, status, bytes_in)
        with suppress(GatewayError):  # nobody is left who could be told
            await unbroken(log.append(record))
        raise


async def _hangs_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
