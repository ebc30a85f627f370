"""The tiles beside a log: read for proofs, kept up to date, and made again from the records when they are wrong.

Reading never writes: what the tiles lack of a head is added in memory. Every tree that comes out of here has the root
that was asked for. A tile deep inside can still be wrong without that being noticed; then a proof taken from it does
not check, and whoever takes one checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from gateway.audit.errors import TileError
from gateway.audit.lookup import stored_lines
from gateway.audit.merkle import leaf_hash
from gateway.audit.tiles import DIRECTORY, HASH, WIDTH, DiskTiles, Overlay, Tiles, faults, resumed

STRIDE = 256
"""Records between two calls of a pause."""


def cache_of(directory: Path) -> DiskTiles:
    """The tiles in a log directory."""
    return DiskTiles(directory / DIRECTORY)


def tree_of(directory: Path, size: int, root: bytes) -> Tiles:
    """The tree of at least `size` records whose first `size` have this root. TileError, LookupError, or OSError."""
    disk = cache_of(directory)
    tiles = resumed(disk, Overlay(disk))
    _grow(tiles, directory, size, lambda: None)
    if tiles.root(size) != root:
        raise TileError("the tiles do not make up the signed root")
    return tiles


def refresh(directory: Path, size: int, root: bytes, pause: Callable[[], None]) -> None:
    """Bring the tiles up to this size. TileError if they, or the records since, do not make up the root."""
    disk = cache_of(directory)
    tiles = resumed(disk)
    if tiles.size >= size:
        return
    _grow(tiles, directory, size, pause)
    _finish(disk, tiles, root)


def rebuild(directory: Path, size: int, root: bytes, pause: Callable[[], None], store: DiskTiles | None = None) -> int:
    """Make every tile again from the records; how many were missing or wrong. TileError: the records are."""
    disk = store or cache_of(directory)
    mending = _Mending(disk)
    tiles = Tiles(mending)
    _grow(tiles, directory, size, pause)
    _finish(disk, tiles, root)
    return mending.mended


def check(directory: Path, pause: Callable[[], None]) -> None:
    """Hold every tile against the one above it. TileError names the first that does not agree."""
    disk = cache_of(directory)
    for fault in faults(disk, resumed(disk).size):
        if fault is not None:
            raise TileError(fault)
        pause()


class _Mending:
    """Writes where something else is, or nothing, and counts that."""

    def __init__(self, disk: DiskTiles) -> None:
        self._disk, self.mended = disk, 0

    def read(self, level: int, index: int, width: int) -> bytes:
        return self._disk.read(level, index, width)

    def write(self, level: int, index: int, data: bytes) -> None:
        try:
            if self._disk.read(level, index, len(data) // HASH) == data:
                return
        except TileError:
            pass
        self.mended += len(data) == WIDTH * HASH
        self._disk.write(level, index, data)


def _grow(tiles: Tiles, directory: Path, size: int, pause: Callable[[], None]) -> None:
    if tiles.size >= size:
        return
    for leaf in _leaves(directory, tiles.size, size):
        tiles.push(leaf)
        if not tiles.size % STRIDE:
            pause()
    if tiles.size < size:
        raise TileError(f"the log holds {tiles.size} records, expected {size}")


def _leaves(directory: Path, start: int, end: int) -> Iterator[bytes]:
    return map(leaf_hash, islice(stored_lines(directory, start), end - start))


def _finish(disk: DiskTiles, tiles: Tiles, root: bytes) -> None:
    if tiles.root() != root:
        raise TileError("the records and tiles do not make up the root of the log")
    tiles.save()
    disk.put_state(tiles.size, root)
