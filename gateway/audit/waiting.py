"""Who waits for a record to become durable, and how they hear of it: with one call into each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from gateway.audit.draft import Draft
from gateway.audit.errors import AuditUnavailable, RecordError, Unconfirmed
from gateway.audit.writer import Receipt


class Waiting(NamedTuple):
    """A record on its way."""

    draft: Draft
    future: asyncio.Future[Receipt] | None = None
    """None: the log's own record, for which nobody waits."""
    loop: asyncio.AbstractEventLoop | None = None
    """Where it is waited for, and the future is touched: what two threads touch by turns costs both."""


def deliver(batch: list[Waiting], results: Sequence[Receipt | Exception]) -> None:
    """Wake the callers. From any thread."""
    for loop in {waiting.loop for waiting in batch if waiting.loop is not None}:
        try:
            loop.call_soon_threadsafe(_settle, loop, batch, results)
        except RuntimeError:
            # The loop was closed: nobody waits there any more, and the records are where they should be.
            continue


def fail(batch: list[Waiting], problem: str, written: Sequence[Receipt | RecordError] = ()) -> None:
    """`written`: what became of them in the local log, where only other places lack them."""
    told = [Unconfirmed(problem, one.seq) if isinstance(one, Receipt) else one for one in written]
    deliver(batch, told or [AuditUnavailable(problem) for _ in batch])


def _settle(loop: asyncio.AbstractEventLoop, batch: list[Waiting], results: Sequence[Receipt | Exception]) -> None:
    """Tell those who wait in this loop."""
    for waiting, result in zip(batch, results, strict=True):
        future = waiting.future
        if future is None or waiting.loop is not loop or future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
