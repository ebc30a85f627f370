"""The log as messages of a stream, each after the one before it and nothing between: an exact copy without a gap.

Messages are named as objects in a bucket are. At each connection the newest message of each kind is compared with the
log, and every small file once: nothing is put behind a message of somebody else, so that a foreign one is always among
those. A stream from which something was removed, or that holds less than it had acknowledged, is left alone until a
person has looked.
"""

from __future__ import annotations

from gateway.audit.sinks.errors import SinkConflict
from gateway.audit.sinks.local import HISTORIES, LocalLog
from gateway.audit.sinks.position import START, Piece, Position
from gateway.audit.sinks.settings import StreamPlace
from gateway.audit.sinks.stored import PART, RECORDS, SEAL_FILE, part_name, records_name
from gateway.audit.sinks.stream import Stream, require_whole

_RECORDS = "records"
_MOST = 256 * 1024
"""Bytes of a message; servers take a megabyte unless they are told otherwise."""


class StreamSink:
    """Owned by its worker's thread."""

    most_bytes = _MOST
    window_s = 0.0
    heads_every_s = 1.0

    def __init__(self, place: StreamPlace) -> None:
        self._place, self._stream = place, Stream(place)
        self._held: dict[str, int] = {}
        self._compared: set[str] = set()
        """Small files that were found to be those of the log."""

    def connect(self, local: LocalLog, known: Position | None) -> Position:
        info = self._stream.open()
        require_whole(info, self._place.subject)
        subjects = info.state.subjects or {}
        at = self._position(local, known or START)
        ends = {name: self._history(local, name) for name in HISTORIES}
        small = {name: size for name in local.small_files() if (size := self._small(local, name, subjects)) is not None}
        ours = {f"{self._place.subject}.{subject}" for subject in (_RECORDS, *map(_subject, (*HISTORIES, *small)))}
        if not ours.issuperset(subjects):
            raise self._changed("something that the log does not have")
        self._held = small | ends
        return at

    def _position(self, local: LocalLog, known: Position) -> Position:
        newest = self._stream.newest(_RECORDS)
        found = RECORDS.fullmatch(newest[0]) if newest is not None else None
        if newest is not None and found is None:
            raise self._changed("records under a name that is none")
        first, seq = (int(found[2]), int(found[3]) + 1) if found is not None else (0, 0)
        if seq < known.seq:
            raise SinkConflict("sink_set_back", f"it holds records up to {seq} and had acknowledged {known.seq}")
        if newest is None or found is None:
            return START
        at = known if seq == known.seq else local.position(seq)
        is_same = newest[1] == local.before(at, len(newest[1])) and newest[1].count(b"\n") == seq - first
        if int(found[1]) != at.segment or not is_same:
            raise self._changed(f"records {first} to {seq - 1} that are not the log's")
        return at

    def _history(self, local: LocalLog, name: str) -> int:
        """How far a growing file has come."""
        newest = self._stream.newest(_subject(name))
        if newest is None:
            return 0
        found = PART.fullmatch(newest[0])
        begin, end = (int(found[2]), int(found[3])) if found is not None and found[1] == name else (0, -1)
        if len(newest[1]) != end - begin or not local.history(name, begin).startswith(newest[1]):
            raise self._changed(f"a part of `{name}` that is not the log's")
        return end

    def _small(self, local: LocalLog, name: str, subjects: dict[str, int]) -> int | None:
        """Size of a small file, if it is there: once, and as the log has it."""
        count = subjects.get(f"{self._place.subject}.{_subject(name)}", 0)
        if count == 0:
            return None
        data = local.read(name)
        if name not in self._compared:
            newest = self._stream.newest(_subject(name))
            if count != 1 or newest is None or newest[1] != data:
                raise self._changed(f"another `{name}` than the log")
            self._compared.add(name)
        return len(data)

    def _changed(self, what: str) -> SinkConflict:
        return SinkConflict("sink_changed", f"stream `{self._place.stream}` holds {what}")

    def held(self) -> dict[str, int]:
        return self._held

    def put(self, piece: Piece) -> None:
        self._stream.put(_RECORDS, records_name(piece.at.segment, piece.at.seq, len(piece.lines)), piece.data)

    def put_file(self, name: str, data: bytes) -> None:
        self._stream.put(_subject(name), SEAL_FILE.sub(r"seals/\1", name), data)

    def put_history(self, name: str, offset: int, data: bytes) -> None:
        for start in range(0, len(data), _MOST):
            part = data[start : start + _MOST]
            self._stream.put(_subject(name), part_name(name, offset + start, len(part)), part)

    def close(self) -> None:
        self._stream.close()


def _subject(name: str) -> str:
    """Behind the log's own subject: `file.` and the name of a small file, or `history.` and that of a growing one."""
    kind = "history" if name in HISTORIES else "file"
    return f"{kind}.{name.replace('/', '-').replace('.', '-')}"
