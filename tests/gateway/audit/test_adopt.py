"""A refused log goes on only as another one, approved by two, and nothing of the old one is touched."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.approval import ApprovalError, Approvers, check
from gateway.audit.adopt import Statement, adopt, parse_statement, propose
from gateway.audit.birth import open_birth
from gateway.audit.errors import AuditError
from gateway.audit.files import OsFiles
from gateway.audit.head_store import Head
from gateway.audit.keys import load_trust_file
from gateway.audit.log import AuditLog
from gateway.audit.settings import AuditSettings
from gateway.audit.verify import verify
from tests.gateway.audit.harness import (
    ORIGIN,
    FaultyFiles,
    FixedClock,
    epoch_key_in,
    opened,
    segments_in,
    settings_in,
    small_log,
)
from tests.gateway.test_approval import ALICE, APPROVERS, BOB

NEW = "test/two/audit"
LATER = 1_900_000_000 * 10**9
REASON = "restored from a backup"


def everything_in(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def approved(settings: AuditSettings) -> list[bytes]:
    _, statement = propose(settings, NEW, REASON, OsFiles())
    return [person.sign(statement.text()) for person in (ALICE, BOB)]


def adopted(settings: AuditSettings, notes: list[bytes], approvers: Approvers = APPROVERS) -> Path:
    _, aside = adopt(settings, notes, approvers, OsFiles(), FixedClock(LATER))
    return aside


def set_back(path: Path) -> None:
    """Records that were signed are gone."""
    last = segments_in(path)[-1]
    lines = last.read_bytes().splitlines(keepends=True)
    last.write_bytes(b"".join(lines[:-3]))


def alter(path: Path) -> None:
    first = segments_in(path)[0]
    first.write_bytes(first.read_bytes().replace(b'"released":7', b'"released":8', 1))


def lose_the_key(path: Path) -> None:
    epoch_key_in(path, 0).unlink()


def forge_a_certificate(path: Path) -> None:
    (path / "log" / "keys" / "00000000.vkey").write_text("mine")


@pytest.mark.parametrize(
    ("harm", "code", "found", "signed"),
    [
        (set_back, "audit_rollback", 25, 28),
        (alter, "audit_corrupt", 3, 28),
        (lose_the_key, "audit_key_missing", 28, 28),
        (forge_a_certificate, "audit_corrupt", 28, 0),
    ],
)
async def test_a_refused_log_is_followed_by_one_that_names_it(
    tmp_path: Path, harm: Callable[[Path], None], code: str, found: int, signed: int
) -> None:
    small_log(tmp_path)
    harm(tmp_path)
    settings = settings_in(tmp_path)
    refusal, statement = propose(settings, NEW, REASON, OsFiles())
    assert (refusal.code, statement.found.size, statement.signed.size) == (code, found, signed)
    before = everything_in(tmp_path / "log")
    aside = adopted(settings, approved(settings))
    assert everything_in(aside) == before
    key = load_trust_file(settings.key_path, NEW)
    assert key is not None
    birth = open_birth((tmp_path / "log" / "LOG").read_bytes(), key)
    assert birth.adopts is not None
    kept = statement.signed if signed else statement.found
    assert (birth.adopts.origin, birth.adopts.size, birth.adopts.root) == (ORIGIN, *kept)
    await AuditLog.open(replace(settings, origin=NEW), clock=FixedClock(LATER + 10**12, boot=7)).close()
    records = [json.loads(line) for file in segments_in(tmp_path) for line in file.read_bytes().splitlines()]
    assert [record["type"] for record in records] == ["audit.adopt", "gateway.start", "gateway.stop"]
    assert records[0]["adopt"] == {
        "origin": ORIGIN,
        "found": found,
        "signed": signed,
        "root": b64encode(statement.signed.root).decode(),
        "statement": f"sha256:{sha256(statement.text().encode()).hexdigest()}",
        "approvers": ["alice", "bob"],
        "reason": REASON,
    }
    report = verify(tmp_path / "log", key)
    assert report.finding is None, report.finding
    assert report.adopts == birth.adopts


def test_statement_and_approvals_are_kept_for_the_auditor(tmp_path: Path) -> None:
    small_log(tmp_path)
    set_back(tmp_path)
    adopted(settings_in(tmp_path), approved(settings_in(tmp_path)))
    folder = tmp_path / "log" / "adopt"
    text = (folder / "statement").read_text()
    notes = [path.read_bytes() for path in sorted(folder.glob("*.approval"))]
    assert check(text, notes, APPROVERS) == ("alice", "bob")
    assert parse_statement(text).reason == REASON


def test_a_log_that_would_start_cannot_be_adopted(tmp_path: Path) -> None:
    small_log(tmp_path)
    with pytest.raises(AuditError, match="needs no adoption"):
        propose(settings_in(tmp_path), NEW, REASON, OsFiles())


def test_a_log_in_use_cannot_be_adopted(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with pytest.raises(AuditError) as caught:
        propose(settings_in(tmp_path), NEW, REASON, OsFiles())
    assert caught.value.code == "audit_locked"
    log.close()


def test_one_person_is_not_enough_and_nothing_happens(tmp_path: Path) -> None:
    small_log(tmp_path)
    set_back(tmp_path)
    before = everything_in(tmp_path)
    notes = approved(settings_in(tmp_path))
    for few in ([], notes[:1], [notes[0], notes[0]]):
        with pytest.raises(ApprovalError):
            adopted(settings_in(tmp_path), few)
    with pytest.raises(ApprovalError):
        adopted(settings_in(tmp_path), notes, {"alice": ALICE.verifier})
    assert everything_in(tmp_path) == before


def test_a_log_that_changed_since_needs_another_approval(tmp_path: Path) -> None:
    small_log(tmp_path)
    set_back(tmp_path)
    notes = approved(settings_in(tmp_path))
    set_back(tmp_path)
    with pytest.raises(AuditError, match="not any more what the statement says"):
        adopted(settings_in(tmp_path), notes)


def test_a_head_store_that_knows_better_is_in_the_statement(tmp_path: Path) -> None:
    store = tmp_path / "elsewhere" / "heads.sqlite"
    log = opened(tmp_path, head_store=store)
    shutil.copytree(tmp_path / "log", tmp_path / "snapshot")
    log.writer.write([{"type": "auth.fail"}])
    log.writer.sign_head()
    size = log.writer.head[0]
    log.close()
    shutil.rmtree(tmp_path / "log")
    (tmp_path / "snapshot").rename(tmp_path / "log")
    settings = settings_in(tmp_path, head_store=store)
    refusal, statement = propose(settings, NEW, REASON, OsFiles())
    assert (refusal.code, statement.found.size, statement.signed.size) == ("audit_rollback", size - 1, size)
    adopted(settings, approved(settings))
    log = opened(tmp_path, clock=FixedClock(LATER + 10**12, boot=7), origin=NEW, head_store=store)
    assert log.writer.head[0] == 3, "adoption, new row in the head store, start"
    log.close()


def test_an_adoption_that_was_cut_off_is_repeated(tmp_path: Path) -> None:
    class Died(BaseException):
        pass

    class Dying(FaultyFiles):
        at = -1

        def _pass(self, name: str) -> None:
            if len(self.done) == self.at:
                raise Died
            super()._pass(name)

    small_log(tmp_path / "0")
    set_back(tmp_path / "0")
    number, is_done = 0, False
    while not is_done:
        place = tmp_path / f"try-{number}"
        shutil.copytree(tmp_path / "0", place)
        settings, notes, files = settings_in(place), approved(settings_in(place)), Dying()
        files.at = number
        try:
            adopt(settings, notes, APPROVERS, files, FixedClock(LATER))
            is_done = True
        except Died:
            adopted(settings, notes)
        key = load_trust_file(settings.key_path, NEW)
        assert key is not None
        assert verify(place / "log", key).finding is None
        assert everything_in(place / "log.adopted-test-one-audit") == everything_in(tmp_path / "0" / "log")
        number += 3
    assert number > 20


@pytest.mark.parametrize(
    ("new", "reason"), [(ORIGIN, "why"), ("a b", "why"), (NEW, ""), (NEW, "a\nb"), (NEW, "x" * 501)]
)
def test_statements_that_cannot_be_are_refused(new: str, reason: str) -> None:
    with pytest.raises(AuditError):
        Statement(ORIGIN, new, Head(0, bytes(32)), Head(0, bytes(32)), reason)


def test_a_text_of_another_form_adopts_nothing() -> None:
    text = Statement(ORIGIN, NEW, Head(1, bytes(32)), Head(2, bytes(32)), REASON).text()
    assert parse_statement(text).signed == Head(2, bytes(32))
    for other in (text.replace("adopt/v1", "adopt/v2"), text + "more\n", text.replace("found 1", "found 01"), ""):
        with pytest.raises(AuditError):
            parse_statement(other)
