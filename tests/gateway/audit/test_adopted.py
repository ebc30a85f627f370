"""What a verification says of a log that continues another one, without and with the approvers' keys."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from gateway.audit.adopt_statement import Statement
from gateway.audit.adopted import notes_on_adoption
from gateway.audit.approved import Approvers
from gateway.audit.birth import Adopts, Birth
from gateway.audit.evidence import Given
from gateway.audit.head_store import Head
from gateway.audit.report import Exit, Report
from gateway.audit.verify import verify
from tests.gateway.audit.forging import START, T0, Forger
from tests.gateway.audit.harness import ORIGIN, trust_in, verified
from tests.gateway.test_approval import ALICE, APPROVERS, BOB, CAROL, person

OLD = Adopts("test/zero/audit", 7, bytes(32))
TEXT = Statement(OLD.origin, ORIGIN, Head(9, bytes(32)), Head(7, bytes(32)), "restored").text()
NOTES = (ALICE.sign(TEXT), BOB.sign(TEXT))


def write(path: Path, text: str = TEXT, notes: tuple[bytes, ...] = NOTES, said: str = "") -> Path:
    """A log that adopts; gives the folder of its papers."""
    forger = Forger(path)
    birth = Birth(2, forger.log_signer.verifier, T0, OLD)
    (forger.directory / "LOG").write_bytes(forger.log_signer.sign(birth.text()))
    digest = said or f"sha256:{sha256(text.encode()).hexdigest()}"
    forger.segment([{"type": "audit.adopt", "adopt": {"statement": digest}}, START])
    forger.heads((2, T0, 0))
    folder = forger.directory / "adopt"
    folder.mkdir()
    (folder / "statement").write_text(text)
    for number, note in enumerate(notes):
        (folder / f"{number}.approval").write_bytes(note)
    return folder


def judged(path: Path, approvers: Approvers = APPROVERS) -> Report:
    return verify(path / "log", trust_in(path), given=Given(approvers=approvers))


def test_without_keys_adoption_and_approvals_are_told_and_not_proved(tmp_path: Path) -> None:
    write(tmp_path)
    report = verified(tmp_path)
    assert (report.exit, report.adopts, report.adopted_by) == (Exit.PROVED, OLD, [])
    assert "it continues the log test/zero/audit 7 AAAA" in report.statement
    assert report.notes == [
        "adopt/: approved by alice, bob, as the notes say; not checked: give `--approver NAME=VKEY` for each"
    ]


def test_papers_that_do_not_fit_are_told(tmp_path: Path) -> None:
    write(tmp_path, notes=(ALICE.sign("something else\n"),), said="sha256:0")
    told = verified(tmp_path).notes
    assert "adopt/statement is not the one that the first record names" in told
    assert "approved by nobody" in told[1]
    assert "is not there" in notes_on_adoption(tmp_path, OLD, None)[0]
    assert notes_on_adoption(tmp_path, None, None) == []


@pytest.mark.parametrize("notes", [NOTES, (BOB.cosign(ALICE.sign(TEXT)),), (*NOTES, CAROL.sign(TEXT))])
def test_two_approvals_that_hold_prove_the_adoption(tmp_path: Path, notes: tuple[bytes, ...]) -> None:
    write(tmp_path, notes=notes)
    report = judged(tmp_path)
    assert (report.finding, report.adopted_by, report.notes) == (None, ["alice", "bob"], [])
    assert report.statement.endswith("; that was approved by alice and bob")


def test_one_key_proves_one_approval_and_says_so(tmp_path: Path) -> None:
    write(tmp_path)
    report = judged(tmp_path, {"alice": ALICE.verifier})
    assert (report.exit, report.adopted_by) == (Exit.PROVED, ["alice"])
    assert report.notes == ["adopt/: of the two approvals only that of alice could be checked"]


MALLORY = person("bob", 66)
OTHER = TEXT.replace(ORIGIN, "test/other/audit")
SET_BACK = TEXT.replace("signed 7", "signed 6")


@pytest.mark.parametrize(
    ("text", "notes", "exit_", "code"),
    [
        (TEXT, (ALICE.sign(TEXT),), Exit.INCOMPLETE, "approval_missing"),
        (TEXT, (ALICE.sign(TEXT), ALICE.sign(TEXT)), Exit.INCOMPLETE, "approval_missing"),
        (TEXT, (ALICE.sign(TEXT), CAROL.sign(TEXT)), Exit.INCOMPLETE, "approval_missing"),
        (TEXT, (), Exit.INCOMPLETE, "approval_missing"),
        (TEXT, (ALICE.sign(TEXT), MALLORY.sign(TEXT)), Exit.ALTERED, "approval"),
        (TEXT, (ALICE.sign(TEXT), BOB.sign(TEXT).replace(b"restored", b"Restored")), Exit.ALTERED, "approval"),
        (TEXT, (ALICE.sign(TEXT), BOB.sign(SET_BACK)), Exit.ALTERED, "approval"),
        (OTHER, (ALICE.sign(OTHER), BOB.sign(OTHER)), Exit.ALTERED, "adoption"),
        (SET_BACK, (ALICE.sign(SET_BACK), BOB.sign(SET_BACK)), Exit.ALTERED, "adoption"),
        ("gatehouse-adopt/v1\n", (), Exit.ALTERED, "adoption"),
    ],
)
def test_approvals_that_are_missing_or_wrong_are_found(
    tmp_path: Path, text: str, notes: tuple[bytes, ...], exit_: Exit, code: str
) -> None:
    write(tmp_path, text, notes)
    report = judged(tmp_path)
    assert report.finding is not None
    assert (report.exit, report.finding.code) == (exit_, code)


def test_a_statement_that_is_gone_or_exchanged_is_found(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "statement").write_text(TEXT.replace("restored", "because"))
    assert judged(tmp_path).exit is Exit.ALTERED
    (folder / "statement").unlink()
    assert judged(tmp_path).exit is Exit.INCOMPLETE
