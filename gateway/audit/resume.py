"""`resume/<n>`: what a start has to know of everything before a segment, so that it need not read that again.

The writer notes it when it begins a segment: the peaks of the tree there, the leaf, time and epoch of the record
before, and the exchanges that are open. The key of the epoch signs it. It is a cache and no evidence: it is not synced,
a verifier does not look at it, and a start that finds none that fits reads the whole log instead.

One fits if its signature holds, every segment before it has a seal that holds, numbers and sizes of the files are
what the seals say, and the last of these seals is over the same root. What is then not noticed at a start is a
byte that was changed in a segment that was sealed before: the spot check and `gatehouse audit verify` read those. A log
whose segments are together small is read whole in any case.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.audit.epochs import EpochChain, require_time
from gateway.audit.errors import NoteError
from gateway.audit.merkle import Tree
from gateway.audit.note import strict_b64
from gateway.audit.packed import PACKED
from gateway.audit.record import Json
from gateway.audit.seal import open_seal, seal_path
from gateway.audit.segments import Segment
from gateway.audit.tiles import put_file

FORMAT: Final = "gatehouse-audit-resume/v1"
DIRECTORY: Final = "resume"
READ_WHOLE: Final = 64 * 1024 * 1024
"""Bytes of segments up to which a start reads all of them."""
_KEPT: Final = 2
"""The one before the newest serves a start after a crash so soon that the newest head is older than its segment."""
_NUMBER: Final = "(0|[1-9][0-9]{0,19})"
_LINES: Final = re.compile(
    rf"{FORMAT}\n([^\n]+)\nsize {_NUMBER}\nleaf ([^\n]+)\nwall {_NUMBER}\nepoch {_NUMBER}\npeaks ([^\n]*)\n"
    rf"open ([^\n]+)\ntime {_NUMBER}\n"
)


@dataclass(frozen=True, slots=True)
class Resume:
    """The state of a log before one of its segments."""

    origin: str
    tree: Tree
    leaf: bytes
    wall_ns: int
    epoch: int
    opened: dict[str, dict[str, Json]]
    time_ns: int
    """When it was signed."""

    def text(self) -> str:
        peaks = " ".join(_b64(peak) for peak in self.tree.peaks)
        return (
            f"{FORMAT}\n{self.origin}\nsize {self.tree.size}\nleaf {_b64(self.leaf)}\nwall {self.wall_ns}\n"
            f"epoch {self.epoch}\npeaks {peaks}\nopen {json.dumps(self.opened)}\ntime {self.time_ns}\n"
        )


def save(directory: Path, size: int, note: bytes) -> None:
    """Keep the note, and of earlier ones the newest. What cannot be written is done without."""
    folder = directory / DIRECTORY
    with suppress(OSError):
        put_file(folder / f"{size:016d}", note)
        for path in sorted(folder.glob("[0-9]*"))[:-_KEPT]:
            path.unlink(missing_ok=True)


def find(
    directory: Path, chain: EpochChain, segments: list[Segment], signed: int, read_whole: int = READ_WHOLE
) -> tuple[int, Resume] | None:
    """How many segments a start need not read, and the state behind them. None: it reads all.

    `signed`: size of the newest head that is known, with which the records that are read have to be compared.
    """
    sizes = [_size(segment.path) for segment in segments]
    for index in range(len(segments) - 1, 0, -1):
        path = directory / DIRECTORY / f"{segments[index].first:016d}"
        if segments[index].first > signed or sum(sizes) <= read_whole or not path.is_file():
            continue
        with suppress(OSError, NoteError):
            resume = open_resume(path.read_bytes(), chain)
            _require_sealed(chain, segments[: index + 1], sizes, resume.tree)
            return index, resume
    return None


def _size(path: Path) -> int:
    """Bytes of a segment's file; of a compressed one more than any, as it is part of a large log."""
    with suppress(FileNotFoundError):  # it is compressed just now
        if path.suffix != PACKED:
            return path.stat().st_size
    return 1 << 60


def open_resume(note: bytes, chain: EpochChain) -> Resume:
    """A note whose signature holds. NoteError if not."""
    text, epoch = chain.open(note)
    match = _LINES.fullmatch(text)
    if match is None or match[1] != chain.log_key.name:
        raise NoteError(f"note is not of the format `{FORMAT}`, or of another log")
    _, size, leaf, wall_ns, number, peaks, opened, time_ns = match.groups()
    require_time(epoch, int(time_ns))
    try:
        tree = Tree.of(int(size), [strict_b64(peak, 32) for peak in peaks.split()])
        return Resume(match[1], tree, strict_b64(leaf, 32), int(wall_ns), int(number), json.loads(opened), int(time_ns))
    except ValueError as exc:
        raise NoteError("note does not hold the peaks of a tree of its size") from exc


def _require_sealed(chain: EpochChain, segments: list[Segment], sizes: list[int], tree: Tree) -> None:
    """NoteError unless all segments but the last of these are there as they were sealed, and lead to this tree."""
    first, root = 0, b""
    for segment, size in zip(segments[:-1], sizes, strict=False):
        seal, _ = open_seal(seal_path(segment.path).read_bytes(), chain)
        if (segment.first, seal.first) != (first, first) or size < seal.size:
            raise NoteError(f"`{segment.path.name}` is not what its seal says")
        first, root = seal.last + 1, seal.root
    if (first, first, root) != (segments[-1].first, tree.size, tree.root()):
        raise NoteError("the segments before do not lead to the tree that was noted")


def _b64(value: bytes) -> str:
    return b64encode(value).decode()
