"""`add-checkpoint` of C2SP tlog-witness, without the HTTP around it.

A head is cosigned when a key of its log signed it and it continues the head that was cosigned last. What was seen is
durable before the cosignature exists for anybody else: a witness that is killed in between has seen the head, and signs
the same one again when it is asked. One call after the other, so that no two heads can both continue the same one.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.audit.errors import NoteError
from gateway.audit.merkle import EMPTY_ROOT, is_consistent
from gateway.audit.note import VerifierKey, strict_b64
from gateway.witness.cosigner import Cosigner
from gateway.witness.errors import Refused
from gateway.witness.seen import Seen, SeenFiles
from gateway.witness.trust import Head, opened, origin_of

_OLD = re.compile(r"old (0|[1-9][0-9]{0,15})")
_MOST_LINES = 63


@dataclass(frozen=True, slots=True)
class Submission:
    """A request's body, taken apart."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes


def parse_submission(body: bytes) -> Submission:
    """Raises Refused (400) unless the body is of the form."""
    top, parted, note = body.partition(b"\n\n")
    try:
        first, *lines = top.decode("ascii").split("\n")
        match = _OLD.fullmatch(first)
        if match is None or not parted or len(lines) > _MOST_LINES:
            raise ValueError("form")
        return Submission(int(match[1]), tuple(strict_b64(line, 32) for line in lines), note)
    except (ValueError, NoteError) as exc:
        raise Refused(400, "the body is not `old N`, a proof, an empty line and a checkpoint") from exc


class Witness:
    """Knows some logs, one key, and what it saw."""

    def __init__(
        self,
        logs: Mapping[str, VerifierKey],
        cosigner: Cosigner,
        seen: SeenFiles,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`logs`: name of a log -> its key."""
        self._logs, self._cosigner, self._seen, self._now = dict(logs), cosigner, seen, now
        self._turn = threading.Lock()

    def add_checkpoint(self, body: bytes, certificate: bytes) -> str:
        """The cosignature line. Raises Refused; WitnessError or OSError when nothing can be told or kept."""
        submission = parse_submission(body)
        origin = origin_of(submission.note)
        key = self._logs.get(origin)
        if key is None:
            raise Refused(404, "the log is not known here")
        with self._turn:
            seen = self._seen.get(origin)
            head = opened(submission.note, certificate, key, seen)
            _require_continued(submission, head, seen)
            line = self._cosigner.line(head.text, max(1, int(self._now())))
            note = submission.note + line.encode()
            self._seen.put(Seen(origin, head.size, head.root, head.time_ns, head.epoch, head.epoch_key, note))
        return line

    def checkpoint(self, origin_hash: str) -> bytes | None:
        """The head that was cosigned last, of the log whose name has this SHA-256."""
        return self._seen.note(origin_hash)


def _require_continued(submission: Submission, head: Head, seen: Seen | None) -> None:
    """Raise Refused unless the head continues what was seen, in the order that C2SP gives."""
    size, root = (seen.size, seen.root) if seen is not None else (0, EMPTY_ROOT)
    if submission.old > head.size:
        raise Refused(400, "the old size is larger than the new one")
    if submission.old != size:
        raise Refused(409, f"the head seen last has {size} records", seen=size)
    if head.size == 0 and head.root != EMPTY_ROOT:
        raise Refused(422, "an empty log has another root")
    if not is_consistent(size, root, head.size, head.root, submission.proof):
        raise Refused(422, f"the head does not continue the one of {size} records that was seen")
