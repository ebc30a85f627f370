"""One record, proved to somebody who has nothing else of the log."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from gateway.audit.epochs import certificate_path, endless_chain
from gateway.audit.errors import ProofError
from gateway.audit.merkle import Tree, leaf_hash, neighbours, node_hash
from gateway.audit.note import Checkpoint, VerifierKey
from gateway.audit.proof import Proof, chain_of, newest_head, parse_proof
from gateway.audit.proof import check_proof as check_with
from gateway.audit.proof import prove as prove_under
from tests.gateway.audit.harness import ORIGIN, lines_in, opened, segments_in, signer_in, small_log, trust_in

DOCS = Path(__file__).parents[3] / "docs"
Alone = Callable[..., tuple[int, str]]


def prove(directory: Path, key: VerifierKey, indexes: Sequence[int]) -> list[tuple[bytes, Proof]]:
    return prove_under(directory, newest_head(directory, key), indexes)


def check_proof(line: bytes, proof: Proof, key: VerifierKey) -> int:
    return check_with(line, proof, endless_chain(key))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """28 records in two segments, all signed by the log key."""
    path = tmp_path_factory.mktemp("log")
    small_log(path, version=1)
    return path


@pytest.fixture(scope="module")
def alone() -> Iterator[Alone]:
    """docs/verify_proof.py, which finds verify.py beside it."""
    sys.path.insert(0, str(DOCS))
    yield runpy.run_path(str(DOCS / "verify_proof.py"))["check"]
    sys.path.remove(str(DOCS))
    sys.modules.pop("verify", None)


def test_every_record_of_a_log_is_proved_alone(log: Path, alone: Alone) -> None:
    key = trust_in(log)
    made = prove(log / "log", key, range(28))
    assert [line for line, _ in made] == lines_in(log)
    for index, (line, proof) in enumerate(made):
        assert proof.index == index
        time = check_proof(line, parse_proof(proof.text()), key)
        status, told = alone(line, proof.text(), key.vkey)
        assert (status, told.endswith(f" signed at {time} ns since 1970")) == (0, True)


@given(st.integers(1, 300), st.data())
@settings(max_examples=60)
def test_the_path_is_that_of_rfc_6962(size: int, data: st.DataObject) -> None:
    """Compared with another implementation, and folded back to the root."""
    index = data.draw(st.integers(0, size - 1))
    leaves = [str(number).encode() for number in range(size)]
    ours, theirs = Tree(), InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        ours.push(leaf_hash(leaf))
        theirs.append_entry(leaf)
    path = [_root(leaves[start:end]) for start, end in neighbours(index, size)]
    # Theirs begins with the leaf itself.
    assert [node.hex() for node in path] == theirs.prove_inclusion(index + 1, size).serialize()["path"][1:]
    node = leaf_hash(leaves[index])
    for (start, _), other in zip(neighbours(index, size), path, strict=True):
        node = node_hash(other, node) if start < index else node_hash(node, other)
    assert node == ours.root()


def _root(leaves: list[bytes]) -> bytes:
    tree = Tree()
    for leaf in leaves:
        tree.push(leaf_hash(leaf))
    return tree.root()


def test_a_changed_record_or_proof_proves_nothing(log: Path, alone: Alone) -> None:
    key = trust_in(log)
    [(line, proof)] = prove(log / "log", key, [5])
    text = proof.text()
    for at in range(len(line)):
        changed = line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :]
        with pytest.raises(ProofError, match="do not lead to the signed root"):
            check_proof(changed, proof, key)
    for at in range(len(text)):
        changed = text[:at] + bytes([text[at] ^ 1]) + text[at + 1 :]
        with pytest.raises(ProofError):
            check_proof(line, parse_proof(changed), key)
        assert alone(line, changed, key.vkey)[0] == 2, f"byte {at}"


@pytest.mark.parametrize("length", [0, 4, 6, 60])
def test_a_path_of_another_length_proves_nothing(log: Path, alone: Alone, length: int) -> None:
    key = trust_in(log)
    [(line, proof)] = prove(log / "log", key, [5])
    wrong = Proof(5, (proof.path * 20)[:length], proof.head)
    with pytest.raises(ProofError, match="does not fit"):
        check_proof(line, wrong, key)
    assert alone(line, wrong.text(), key.vkey)[0] == 2


def test_a_node_of_the_tree_does_not_pass_for_a_record(log: Path, alone: Alone) -> None:
    """A leaf is hashed with another first byte than a node; without that a shorter path to a forgery would hold."""
    key, lines = trust_in(log), lines_in(log)
    [(_, proof)] = prove(log / "log", key, [5])
    forged = leaf_hash(lines[4]) + leaf_hash(lines[5])
    shorter = Proof(2, proof.path[1:], proof.head)
    with pytest.raises(ProofError):
        check_proof(forged, shorter, key)
    assert alone(forged, shorter.text(), key.vkey)[0] == 2


def test_a_record_that_is_not_signed_yet_is_not_proved(tmp_path: Path) -> None:
    small_log(tmp_path, exchanges=1, starts=1)
    log = opened(tmp_path)
    log.writer.write([{"type": "auth.fail"}])
    last = len(lines_in(tmp_path)) - 1
    with pytest.raises(ProofError, match=f"record {last} is not signed yet"):
        prove(tmp_path / "log", trust_in(tmp_path), [last])
    log.writer.sign_head()
    assert prove(tmp_path / "log", trust_in(tmp_path), [last])
    log.close()


def test_no_proof_is_made_of_a_log_that_does_not_hold(tmp_path: Path) -> None:
    small_log(tmp_path, exchanges=1, starts=1)
    segment = segments_in(tmp_path)[0]
    segment.write_bytes(segment.read_bytes().replace(b'"released":7', b'"released":8', 1))
    with pytest.raises(ProofError, match="do not make up the signed root"):
        prove(tmp_path / "log", trust_in(tmp_path), [0])


def test_a_head_by_another_key_proves_nothing(log: Path) -> None:
    [(line, _)] = prove(log / "log", trust_in(log), [0])
    foreign = signer_in(seed=7).sign(Checkpoint(ORIGIN, 1, leaf_hash(line), 5).text())
    with pytest.raises(ProofError, match="the head in the proof"):
        check_proof(line, Proof(0, (), foreign), trust_in(log))


def test_a_head_by_an_epoch_key_is_proved_with_its_certificate_only(tmp_path: Path, alone: Alone) -> None:
    small_log(tmp_path)
    key = trust_in(tmp_path)
    signed = newest_head(tmp_path / "log", key)
    assert signed.certificate == certificate_path(tmp_path / "log", 0)
    certificate = signed.certificate.read_bytes()
    [(line, proof)] = prove(tmp_path / "log", key, [5])
    assert check_with(line, proof, chain_of(key, [certificate])) > 0
    assert alone(line, proof.text(), key.vkey, [certificate])[0] == 0
    with pytest.raises(ProofError, match="no signature by an epoch key"):
        check_proof(line, proof, key)
    assert alone(line, proof.text(), key.vkey)[0] == 2
    for at in range(len(certificate)):
        changed = certificate[:at] + bytes([certificate[at] ^ 1]) + certificate[at + 1 :]
        with pytest.raises(ProofError):
            check_with(line, proof, chain_of(key, [changed]))
        assert alone(line, proof.text(), key.vkey, [changed])[0] == 2, f"byte {at}"
