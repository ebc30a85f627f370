"""Changes of a real file are told once, when they are over."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.file_watch import changes, look

EVERY_S = 0.02


def put(path: Path, content: bytes | None) -> None:
    path.unlink() if content is None else path.write_bytes(content)


async def told(path: Path, *steps: bytes | None) -> int:
    """How many changes were told while the file was written (None: removed) step by step."""
    count = 0

    async def watch() -> None:
        nonlocal count
        async for _ in changes(path, look(path), EVERY_S):
            count += 1

    task = asyncio.create_task(watch())
    await asyncio.sleep(4 * EVERY_S)
    for step in steps:
        await asyncio.to_thread(put, path, step)
        await asyncio.sleep(6 * EVERY_S)
    task.cancel()
    return count


async def test_each_change_is_told_once(tmp_path: Path) -> None:
    file = tmp_path / "policy.bundle"
    file.write_bytes(b"one")
    assert await told(file) == 0
    assert await told(file, b"second", b"third one") == 2


async def test_a_file_that_is_replaced_or_comes_back_is_a_change_and_one_that_goes_is_none(tmp_path: Path) -> None:
    file = tmp_path / "policy.bundle"
    file.write_bytes(b"one")
    assert await told(file, None) == 0
    assert await told(file, b"back again") == 1


async def test_a_file_that_is_still_being_written_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "policy.bundle"
    file.write_bytes(b"")
    count = 0

    async def watch() -> None:
        nonlocal count
        async for _ in changes(file, look(file), EVERY_S):
            count += 1

    task = asyncio.create_task(watch())
    await asyncio.sleep(4 * EVERY_S)
    with file.open("ab") as growing:
        for _ in range(60):
            growing.write(b"x" * 100)
            growing.flush()
            await asyncio.sleep(EVERY_S / 10)
        assert count == 0
    await asyncio.sleep(6 * EVERY_S)
    task.cancel()
    assert count == 1


async def test_what_was_written_after_the_file_was_read_and_before_it_was_watched_is_a_change(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_bytes(b"as it was read")
    since = look(file)
    file.write_bytes(b"edited while the gateway started")
    async with asyncio.timeout(5):
        await anext(aiter(changes(file, since, EVERY_S)))
