"""A log directory made again from a bucket or a stream, so that `gatehouse audit verify` can judge it.

Of each object the oldest version counts: what came later under the same name was not written by a gateway, which never
puts other bytes under a name that is there. Objects that were removed or replaced are named, not hidden. Nothing here
proves anything; what was restored is as good as what verify says of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from gateway.audit.checkpoints import HISTORY, NEWEST, last_note
from gateway.audit.segments import segment_path
from gateway.audit.sinks.errors import RestoreError, SinkError
from gateway.audit.sinks.local import HISTORIES
from gateway.audit.sinks.stored import PART, RECORDS, SEAL, Copies, Stored


@dataclass(slots=True)
class Restored:
    """What was made, and what the person who asked for it should know."""

    records: int = 0
    removed: list[str] = field(default_factory=list)
    """Names that somebody asked the store to forget; their oldest version was used."""
    replaced: list[str] = field(default_factory=list)
    """Names under which other bytes were put later; their oldest version was used."""


def restore(bucket: Copies, out: Path) -> Restored:
    """Write a log directory to `out`, which must not be there yet. Raises RestoreError, SinkError or OSError."""
    restored = Restored()
    objects = _oldest(_all_versions(bucket), restored)
    if not objects:
        raise RestoreError(f"{bucket.described} holds no object of this log")
    out.mkdir(parents=True)
    (out / "seg").mkdir()
    for segment in sorted({int(found[1]) for name in objects if (found := RECORDS.fullmatch(name))}):
        restored.records += _write_segment(bucket, objects, segment, segment_path(out, segment))
    for history in HISTORIES:
        data = _joined(bucket, objects, history)
        if data:
            (out / history).write_bytes(data)
    if (out / HISTORY).exists():
        (out / NEWEST).write_bytes(last_note((out / HISTORY).read_bytes())[0])
    for name, stored in objects.items():
        if not RECORDS.fullmatch(name) and not PART.fullmatch(name):
            _write_small(bucket, stored, out)
    return restored


def _all_versions(bucket: Copies) -> list[Stored]:
    try:
        return list(bucket.list(versions=True))
    except SinkError:
        # Not every store keeps versions, nor may every key list them.
        return list(bucket.list())


def _oldest(versions: Iterable[Stored], restored: Restored) -> dict[str, Stored]:
    """Name -> the version that was there first."""
    found: dict[str, list[Stored]] = {}
    for version in versions:
        found.setdefault(version.name, []).append(version)
    objects: dict[str, Stored] = {}
    for name, several in sorted(found.items()):
        held = [version for version in several if not version.removed]
        if len(held) < len(several):
            restored.removed.append(name)
        if len({version.etag for version in held}) > 1:
            restored.replaced.append(name)
        if held:
            objects[name] = min(held, key=lambda version: version.time.timestamp() if version.time else 0.0)
    return objects


def _write_segment(bucket: Copies, objects: dict[str, Stored], segment: int, path: Path) -> int:
    """The records of one segment, in order; how many."""
    ranges = sorted(
        (int(found[2]), name) for name in objects if (found := RECORDS.fullmatch(name)) and int(found[1]) == segment
    )
    kept: list[bytes] = []
    for first, name in ranges:
        start = first - segment
        if start > len(kept):
            raise RestoreError(f"records {segment + len(kept)} to {first - 1} are not in {bucket.described}")
        lines = bucket.get(name, objects[name].version).splitlines(keepends=True)
        both = min(len(kept) - start, len(lines))
        if kept[start : start + both] != lines[:both]:
            raise RestoreError(f"`{name}` differs from another object in records that both hold")
        kept += lines[both:]
    path.write_bytes(b"".join(kept))
    return len(kept)


def _joined(bucket: Copies, objects: dict[str, Stored], history: str) -> bytes:
    """A growing file, from its parts."""
    parts = sorted((int(found[2]), name) for name in objects if (found := PART.fullmatch(name)) and found[1] == history)
    data = b""
    for start, name in parts:
        if start > len(data):
            raise RestoreError(f"bytes {len(data)} to {start - 1} of `{history}` are not in {bucket.described}")
        part = bucket.get(name, objects[name].version)
        if not part.startswith(data[start : start + len(part)]):
            raise RestoreError(f"`{name}` differs from another object in bytes that both hold")
        data += part[len(data) - start :]
    return data


def _write_small(bucket: Copies, stored: Stored, out: Path) -> None:
    name = SEAL.sub(r"seg/\1", stored.name)
    path = (out / name).resolve()
    if not path.is_relative_to(out.resolve()):
        raise RestoreError(f"{bucket.described} holds a name that leads out of the directory")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bucket.get(stored.name, stored.version))
