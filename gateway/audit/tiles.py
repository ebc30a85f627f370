"""The tree's hashes in C2SP tlog-tiles, so that a proof reads a few kilobytes and not the whole log.

A tile is 256 neighbouring hashes: of level 0, leaf hashes; of each level above, the roots of full tiles below. Tiles
are a cache beside the records. They are written without a sync and may be torn, stale or wrong after a crash or by
malice: nothing that comes out of them is believed before it led to a signed root, and everything in them can be made
again from the records. A tile that has not exactly the length it should have is an error, never a guess.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from gateway.audit.errors import NoteError, TileError
from gateway.audit.merkle import EMPTY_ROOT, between, neighbours, node_hash, split
from gateway.audit.note import strict_b64

WIDTH, HEIGHT = 256, 8
HASH = 32
FULL = WIDTH * HASH
DIRECTORY = "tile"
_BUILT = "built"
_MOST_CACHED = 64
_STATE = re.compile(r"(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/=]{44})\n")


class TileStore(Protocol):
    """Where tiles lie."""

    def read(self, level: int, index: int, width: int) -> bytes:
        """Exactly `width` hashes, or TileError."""

    def write(self, level: int, index: int, data: bytes) -> None:
        """Put a tile in place; fewer than 256 hashes make a partial one."""


def tile_name(level: int | str, index: int, width: int = WIDTH) -> str:
    """Path of a tile below `tile/`: `0/x001/x234/067`, and `.p/<W>` behind it where it is partial."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    return "/".join([str(level), *groups]) + (f".p/{width}" if width < WIDTH else "")


