"""Two people, one text: nothing less counts."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.approval import ApprovalError, Approvers, check, read_approvers
from gateway.audit.note import Signer, VerifierKey
from policies.errors import FileErrors, Problems
from policies.yaml_strict import parse

STATEMENT = "gatehouse-adopt/v1\nold a\nnew b\n"


def person(name: str, seed: int) -> Signer:
    return Signer(name, Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32)))


ALICE, BOB, CAROL = person("alice", 1), person("bob", 2), person("carol", 3)
APPROVERS: Approvers = {signer.verifier.name: signer.verifier for signer in (ALICE, BOB)}


def test_two_approvals_of_the_same_text_are_enough() -> None:
    assert check(STATEMENT, [BOB.sign(STATEMENT), ALICE.sign(STATEMENT)], APPROVERS) == ("alice", "bob")


def test_both_may_sign_one_note() -> None:
    assert check(STATEMENT, [BOB.cosign(ALICE.sign(STATEMENT))], APPROVERS) == ("alice", "bob")


@pytest.mark.parametrize(
    ("notes", "problem"),
    [
        ([], "approved by nobody"),
        ([ALICE.sign(STATEMENT)], "approved by alice, expected 2"),
        ([ALICE.sign(STATEMENT), ALICE.sign(STATEMENT)], "approved by alice, expected 2"),
        ([ALICE.sign(STATEMENT), CAROL.sign(STATEMENT)], "by no approver"),
        ([ALICE.sign(STATEMENT), person("bob", 9).sign(STATEMENT)], "by no approver"),
        ([ALICE.sign(STATEMENT), BOB.sign(STATEMENT.replace("new b", "new c"))], "another statement"),
        ([ALICE.sign(STATEMENT), BOB.sign(STATEMENT + "more\n")], "another statement"),
        ([ALICE.sign(STATEMENT), b""], "another statement"),
        ([ALICE.sign(STATEMENT), BOB.sign("x\n").replace(b"x\n", STATEMENT.encode(), 1)], "`bob` does not hold"),
    ],
)
def test_anything_less_is_refused(notes: list[bytes], problem: str) -> None:
    with pytest.raises(ApprovalError, match=problem):
        check(STATEMENT, notes, APPROVERS)


def test_one_person_under_two_names_counts_once() -> None:
    twice = {"alice": ALICE.verifier, "other": VerifierKey("other", ALICE.verifier.key)}
    with pytest.raises(ApprovalError, match="approved by alice"):
        check(STATEMENT, [ALICE.sign(STATEMENT), person("other", 1).sign(STATEMENT)], twice)


@pytest.mark.parametrize(
    "text", ["", "adopt\n", "gatehouse-adopt/v1", "gatehouse-adopt/v1\n\n", "gatehouse-adopt/v1\na\u202eb\n"]
)
def test_other_texts_are_no_statements(text: str) -> None:
    with pytest.raises(ApprovalError, match="not a statement"):
        check(text, [ALICE.sign(text or "\n"), BOB.sign(text or "\n")], APPROVERS)


def read(text: str) -> tuple[Approvers, list[str]]:
    problems = Problems()
    found = read_approvers(parse(text.encode(), "gatehouse.yaml", problems), problems)
    try:
        problems.raise_if_any()
    except FileErrors as exc:
        return found, str(exc).splitlines()
    return found, []


def test_approvers_are_read_with_their_keys() -> None:
    assert read(f"alice: {ALICE.verifier.vkey}\nbob: {BOB.verifier.vkey}\n") == (APPROVERS, [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"carol: {ALICE.verifier.vkey}\n", "that of `alice`, expected `carol`"),
        ("alice: none\n", "not of the form"),
        ("alice: 3\n", "expected text"),
        ("[alice]\n", "expected a mapping"),
        (f"alice: {ALICE.verifier.vkey}\nother: {person('other', 1).verifier.vkey}\n", "one person"),
    ],
)
def test_approvers_that_cannot_be_are_problems(text: str, problem: str) -> None:
    _, problems = read(text)
    assert len(problems) == 1
    assert problem in problems[0]
