"""What an auditor names is there and of its kind, or the command says so and proves nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gateway.audit.errors import TrustError
from gateway.audit.evidence import Given
from gateway.audit_evidence_options import add_evidence_options, given_evidence
from gateway.audit_location import UsageError
from tests.gateway.test_approval import ALICE, BOB, person

A, B = ALICE.verifier.vkey, BOB.verifier.vkey
ANNE = person("anne", 1)
"""Alice under another name."""


def given(*words: str) -> Given:
    parser = argparse.ArgumentParser()
    add_evidence_options(parser)
    return given_evidence(parser.parse_args(words))


def test_approvers_are_named_on_the_command_line_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "people"
    file.write_text(f"approvers:\n# a comment with +\n  alice: {A}\n  bob: {B}\n")
    both = {"alice": ALICE.verifier, "bob": BOB.verifier}
    assert given("--approver", str(file)).approvers == both
    assert given("--approver", f"alice={A}", "--approver", B).approvers == both
    assert given("--approver", f"alice={A}", "--approver", str(file)).approvers == both
    assert given().approvers == {}


@pytest.mark.parametrize(
    "words",
    [
        ("--approver", f"carol={A}"),
        ("--approver", "alice=alice+00000000+AAAA"),
        ("--approver", f"alice={A}", "--approver", person("alice", 9).verifier.vkey),
        ("--approver", f"alice={A}", "--approver", ANNE.verifier.vkey),
        ("--anchors", "missing"),
        ("--content", "missing"),
    ],
)
def test_what_cannot_be_used_is_an_error_of_the_caller(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        given(*words)


def test_files_without_a_key_are_errors(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for data in (b"", b"approvers:\n", b"\xff"):
        file.write_bytes(data)
        with pytest.raises(UsageError):
            given("--approver", str(file))
        with pytest.raises((UsageError, TrustError)):
            given("--witness", str(file))
    with pytest.raises(OSError, match="No such file"):
        given("--approver", str(tmp_path / "missing"))