def root_of(hashes: bytes) -> bytes:
    """Root of the subtree above a power of two of hashes."""
    row = [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


class DiskTiles:
    """Tiles as files. One writer at a time makes sense, more do no harm: they put the same bytes in place by rename."""

    def __init__(self, directory: Path, keep_partial: bool = False) -> None:
        """`keep_partial`: leave partial tiles of earlier sizes, as a published log must."""
        self._directory, self._keep_partial = directory, keep_partial

    def read(self, level: int, index: int, width: int) -> bytes:
        name = tile_name(level, index, width)
        try:
            data = (self._directory / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError) as exc:
            if width < WIDTH and (grown := self._grown(level, index, width)):
                return grown
            raise TileError(f"tile `{name}` is missing") from exc
        if len(data) != width * HASH:
            raise TileError(f"tile `{name}` has {len(data)} bytes, expected {width * HASH}")
        return data

    def _grown(self, level: int, index: int, width: int) -> bytes | None:
        """The beginning of the same tile at a later size: it was replaced, and then came a crash."""
        full = self._directory / tile_name(level, index)
        partial = full.with_name(full.name + ".p")
        others = list(partial.iterdir()) if partial.is_dir() else []
        for path in (full, *others):
            with suppress(OSError):
                data = path.read_bytes()
                if len(data) > width * HASH and len(data) % HASH == 0:
                    return data[: width * HASH]
        return None

    def write(self, level: int, index: int, data: bytes) -> None:
        full = self._directory / tile_name(level, index)
        partial = full.with_name(full.name + ".p")
        width = len(data) // HASH
        put_file(full if width == WIDTH else partial / str(width), data)
        if not self._keep_partial and partial.is_dir():
            for path in partial.iterdir():
                if width == WIDTH or path.name != str(width):
                    path.unlink(missing_ok=True)
            if width == WIDTH:
                with suppress(OSError):  # another process puts a file in just now; it costs nothing
                    partial.rmdir()

    def state(self) -> tuple[int, bytes]:
        """Up to which size the tiles are complete, and the root at that size."""
        try:
            match = _STATE.fullmatch((self._directory / _BUILT).read_text("ascii"))
            if match is None:
                raise TileError(f"`{_BUILT}` does not hold a size and a root")
            return int(match[1]), strict_b64(match[2], HASH)
        except (OSError, UnicodeDecodeError, NoteError) as exc:
            raise TileError(f"`{_BUILT}` cannot be read") from exc

    def put_state(self, size: int, root: bytes) -> None:
        put_file(self._directory / _BUILT, f"{size}\n{b64encode(root).decode()}\n".encode())


class Overlay:
    """Tiles in memory in front of those of another store, which stays as it is."""

    def __init__(self, below: TileStore) -> None:
        self._below = below
        self._own: dict[tuple[int, int], bytes] = {}

    def read(self, level: int, index: int, width: int) -> bytes:
        own = self._own.get((level, index), b"")
        return own if len(own) == width * HASH else self._below.read(level, index, width)

    def write(self, level: int, index: int, data: bytes) -> None:
        self._own[level, index] = data


def put_file(path: Path, data: bytes) -> None:
    """Whole or not at all under its name, while the machine stays up. Not synced: what is lost is made again."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        temporary.write_bytes(data)
    temporary.replace(path)


class Tiles:
    """The tree: grows by leaves, and gives the hash of any range and with it any proof. Owned by one thread."""

    def __init__(self, store: TileStore, size: int = 0) -> None:
        """Go on with the tiles of a tree of that size. TileError if its unfinished tiles are not there."""
        self._store, self.size = store, size
        self._rows: list[bytearray] = []
        self._cache: dict[tuple[int, int], bytes] = {}
        for level, index, width in unfinished(size):
            self._rows += [bytearray() for _ in range(level + 1 - len(self._rows))]
            self._rows[level] += store.read(level, index, width)

    def push(self, leaf: bytes) -> None:
        """Add a leaf hash. A tile that is full now goes to the store."""
        self.size += 1
        level, node = 0, leaf
        while True:
            if level == len(self._rows):
                self._rows.append(bytearray())
            row = self._rows[level]
            row += node
            if len(row) < FULL:
                return
            data = bytes(row)
            row.clear()
            self._store.write(level, (self.size >> HEIGHT * (level + 1)) - 1, data)
            level, node = level + 1, root_of(data)

    def save(self) -> None:
        """Put the unfinished tiles into the store, too."""
        for level, index, width in unfinished(self.size):
            self._store.write(level, index, bytes(self._rows[level][: width * HASH]))

    def root(self, size: int | None = None) -> bytes:
        """Root over the first `size` leaves; all by default."""
        size = self.size if size is None else size
        return self.range_root(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> tuple[bytes, ...]:
        """RFC 6962 path of a leaf in the tree of that size."""
        return tuple(self.range_root(*span) for span in neighbours(index, size))

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """RFC 6962 proof that the tree of `new` leaves begins with the one of `old`."""
        return tuple(self.range_root(*span) for span in between(old, new))

    def range_root(self, start: int, end: int) -> bytes:
        """Root of a subtree as RFC 6962 divides a tree: only its right parts may be incomplete."""
        if end > self.size:
            raise TileError(f"the tiles hold {self.size} leaves, expected {end}")
        span = end - start
        if span & (span - 1) == 0:
            return self._node(span.bit_length() - 1, start >> span.bit_length() - 1)
        middle = split(start, end)
        return node_hash(self.range_root(start, middle), self.range_root(middle, end))

    def _node(self, height: int, index: int) -> bytes:
        level, up = divmod(height, HEIGHT)
        tile, at = divmod(index << up, WIDTH)
        return root_of(self._tile(level, tile)[at * HASH : (at + (1 << up)) * HASH])

    def _tile(self, level: int, index: int) -> bytes:
        if index == self.size >> HEIGHT * (level + 1):
            return bytes(self._rows[level])
        data = self._cache.get((level, index))
        if data is None:
            data = self._store.read(level, index, WIDTH)
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            self._cache[level, index] = data
        return data


def unfinished(size: int) -> Iterator[tuple[int, int, int]]:
    """Level, index and width of each partial tile of a tree of that size."""
    level = 0
    while size >> HEIGHT * level:
        index, width = divmod(size >> HEIGHT * level, WIDTH)
        if width:
            yield level, index, width
        level += 1


def resumed(disk: DiskTiles, store: TileStore | None = None) -> Tiles:
    """The tree that the tiles on disk hold; growth goes to `store`. TileError when they do not make up their root."""
    size, root = disk.state()
    tiles = Tiles(store or disk, size)
    if tiles.root() != root:
        raise TileError("the tiles do not make up the root they were built for")
    return tiles


def faults(disk: DiskTiles, size: int) -> Iterator[str | None]:
    """Look at every full tile: None for one that its parent agrees with, what is wrong with any other."""
    level = 0
    while parents := size >> HEIGHT * (level + 1):
        for above in range(-(-parents // WIDTH)):
            width = min(WIDTH, parents - above * WIDTH)
            try:
                entries = disk.read(level + 1, above, width)
            except TileError as exc:
                yield str(exc)
                continue
            for at in range(width):
                yield _fault(disk, level, above * WIDTH + at, entries[at * HASH : (at + 1) * HASH])
        level += 1


def _fault(disk: DiskTiles, level: int, index: int, entry: bytes) -> str | None:
    try:
        good = root_of(disk.read(level, index, WIDTH)) == entry
    except TileError as exc:
        return str(exc)
    return None if good else f"tile `{tile_name(level, index)}` is not what the tile above it says"
