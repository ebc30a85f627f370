"""A task that nobody awaits lives as long as it has something to do, and says so when it fails."""

from __future__ import annotations

import asyncio
import gc

from structlog.testing import capture_logs

from gateway.background import Background
from tests.doubles import eventually

CANARY = "words-of-a-user"


async def fails() -> None:
    raise ValueError(CANARY)


async def test_a_failure_is_logged_at_once_by_type_and_place_and_without_its_message() -> None:
    background = Background()
    with capture_logs() as logs:
        task = background.start(fails())
        await eventually(task.done)
        await asyncio.sleep(0)
    [row] = logs
    assert (row["event"], row["work"], row["error"]) == ("background_failed", "fails", "ValueError")
    assert row["at"].startswith("test_background.py:")
    assert CANARY not in str(logs)


async def test_a_task_is_not_collected_while_it_waits() -> None:
    background, done = Background(), asyncio.Event()

    async def waits() -> None:
        await asyncio.get_running_loop().create_future()

    async def works() -> None:
        await asyncio.sleep(0.01)
        done.set()

    background.start(waits())
    background.start(works())
    await asyncio.sleep(0)
    gc.collect()
    await asyncio.wait_for(done.wait(), 5)
    background.cancel()
    await background.ended()


async def test_what_is_cancelled_is_waited_for_and_is_no_failure() -> None:
    background, wound_up = Background(), list[str]()

    async def works() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            wound_up.append("done")

    with capture_logs() as logs:
        background.start(works())
        await asyncio.sleep(0)
        background.cancel()
        await background.ended()
        assert wound_up == ["done"]
        await background.ended(0)
    assert logs == []


async def test_patience_has_an_end() -> None:
    background = Background()
    task = background.start(asyncio.sleep(60))
    await background.ended(0.01)
    assert not task.done()
    background.cancel()
    await background.ended()
