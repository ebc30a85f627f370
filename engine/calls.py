"""From the server's event loop to the engine thread and back.

A call owns its jobs: when it ends early (the client left, the server drains) they are marked, and the engine thread
drops them at its next step. Answers cross threads only through `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.batching import ClassifyJob, ClassifyLane, Scores
from engine.errors import RequestError, StepFailed, Unavailable
from engine.events import Event, Finished, Grown
from engine.loop import EngineLoop

if TYPE_CHECKING:
    from engine.generate_wire import Asked
    from engine.generator import Generator

CLASSIFY_DEADLINE_S = 30.0


async def classify(
    loop: EngineLoop, lane: ClassifyLane, inputs: Sequence[Sequence[int]], seconds: float = CLASSIFY_DEADLINE_S
) -> list[Scores]:
    """Scores in the order of the inputs. The first error is the answer for all of them."""
    server = asyncio.get_running_loop()
    futures: list[asyncio.Future[Scores]] = [server.create_future() for _ in inputs]
    deadline = time.monotonic() + min(seconds, CLASSIFY_DEADLINE_S)

    def job_for(ids: Sequence[int], future: asyncio.Future[Scores]) -> ClassifyJob:
        return ClassifyJob(tuple(ids), deadline, lambda outcome: _hand_over(server, future, outcome))

    jobs = [job_for(ids, future) for ids, future in zip(inputs, futures, strict=True)]
    with loop.lock():
        lane.add(jobs)
    try:
        return list(await asyncio.gather(*futures))
    finally:
        for job in jobs:
            job.cancelled = True


async def generate(
    loop: EngineLoop, model: Generator, asked: Asked
) -> AsyncGenerator[tuple[int, Grown | Finished], None]:
    """(choice, event) until every choice is finished. Ending the iteration early cancels what is left."""
    server = asyncio.get_running_loop()
    asked = await _constrained(model, asked)
    events: asyncio.Queue[tuple[int, Event]] = asyncio.Queue()

    def receiver(choice: int) -> Callable[[Event], None]:
        return lambda event: _post(server, events, (choice, event))

    sequences = [model.sequence(asked.request_of(choice), receiver(choice)) for choice in range(asked.choices)]
    with loop.lock():
        model.lane.add(model.units(sequences))
    left = set(range(asked.choices))
    try:
        while left:
            choice, event = await events.get()
            if isinstance(event, RequestError):
                raise event
            if isinstance(event, Finished):
                left.discard(choice)
            yield choice, event
    finally:
        for sequence in sequences:
            sequence.cancelled = True


async def _constrained(model: Generator, asked: Asked) -> Asked:
    """With its grammar compiled, if it has one; on a thread, because a large one takes up to a second."""
    if asked.grammar is None:
        return asked
    server, left = asyncio.get_running_loop(), asked.request.deadline - time.monotonic()
    compiling = server.run_in_executor(model.constraints.pool, model.constraints.compiled, asked.grammar)
    try:
        constraint = await asyncio.wait_for(compiling, left)
    except TimeoutError as exc:
        raise Unavailable("deadline_exceeded", "the grammar was not compiled within the request's deadline") from exc
    return replace(asked, request=replace(asked.request, constraint=constraint))


def _post(
    server: asyncio.AbstractEventLoop, events: asyncio.Queue[tuple[int, Event]], event: tuple[int, Event]
) -> None:
    try:
        server.call_soon_threadsafe(events.put_nowait, event)
    except RuntimeError:
        # The server's loop is closed: the process is ending and nobody waits for this answer any more.
        return


def _hand_over(
    server: asyncio.AbstractEventLoop, future: asyncio.Future[Scores], outcome: Scores | RequestError
) -> None:
    try:
        server.call_soon_threadsafe(_settle, future, outcome)
    except RuntimeError:
        # The server's loop is closed: the process is ending and nobody waits for this answer any more.
        return


def _settle(future: asyncio.Future[Scores], outcome: Scores | RequestError) -> None:
    if future.done():
        return
    if isinstance(outcome, RequestError):
        future.set_exception(outcome)
    elif not outcome:
        future.set_exception(StepFailed("step_failed", "the classifier gave no scores"))
    else:
        future.set_result(outcome)
