"""Reading pictures holds nobody up: a few may wait, the next is refused, and late ones get an answer in time."""

from __future__ import annotations

import asyncio
import threading

import pytest

from engine.errors import BadRequest, Unavailable
from engine.vision.desk import Desk


def failing() -> int:
    raise BadRequest("image_broken", "the image is broken")


async def test_results_and_errors_come_back() -> None:
    desk = Desk()
    assert await desk.read(lambda: 5, 10) == 5
    with pytest.raises(BadRequest):
        await desk.read(failing, 10)
    assert desk._waiting == 0


async def test_work_is_done_on_another_thread_and_one_at_a_time() -> None:
    desk, inside, most = Desk(), [0], [0]

    def work() -> str:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        inside[0] -= 1
        return threading.current_thread().name

    names = await asyncio.gather(*(desk.read(work, 10) for _ in range(8)))
    assert all(name.startswith("pictures") for name in names)
    assert most == [1]


async def test_one_too_many_is_refused_and_a_late_one_is_told_in_time() -> None:
    desk, gate = Desk(waiting=2), threading.Event()
    first = asyncio.create_task(desk.read(gate.wait, 10))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as late:
        await desk.read(lambda: None, 0.01)
    assert late.value.code == "deadline_exceeded"
    second = asyncio.create_task(desk.read(lambda: None, 10))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as full:
        await desk.read(lambda: None, 10)
    assert full.value.code == "overloaded"
    gate.set()
    await asyncio.gather(first, second)
    assert desk._waiting == 0
