"""Keeps the tiles beside a running log up to date, on a thread of its own that gives way often.

Requests and the writer never wait for it. At its start it holds every tile against the one above it and makes all of
them again when one does not agree; so does a failure later. Tiles that lag or are bad slow proofs down and do no
other harm. When the records themselves do not make up the log's root, somebody changed them: an error in the log.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import structlog

from gateway.audit.errors import TileError
from gateway.audit.tile_cache import check, rebuild, refresh
from gateway.audit.tiles import DIRECTORY
from gateway.audit.upkeep import Upkeep

log = structlog.get_logger()
EVERY_S = 5.0
_REST_S = 0.002
"""After each 256 records or each tile, so that a log that is caught up with does not slow requests down."""
_AGAIN_S = 600.0
"""How soon everything is read again after records did not make up the root."""


class TileKeeper:
    """One log's tiles and their thread."""

    def __init__(self, directory: Path, head: Callable[[], tuple[int, bytes]], every_s: float = EVERY_S) -> None:
        """`head` gives size and root of what is durable, from any thread."""
        self._directory, self._head = directory, head
        self._checked = False
        self._not_before = 0.0
        self._told = ""
        self.upkeep = Upkeep("tiles", self.turn, every_s, _REST_S)

    def turn(self) -> None:
        """Bring the tiles up to the present head, whatever state they are in."""
        size, root = self._head()
        is_first, self._checked = not self._checked, True
        try:
            if is_first:
                check(self._directory, self.upkeep.pause)
            refresh(self._directory, size, root, self.upkeep.pause)
            self._told = ""
        except TileError as exc:
            self._rebuild(size, root, str(exc))
        except (LookupError, OSError) as exc:
            self._tell(str(exc))

    def _rebuild(self, size: int, root: bytes, problem: str) -> None:
        if time.monotonic() < self._not_before:
            return
        were_made = (self._directory / DIRECTORY).exists()
        try:
            mended = rebuild(self._directory, size, root, self.upkeep.pause)
        except TileError as exc:
            self._not_before = time.monotonic() + _AGAIN_S
            log.error("records_do_not_make_up_the_root", problem=str(exc), act="run `gatehouse audit verify`")
        except (LookupError, OSError) as exc:
            self._tell(str(exc))
        else:
            # A new log has none: nothing was wrong with them.
            if were_made:
                log.info("tiles_made_again", problem=problem, records=size, full_tiles=mended)

    def _tell(self, problem: str) -> None:
        """Once, while it stays the same: a full disk is full for more than one turn."""
        if problem != self._told:
            log.warning("tiles_not_written", problem=problem)
        self._told = problem
