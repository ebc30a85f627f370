"""From the server's event loop to the engine thread and back.

A call owns its jobs: when it ends early (the client left, the server drains) they are marked, and the engine thread
drops them at its next step. Answers cross threads only through `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from engine.batching import ClassifyJob, ClassifyLane, Scores
from engine.errors import RequestError, StepFailed
from engine.loop import EngineLoop

CLASSIFY_DEADLINE_S = 30.0


async def classify(loop: EngineLoop, lane: ClassifyLane, inputs: Sequence[Sequence[int]]) -> list[Scores]:
    """Scores in the order of the inputs. The first error is the answer for all of them."""
    server = asyncio.get_running_loop()
    futures: list[asyncio.Future[Scores]] = [server.create_future() for _ in inputs]
    deadline = time.monotonic() + CLASSIFY_DEADLINE_S

    def job_for(ids: Sequence[int], future: asyncio.Future[Scores]) -> ClassifyJob:
        return ClassifyJob(ids, deadline, lambda outcome: _hand_over(server, future, outcome))

    jobs = [job_for(ids, future) for ids, future in zip(inputs, futures, strict=True)]
    with loop.lock():
        lane.add(jobs)
    try:
        return list(await asyncio.gather(*futures))
    finally:
        for job in jobs:
            job.cancelled = True


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
