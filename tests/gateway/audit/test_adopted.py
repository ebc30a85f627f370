"""What a verification says of a log that continues another one."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from gateway.audit.adopted import notes_on_adoption
from gateway.audit.birth import Adopts, Birth
from gateway.audit.report import Exit
from tests.gateway.audit.forging import START, T0, Forger, Record
from tests.gateway.audit.harness import ORIGIN, signer_in, verified

OLD = Adopts("test/zero/audit", 7, bytes(32))
STATEMENT = "gatehouse-adopt/v1\nold test/zero/audit\nnew test/one/audit\n"


def write(path: Path, said: str) -> None:
    forger = Forger(path)
    birth = Birth(2, forger.log_signer.verifier, T0, OLD)
    (forger.directory / "LOG").write_bytes(forger.log_signer.sign(birth.text()))
    first: Record = {"type": "audit.adopt", "adopt": {"statement": said}}
    forger.segment([first, START])
    forger.heads((2, T0, 0))
    (forger.directory / "adopt").mkdir()
    (forger.directory / "adopt" / "statement").write_text(STATEMENT)
    (forger.directory / "adopt" / "0.approval").write_bytes(signer_in(3).sign(STATEMENT))
    (forger.directory / "adopt" / "1.approval").write_bytes(signer_in(4).sign("something else\n"))


def test_adoption_and_approvals_are_told(tmp_path: Path) -> None:
    write(tmp_path, f"sha256:{sha256(STATEMENT.encode()).hexdigest()}")
    report = verified(tmp_path)
    assert (report.exit, report.adopts) == (Exit.PROVED, OLD)
    assert "it continues the log test/zero/audit 7 AAAA" in report.statement
    assert report.notes == [
        f"adopt/: approved by {ORIGIN}, as the notes say: check them with the approvers' public keys"
    ]


def test_papers_that_do_not_fit_are_told(tmp_path: Path) -> None:
    write(tmp_path, "sha256:0")
    assert "adopt/statement is not the one that the first record names" in verified(tmp_path).notes
    assert "is not there" in notes_on_adoption(tmp_path, OLD, None)[0]
    assert notes_on_adoption(tmp_path, None, None) == []
