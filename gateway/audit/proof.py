"""Proof that one record is in the log, for somebody who gets that record and nothing else of the log.

The form is C2SP tlog-proof: index, RFC 6962 inclusion path, and the signed head the path leads to. Making one takes the
path from the tiles where they are good, which is a few reads, and otherwise reads the log once in order, with the
memory of a few tree peaks for each proof. Each proof is checked before it is handed out. Checking needs the record's
bytes, the proof, the log's public key, and where the log has epoch keys the certificate of that which signed the head.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gateway.audit.checkpoints import NEWEST
from gateway.audit.epochs import EpochChain, certificate_path, endless_chain, load_chain, parse_epoch
from gateway.audit.errors import NoteError, ProofError, TileError
from gateway.audit.lookup import stored_line, stored_lines
from gateway.audit.merkle import Tree, leaf_hash, neighbours, node_hash
from gateway.audit.note import Checkpoint, VerifierKey, open_note, strict_b64
from gateway.audit.tile_cache import tree_of

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


def chain_of(key: VerifierKey, certificates: Sequence[bytes]) -> EpochChain:
    """Keys that may have signed a head: those the log key certified, or where there are none the log key itself.

    For one proof the log key's word for an epoch key is enough. That the chain has no gap is for `audit verify`.
    """
    if not certificates:
        return endless_chain(key)
    try:
        epochs = [parse_epoch(open_note(note, key), key.name) for note in certificates]
    except NoteError as exc:
        raise ProofError("proof_unsigned", f"a certificate of an epoch key: {exc}") from exc
    return EpochChain(2, key, tuple(epochs))


def check_proof(line: bytes, proof: Proof, chain: EpochChain) -> int:
    """The time of the head, in nanoseconds, that covers this record; ProofError if the record is not proved."""
    try:
        head = chain.open_head(proof.head).head
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


@dataclass(frozen=True, slots=True)
class SignedNote:
    """The newest head as it was written, what it says, and how to check it."""

    note: bytes
    head: Checkpoint
    chain: EpochChain
    certificate: Path | None
    """The file that says which epoch key signed it; None in a log whose heads the log key signs."""


def newest_head(directory: Path, key: VerifierKey) -> SignedNote:
    """The head that proofs are made for. Raises ProofError, or OSError."""
    try:
        note = (directory / NEWEST).read_bytes()
        chain = load_chain(directory, key)
        signed = chain.open_head(note)
    except NoteError as exc:
        raise ProofError("proof_unsigned", f"`{NEWEST}`: {exc}") from exc
    certificate = certificate_path(directory, signed.epoch) if chain.version > 1 else None
    return SignedNote(note, signed.head, chain, certificate)


def prove(
    directory: Path, signed: SignedNote, indexes: Sequence[int], tell: Callable[[str], None] = lambda _: None
) -> list[tuple[bytes, Proof]]:
    """Each record's stored line with its proof under that head. Raises ProofError, or OSError.

    `tell` is called with the reason when there are no tiles, or bad ones, so that the whole log has to be read.
    """
    if late := [index for index in indexes if index >= signed.head.size]:
        told = f"record {late[0]} is not signed yet: the newest head covers {signed.head.size} records"
        raise ProofError("not_signed_yet", told)
    try:
        return _from_tiles(directory, signed, indexes)
    except (TileError, LookupError, ProofError) as exc:
        tell(str(exc))
    return _from_records(directory, signed, indexes)


def _from_tiles(directory: Path, signed: SignedNote, indexes: Sequence[int]) -> list[tuple[bytes, Proof]]:
    tree = tree_of(directory, signed.head.size, signed.head.root)
    made = []
    for index in indexes:
        line = stored_line(directory, index)
        proof = Proof(index, tree.inclusion(index, signed.head.size), signed.note)
        check_proof(line, proof, signed.chain)
        made.append((line, proof))
    return made


def _from_records(directory: Path, signed: SignedNote, indexes: Sequence[int]) -> list[tuple[bytes, Proof]]:
    size, lines, tree = signed.head.size, {}, Tree()
    beside = {index: [(span, Tree()) for span in neighbours(index, size)] for index in indexes}
    for number, line in enumerate(islice(stored_lines(directory), size)):
        leaf = leaf_hash(line)
        tree.push(leaf)
        for index, subtrees in beside.items():
            if number == index:
                lines[index] = line
            for (start, end), subtree in subtrees:
                if start <= number < end:
                    subtree.push(leaf)
    if tree.size != size or tree.root() != signed.head.root:
        told = "the records do not make up the signed root: run `gatehouse audit verify`"
        raise ProofError("log_does_not_hold", told)
    paths = {index: tuple(subtree.root() for _, subtree in beside[index]) for index in indexes}
    return [(lines[index], Proof(index, paths[index], signed.note)) for index in indexes]
