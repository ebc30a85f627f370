"""V11: the blobs of sealed content are those that records name, or their absence was authorised.

Only digests are compared; nothing is decrypted, no key is needed. A blob that is there must have the digest its record
says. One that is not there must be named, by itself or by its key, by an erasure written after it, which nobody refused
later. Memory: an entry for each blob that is there, and one for each that is not.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from gateway.audit.chunk import ERASURES, Event, Problem
from gateway.audit.errors import RecordError
from gateway.audit.record import Json, parse_line
from gateway.audit.report import DoesNotHold, Exit, Finding, Report
from gateway.audit.segments import LONGEST

_CHUNK: Final = 1 << 20


class _Absent(NamedTuple):
    seq: int
    kek_id: str
    blob: tuple[str, int]
    """Digest and size, as the record says."""


class Blobs:
    """What lies in the content directory, and what records say of it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._look()
        self._absent: dict[str, _Absent] = {}
        self._by_key: dict[str, set[str]] = {}
        self._erased: dict[tuple[str, str], dict[str, _Absent]] = {}
        """By kind and call of the erasure, as its refusal takes it back."""
        self._found = 0

    def _look(self) -> None:
        files = sorted(self._directory.rglob("*.blobs"))
        self._present = {ref: (digest, size) for path in files for ref, digest, size in _read(path)}

    def take(self, seq: int, event: Event) -> Problem | None:
        """Go on with one record."""
        for entry in event.content if isinstance(event.content, list) else []:
            ref, digest, size, kek_id = self._entry(entry)
            if not ref:
                return Problem("content", "`ref`, `ct_sha256`, `bytes` and `kek_id`", "another kind or none")
            if ref not in self._present:
                self._absent[ref] = _Absent(seq, kek_id, (digest, size))
                self._by_key.setdefault(kek_id, set()).add(ref)
            elif self._present[ref] != (digest, size):
                return Problem("content_altered", f"blob {ref} as the record says", "another one")
            else:
                self._found += 1
        if event.kind in ERASURES:
            self._erase(event)
        return None

    @staticmethod
    def _entry(entry: Json) -> tuple[str, str, int, str]:
        fields = entry if isinstance(entry, dict) else {}
        ref, digest, size, kek_id = (fields.get(name) for name in ("ref", "ct_sha256", "bytes", "kek_id"))
        if isinstance(ref, str) and isinstance(digest, str) and type(size) is int and isinstance(kek_id, str):
            return ref, digest, size, kek_id
        return "", "", 0, ""

    def _erase(self, event: Event) -> None:
        call = (event.kind, event.request)
        if "refused" in event.told:
            for ref, absent in self._erased.pop(call, {}).items():
                self._absent[ref] = absent
                self._by_key.setdefault(absent.kek_id, set()).add(ref)
            return
        erase = event.told.get("erase")
        fields = erase if isinstance(erase, dict) else {}
        refs, kek_id = fields.get("refs"), fields.get("kek_id")
        named = [ref for ref in refs if isinstance(ref, str)] if isinstance(refs, list) else []
        if isinstance(kek_id, str):
            named += self._by_key.pop(kek_id, ())
        for ref in named:
            if ref in self._absent:
                absent = self._absent.pop(ref)
                self._by_key.get(absent.kek_id, set()).discard(ref)
                self._erased.setdefault(call, {})[ref] = absent

    def finish(self, report: Report) -> None:
        """Whatever is absent still was not erased with authority."""
        if self._absent:
            # The log may be growing: blobs of its newest records were written after the first look.
            self._look()
            late = {ref for ref, absent in self._absent.items() if self._present.get(ref) == absent.blob}
            self._found += len(late)
            self._absent = {ref: absent for ref, absent in self._absent.items() if ref not in late}
        if self._absent:
            ref, absent = min(self._absent.items(), key=lambda item: item[1].seq)
            expected = f"blob {ref}, or a record that authorises its erasure"
            raise DoesNotHold(
                Finding(Exit.INCOMPLETE, "content_missing", "content", expected, "neither", seq=absent.seq)
            )
        report.blobs, report.erased = self._found, sum(len(refs) for refs in self._erased.values())


def _read(path: Path) -> Iterator[tuple[str, str, int]]:
    """Name, digest and size of each whole blob in a file. What follows an unfinished one was never named."""
    with path.open("rb") as file, suppress(RecordError):
        while (head := file.readline(LONGEST)).endswith(b"\n"):
            fields = parse_line(head[:-1])
            ref, size = fields.get("ref"), fields.get("bytes")
            if not isinstance(ref, str) or type(size) is not int or size < 0:
                return
            digest = _digest(file, size)
            if digest is None or file.read(1) != b"\n":
                return
            yield ref, digest, size


def _digest(file: BinaryIO, size: int) -> str | None:
    """Of the next so many bytes; None if there are fewer. Whoever wrote the size may have made it up."""
    digest = sha256()
    while size:
        data = file.read(min(size, _CHUNK))
        if not data:
            return None
        digest.update(data)
        size -= len(data)
    return b64encode(digest.digest()).decode()
