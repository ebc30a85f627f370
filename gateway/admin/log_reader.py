"""The log as the gateway reads it for an auditor: by the command `gatehouse audit`, in a process of its own.

A search can mean that millions of records are indexed first. In this process that would hold up every answer that is
being judged, so it is another one, of lower priority, one at a time, and ended when it takes too long; what it had
indexed by then stays, and the next question goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.errors import Unavailable

_PROGRAM: Final = "import sys; from gateway.cli import main; sys.exit(main())"
_PATIENCE_S: Final = 50.0
_NICE: Final = 10
FOUND, NOTHING = 0, 1


class LogReader:
    """Asks one log. Raises Unavailable when it gives no answer."""

    def __init__(self, directory: Path, program: Sequence[str] = (sys.executable, "-c", _PROGRAM)) -> None:
        self._directory, self._program = directory, tuple(program)
        self._one_at_a_time = asyncio.Lock()
        self.patience_s = _PATIENCE_S

    async def search(self, options: Sequence[str], words: Sequence[str]) -> list[str]:
        """Stored lines, oldest first, for which all of this holds; options and words as the command has them."""
        said = await self._run("search", "--json", *options, "--", *words)
        return said.decode().splitlines()

    async def day(self, day: str, until: str, by: str) -> dict[str, int]:
        """How many records of each kind a day has."""
        said = await self._run("stats", "--json", "--by", by, "--since", day, "--until", until)
        counts: dict[str, int] = json.loads(said)["counts"]
        return counts

    async def _run(self, verb: str, *words: str) -> bytes:
        command = (*self._program, "audit", verb, "--dir", str(self._directory), *words)
        async with self._one_at_a_time:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
                async with asyncio.timeout(self.patience_s):
                    said, _ = await process.communicate()
            except TimeoutError:
                raise Unavailable("index_behind", "the search index is not up to date yet: ask again") from None
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
        if process.returncode not in (FOUND, NOTHING):
            raise Unavailable("audit_unreadable", "the log or its search index cannot be read")
        return said
