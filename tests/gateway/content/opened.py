"""Content stores on real directories, and a log that outlives its process, for the tests of sealed content."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.audit.files import Files
from gateway.content.keys import MasterKey, Place
from gateway.content.keystore import Keystore
from gateway.content.settings import ContentSettings
from gateway.content.store import ContentStore, Item

ORIGIN = "test/gate/audit"
DAY_NS = 24 * 3600 * 10**9
CLASSES = MappingProxyType({"default": 30 * DAY_NS, "hipaa-6y": 6 * 366 * DAY_NS})
CANARY = "canary-4711-of-the-content"
MASTER = MasterKey(b"m" * 32)
_numbers = itertools.count()


def settings(directory: Path) -> ContentSettings:
    return ContentSettings(directory / "secret" / "master.key", CLASSES)


@asynccontextmanager
async def opened(directory: Path, files: Files | None = None) -> AsyncGenerator[ContentStore]:
    store = ContentStore.open(settings(directory), directory / "state", ORIGIN, files)
    try:
        yield store
    finally:
        await store.close()


def keystore(directory: Path) -> Keystore:
    return Keystore(directory / "keystore" / "keys.sqlite", MASTER, ORIGIN)


def place(req: str = "req-1", class_: str = "default", level: str = "request", ref: str = "") -> Place:
    return Place(ref or f"{next(_numbers):032x}", req, "tenant-a", class_, level, ORIGIN)


def item(text: str = CANARY, req: str = "req-1", owner: str = "", class_: str = "default") -> Item:
    return Item(place(req, class_), owner or req, {"text": text})


def everything_in(directory: Path) -> bytes:
    """All bytes of all files below a directory."""
    return b"".join(path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file())


class FileLog:
    """A log of JSON lines, durable when `append` returns. `die_at` n kills before record n, n + 0.5 after it."""

    def __init__(self, path: Path, die_at: float | None = None) -> None:
        self._path, self._die_at = path, die_at
        self._count = 0

    async def append(self, record: Mapping[str, Any]) -> int:
        if self._die_at == self._count:
            os.kill(os.getpid(), 9)
        with self._path.open("a") as file:
            file.write(json.dumps(dict(record)) + "\n")
            file.flush()
            os.fsync(file.fileno())
        if self._die_at == self._count + 0.5:
            os.kill(os.getpid(), 9)
        self._count += 1
        return self._count

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._path.read_text().splitlines()] if self._path.exists() else []
