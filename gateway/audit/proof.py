"""Proof that one record is in the log, for somebody who gets that record and nothing else of the log.

The form is C2SP tlog-proof: index, RFC 6962 inclusion path, and the signed head the path leads to. Making one reads the
log once in order, with the memory of a few tree peaks for each proof, and refuses when the records do not make up the
signed root: a proof that would not check is never handed out. Checking needs the record's bytes, the proof and the
log's public key.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.checkpoints import NEWEST
from gateway.audit.errors import NoteError, ProofError
from gateway.audit.merkle import Tree, leaf_hash, neighbours, node_hash
from gateway.audit.note import VerifierKey, open_checkpoint, strict_b64
from gateway.audit.segments import claimed_end, list_segments, raw_lines

HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})")


@dataclass(frozen=True, slots=True)
class Proof:
    """A record's place in a signed tree."""

    index: int
    path: tuple[bytes, ...]
    """Hashes of the neighbouring subtrees, from the leaf upwards."""
    head: bytes
    """The signed note of the tree's head, as it was written."""

    def text(self) -> bytes:
        lines = [HEADER, f"index {self.index}", *(b64encode(node).decode() for node in self.path), "", ""]
        return "\n".join(lines).encode() + self.head


def parse_proof(data: bytes) -> Proof:
    """Read the text form, without an `extra` line. ProofError says what is wrong with it."""
    top, parted, head = data.partition(b"\n\n")
    try:
        header, index, *nodes = top.decode("ascii").split("\n")
        match = _INDEX.fullmatch(index)
        if header != HEADER or match is None or not parted:
            raise ValueError("header or index")
        return Proof(int(match[1]), tuple(strict_b64(node, 32) for node in nodes), head)
    except (ValueError, NoteError) as exc:
        raise ProofError("proof_malformed", f"the proof is not of the form {HEADER}") from exc


def check_proof(line: bytes, proof: Proof, key: VerifierKey) -> int:
    """The time of the head, in nanoseconds, that covers this record; ProofError if the record is not proved."""
    try:
        head = open_checkpoint(proof.head, key)
    except NoteError as exc:
        raise ProofError("proof_unsigned", f"the head in the proof: {exc}") from exc
    if not proof.index < head.size or len(proof.path) != len(neighbours(proof.index, head.size)):
        raise ProofError("proof_malformed", f"the path does not fit record {proof.index} of {head.size}")
    node = leaf_hash(line)
    for (start, _), other in zip(neighbours(proof.index, head.size), proof.path, strict=True):
        node = node_hash(other, node) if start < proof.index else node_hash(node, other)
    if node != head.root:
        raise ProofError("not_proved", "the record and the path do not lead to the signed root")
    return head.time_ns


def prove(directory: Path, key: VerifierKey, indexes: Sequence[int]) -> list[tuple[bytes, Proof]]:
    """Each record's stored line with its proof under the newest signed head. Raises ProofError, or OSError."""
    try:
        note = (directory / NEWEST).read_bytes()
        head = open_checkpoint(note, key)
    except NoteError as exc:
        raise ProofError("proof_unsigned", f"`{NEWEST}`: {exc}") from exc
    if late := [index for index in indexes if index >= head.size]:
        told = f"record {late[0]} is not signed yet: the newest head covers {head.size} records"
        raise ProofError("not_signed_yet", told)
    lines: dict[int, bytes] = {}
    tree = Tree()
    beside = {index: [(span, Tree()) for span in neighbours(index, head.size)] for index in indexes}
    for number, line in enumerate(stored_lines(directory)):
        if number == head.size:
            break
        leaf = leaf_hash(line)
        tree.push(leaf)
        for index, subtrees in beside.items():
            if number == index:
                lines[index] = line
            for (start, end), subtree in subtrees:
                if start <= number < end:
                    subtree.push(leaf)
    if tree.size != head.size or tree.root() != head.root:
        told = "the records do not make up the signed root: run `gatehouse audit verify`"
        raise ProofError("log_does_not_hold", told)
    return [
        (lines[index], Proof(index, tuple(subtree.root() for _, subtree in beside[index]), note)) for index in indexes
    ]


def stored_lines(directory: Path) -> Iterator[bytes]:
    """Every line that counts, in order, without its newline."""
    segments = list_segments(directory)
    for segment in segments:
        for raw in raw_lines(segment.path, 0, claimed_end(segment, segments)):
            if raw.endswith(b"\n"):
                yield raw[:-1]
