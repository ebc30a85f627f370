"""Unpacking holds nobody up, and whatever it does to its process, the next picture finds one."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import pytest

from gateway.errors import Unavailable
from gateway.picture_process import NoPicture, PictureProcess
from tests.gateway.pictures import GIF, PNG, encoded_png, moving_gif

Script = Callable[..., PictureProcess]


@pytest.fixture
async def process() -> AsyncIterator[PictureProcess]:
    async with aclosing(PictureProcess()) as process:
        yield process


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    """A process that runs some lines of Python instead."""
    made: list[PictureProcess] = []

    def make(program: str, **options: Any) -> PictureProcess:
        made.append(PictureProcess((sys.executable, "-c", program), **options))
        return made[-1]

    yield make
    for process in made:
        await process.aclose()


async def test_pictures_come_back_packed_anew(process: PictureProcess) -> None:
    (packed,) = await process.clean(PNG, base64.b64encode(encoded_png(6, 4)).decode(), False)
    assert packed.url.startswith("data:image/png;base64,")
    assert packed.at is None
    assert packed.url not in repr(packed)
    frames = await process.clean(GIF, base64.b64encode(moving_gif(25)).decode(), True)
    assert [one.at for one in frames] == [0.0, 1.0, 2.0]


async def test_a_refusal_leaves_the_process_alive(process: PictureProcess) -> None:
    for _ in range(2):
        with pytest.raises(NoPicture) as caught:
            await process.clean(PNG, base64.b64encode(b"no picture").decode(), False)
        assert caught.value.code == "image_type"
    first = process._process
    await process.clean(PNG, base64.b64encode(encoded_png(6, 4)).decode(), False)
    assert process._process is first


async def test_one_that_takes_too_long_is_killed_and_the_next_has_a_new_one(script: Script) -> None:
    process = script("import time; time.sleep(60)", unpack_s=0.2)
    with pytest.raises(NoPicture) as caught:
        await process.clean(PNG, "QUJD", False)
    assert caught.value.code == "image_slow"
    assert process._process is None


@pytest.mark.parametrize(
    "program",
    ["import os; os._exit(1)", "import sys; sys.stdin.readline(); print('nonsense', flush=True); sys.stdin.read()",
     "print('{\"pictures\": [{\"kind\": \"image/png\", \"length\": 99, \"at\": null}]}')"],
)  # fmt: skip
async def test_one_that_ends_or_talks_nonsense_costs_its_picture_only(script: Script, program: str) -> None:
    process = script(program)
    for _ in range(2):
        with pytest.raises(NoPicture) as caught:
            await process.clean(PNG, "QUJD", False)
        assert caught.value.code == "image_broken"


async def test_a_cancelled_call_leaves_no_half_answer(script: Script) -> None:
    process = script("import time; time.sleep(60)")
    call = asyncio.create_task(process.clean(PNG, "QUJD", False))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert process._process is None


async def test_too_many_waiting_are_refused(script: Script) -> None:
    process = script("import time; time.sleep(60)", waiting=1)
    call = asyncio.create_task(process.clean(PNG, "QUJD", False))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as caught:
        await process.clean(PNG, "QUJD", False)
    assert caught.value.code == "overloaded"
    call.cancel()
    await asyncio.wait((call,))


async def test_without_a_program_pictures_are_unavailable() -> None:
    with pytest.raises(Unavailable):
        await PictureProcess(("/does/not/exist",)).clean(PNG, "QUJD", False)
