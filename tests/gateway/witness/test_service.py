"""add-checkpoint, status by status as C2SP tlog-witness lists them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.merkle import EMPTY_ROOT, Tree, between, leaf_hash
from gateway.witness.errors import Refused, WitnessError
from gateway.witness.seen import SeenFiles
from gateway.witness.service import Submission, Witness, parse_submission
from tests.gateway.audit.harness import ORIGIN, FaultyFiles, signer_in
from tests.gateway.witness.live_witness import COSIGNER

LOG = signer_in(seed=1)
LEAVES = [leaf_hash(bytes([number])) for number in range(40)]


def root(leaves: list[bytes]) -> bytes:
    tree = Tree()
    for leaf in leaves:
        tree.push(leaf)
    return tree.root()


def note_of(size: int, leaves: list[bytes] = LEAVES, origin: str = ORIGIN) -> bytes:
    return LOG.sign(f"{origin}\n{size}\n{b64encode(root(leaves[:size])).decode()}\n")


def body(old: int, size: int, leaves: list[bytes] = LEAVES) -> bytes:
    proof = [b64encode(root(leaves[start:end])).decode() for start, end in between(old, size)]
    return "\n".join([f"old {old}", *proof, "", ""]).encode() + note_of(size, leaves)


class Ticking:
    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        self.seconds += 1
        return self.seconds


@pytest.fixture
def witness(tmp_path: Path) -> Iterator[Witness]:
    with closing(SeenFiles(tmp_path)) as seen:
        yield Witness({ORIGIN: LOG.verifier}, COSIGNER, seen, Ticking())


def status_of(witness: Witness, data: bytes) -> int:
    try:
        line = witness.add_checkpoint(data, b"")
    except Refused as exc:
        return exc.status
    text = parse_submission(data).note.rpartition(b"\n\n")[0].decode() + "\n"
    assert COSIGNER.key.seen_at(line.rstrip("\n"), text)
    return 200


def test_a_log_grows_before_its_witness(witness: Witness) -> None:
    sizes = [0, 0, 1, 2, 3, 3, 8, 13, 40]
    for old, new in zip([0, *sizes], sizes, strict=False):
        assert status_of(witness, body(old, new)) == 200


def test_what_was_seen_is_told_to_who_asks_with_another_size(witness: Witness) -> None:
    assert status_of(witness, body(0, 13)) == 200
    with pytest.raises(Refused) as refused:
        witness.add_checkpoint(body(0, 20), b"")
    assert (refused.value.status, refused.value.seen) == (409, 13)
    assert status_of(witness, body(12, 20)) == 409
    assert status_of(witness, body(13, 20)) == 200


FORKED = [*LEAVES[:5], leaf_hash(b"forged"), *LEAVES[6:]]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (body(13, 20, FORKED), 422),
        (body(13, 13, FORKED), 422),
        (body(13, 20).replace(b"old 13\n", b"old 13\n" + b64encode(bytes(32)) + b"\n"), 422),
        (b"old 13\n\n" + note_of(20), 422),
        (b"old 21\n\n" + note_of(20), 400),
        (b"old 0\n\n" + note_of(5), 409),
        (b"old 13\n\n" + note_of(5), 400),
        (body(13, 20).replace(b"\x94 test/one/audit", b"\x94 someone/else"), 403),
        (b"old 13\n\n" + signer_in(seed=3).sign(note_of(20).decode().split("\n\n")[0] + "\n"), 403),
        (b"old 13\n\n" + note_of(20, origin="unknown/log"), 404),
        (b"", 400),
        (b"old 013\n\n" + note_of(20), 400),
        (b"old 13" + note_of(20), 400),
        (b"old 13\nAAAA\n\n" + note_of(20), 400),
        (b"old 13\n" + (b64encode(bytes(32)) + b"\n") * 64 + b"\n" + note_of(20), 400),
    ],
)
def test_what_does_not_continue_is_refused_and_changes_nothing(witness: Witness, data: bytes, status: int) -> None:
    assert status_of(witness, body(0, 13)) == 200
    assert status_of(witness, data) == status
    assert status_of(witness, body(13, 14)) == 200


def test_a_first_head_comes_without_a_proof_and_an_empty_one_has_the_empty_root(witness: Witness) -> None:
    assert status_of(witness, b"old 0\n" + b64encode(bytes(32)) + b"\n\n" + note_of(5)) == 422
    empty = LOG.sign(f"{ORIGIN}\n0\n{b64encode(bytes(32)).decode()}\n")
    assert status_of(witness, b"old 0\n\n" + empty) == 422
    assert root([]) == EMPTY_ROOT


def test_without_a_place_to_keep_it_nothing_is_signed(tmp_path: Path) -> None:
    faulty = FaultyFiles()
    with closing(SeenFiles(tmp_path, faulty)) as seen:
        witness = Witness({ORIGIN: LOG.verifier}, COSIGNER, seen)
        faulty.fault = lambda _, name: 28 if name == "write" else None
        with pytest.raises(OSError, match="No space"):
            witness.add_checkpoint(body(0, 5), b"")
        faulty.fault = lambda _, name: None
        next(iter(tmp_path.glob("*.tmp"))).rename(tmp_path / "gone")
        assert status_of(witness, body(0, 7)) == 200


def test_what_was_seen_and_cannot_be_read_stops_everything(tmp_path: Path, witness: Witness) -> None:
    assert status_of(witness, body(0, 5)) == 200
    next(iter(tmp_path.glob("*.seen"))).write_bytes(b"")
    with pytest.raises(WitnessError):
        witness.add_checkpoint(body(0, 7), b"")


@given(st.binary(max_size=200))
def test_a_body_is_read_whole_or_refused(data: bytes) -> None:
    try:
        submission = parse_submission(data)
    except Refused as exc:
        submission, status = None, exc.status
    assert isinstance(submission, Submission) or status == 400
