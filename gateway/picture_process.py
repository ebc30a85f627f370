"""The process that unpacks pictures: started when one comes, asked one at a time, killed when it takes too long.

What strangers pack is unpacked there and nowhere else in the gateway (engine/vision/sanitise.py says how). The event
loop only moves bytes. A picture that costs the process its life is refused, and the next one gets a new process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import Unavailable

PROGRAM: Final = (sys.executable, "-m", "engine.vision.sanitise")
WAITING: Final = 32
"""Pictures that may wait for it, of all exchanges."""
UNPACK_S: Final = 15.0
START_S: Final = 30.0
_LINE: Final = 64 * 1024
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG")


@dataclass(frozen=True, slots=True)
class Packed:
    """A picture as it may be passed on."""

    url: str = field(repr=False)
    at: float | None = None
    """Seconds into what it is a frame of."""


class NoPicture(Exception):
    """These bytes are not passed on."""

    def __init__(self, code: str, problem: str) -> None:
        super().__init__(problem)
        self.code, self.problem = code, problem


class PictureProcess:
    """One for each process that serves. It ends with the one that started it."""

    def __init__(self, program: Sequence[str] = PROGRAM, unpack_s: float = UNPACK_S, waiting: int = WAITING) -> None:
        self._program, self._unpack_s, self._most = tuple(program), unpack_s, waiting
        self._process: asyncio.subprocess.Process | None = None
        self._ending: set[asyncio.Future[tuple[bytes, bytes]]] = set()
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def clean(self, media: str, encoded: str, is_moving: bool) -> list[Packed]:
        """What a file becomes. Raises NoPicture, and Unavailable when too many wait."""
        if self._waiting >= self._most:
            raise Unavailable("overloaded", f"{self._waiting} images wait to be unpacked; try again later")
        self._waiting += 1
        try:
            async with self._turn:
                return await self._asked(media, encoded, is_moving)
        finally:
            self._waiting -= 1

    async def _asked(self, media: str, encoded: str, is_moving: bool) -> list[Packed]:
        process = await self._running()
        is_whole = False
        try:
            async with asyncio.timeout(self._unpack_s):
                found = await _exchange(process, media, encoded, is_moving)
            is_whole = True
        except TimeoutError as exc:
            raise NoPicture("image_slow", f"the image takes more than {self._unpack_s:g} s to unpack") from exc
        except (OSError, EOFError, ValueError) as exc:
            raise NoPicture("image_broken", "the image is broken: unpacking it fails") from exc
        finally:
            # Half an answer may be on its way, also when the exchange was given up.
            if not is_whole:
                self._end()
        if isinstance(found, NoPicture):
            raise found
        return found

    async def _running(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            pipe = asyncio.subprocess.PIPE
            try:
                async with asyncio.timeout(START_S):
                    self._process = await asyncio.create_subprocess_exec(
                        *self._program, stdin=pipe, stdout=pipe, limit=_LINE, env=_environment()
                    )
            except (OSError, TimeoutError) as exc:
                raise Unavailable("images_unavailable", "images cannot be unpacked now") from exc
        return self._process

    async def aclose(self) -> None:
        """End it, if it runs."""
        self._end()
        if self._ending:
            await asyncio.wait(self._ending)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        ending = asyncio.ensure_future(process.communicate())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


def _environment() -> dict[str, str]:
    """What Python needs to find its programs. Keys may stand in the rest."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}


async def _exchange(
    process: asyncio.subprocess.Process, media: str, encoded: str, is_moving: bool
) -> list[Packed] | NoPicture:
    """EOFError, OSError or ValueError when the process does not answer as it should."""
    source, sink = process.stdout, process.stdin
    assert source is not None
    assert sink is not None
    sink.write(f"{media} {len(encoded)} {'moving' if is_moving else 'still'}\n".encode())
    sink.write(encoded.encode("ascii"))
    await sink.drain()
    told = json.loads(await source.readline() or b"x")
    if "code" in told:
        return NoPicture(str(told["code"]), str(told["problem"]))
    found: list[Packed] = []
    for one in told["pictures"]:
        data = (await source.readexactly(int(one["length"]))).decode("ascii")
        found.append(Packed(f"data:{one['kind']};base64,{data}", one["at"]))
    return found
