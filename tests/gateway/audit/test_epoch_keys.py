"""Epochs as the writer lives through them: a crash at any step of a change is a normal start, and old keys are gone."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.audit.epoch_keys import DAY_NS
from gateway.audit.epochs import certificate_path, load_chain
from gateway.audit.errors import AuditError, AuditUnavailable, EpochMissing
from gateway.audit.files import OsFiles
from gateway.audit.log import AuditLog
from gateway.audit.receipt import check_receipt, parse_receipt
from tests.gateway.audit.harness import (
    FaultyFiles,
    FixedClock,
    Opened,
    begin_version_1,
    epoch_key_in,
    opened,
    put_test_key,
    records_in,
    segments_in,
    settings_in,
    small_log,
    trust_in,
    types_in,
    verified,
)


@dataclass
class Days:
    """A clock whose days pass when they are told to."""

    clock: FixedClock

    def pass_by(self, days: float) -> None:
        self.clock.wall += round(days * DAY_NS)
        self.clock.mono += round(days * DAY_NS)


def daily(path: Path, clock: FixedClock, files: OsFiles | None = None) -> Opened:
    return opened(path, files, clock, epoch_s=86_400)


def keys_in(path: Path) -> list[int]:
    return sorted(int(file.stem[-8:]) for file in (path / "keys" / "epochs").iterdir())


def epochs_told(path: Path) -> list[object]:
    return [record["key"]["epoch"] for record in records_in(path) if record["type"] == "key.epoch"]  # type: ignore[index]


def test_a_new_log_begins_in_epoch_0_and_its_heads_are_signed_by_that_key(tmp_path: Path) -> None:
    daily(tmp_path, FixedClock()).close()
    chain = load_chain(tmp_path / "log", trust_in(tmp_path))
    assert [epoch.number for epoch in chain.epochs] == [0]
    assert chain.epochs[0].until_ns - chain.epochs[0].from_ns == DAY_NS
    assert chain.open_head((tmp_path / "log" / "checkpoint").read_bytes()).epoch == 0
    assert types_in(tmp_path) == ["gateway.start"]
    assert verified(tmp_path).finding is None


def test_when_its_day_is_over_the_next_key_takes_over_and_the_old_one_is_gone(tmp_path: Path) -> None:
    clock = FixedClock()
    log = daily(tmp_path, clock)
    for _ in range(3):
        log.writer.write([{"type": "auth.fail"}])
        Days(clock).pass_by(1)
        log.writer.sign_head()
    assert keys_in(tmp_path) == [3]
    assert epochs_told(tmp_path) == [1, 2, 3]
    assert [record["type"] for record in records_in(tmp_path) if record["seq"] in (2, 5, 8)] == ["key.epoch"] * 3
    chain = load_chain(tmp_path / "log", trust_in(tmp_path))
    assert (
        [record["key"]["id"] for record in records_in(tmp_path) if "key" in record]
        == [  # type: ignore[index]
            epoch.key.key_id.hex() for epoch in chain.epochs[1:]
        ]
    )
    assert [int(file.stem) for file in segments_in(tmp_path)] == [0, 2, 5, 8], "each begins with its epoch"
    log.close()
    report = verified(tmp_path)
    assert report.finding is None, report.finding


def test_a_start_within_the_day_goes_on_with_the_key_of_the_day(tmp_path: Path) -> None:
    clock = FixedClock()
    daily(tmp_path, clock).close()
    Days(clock).pass_by(0.5)
    daily(tmp_path, clock).close()
    assert keys_in(tmp_path) == [0]
    assert epochs_told(tmp_path) == []


def test_a_start_after_many_days_begins_one_new_epoch(tmp_path: Path) -> None:
    clock = FixedClock()
    daily(tmp_path, clock).close()
    Days(clock).pass_by(9)
    daily(tmp_path, clock).close()
    assert keys_in(tmp_path) == [1]
    assert types_in(tmp_path) == ["gateway.start", "key.epoch", "gateway.start"]
    assert verified(tmp_path).finding is None


def test_a_clock_that_is_set_back_does_not_bring_an_old_key_back(tmp_path: Path) -> None:
    clock = FixedClock()
    daily(tmp_path, clock).close()
    Days(clock).pass_by(2)
    daily(tmp_path, clock).close()
    clock.wall -= 2 * DAY_NS
    daily(tmp_path, clock).close()
    assert epochs_told(tmp_path) == [1]
    assert verified(tmp_path).finding is None


def operations_of_a_change(path: Path) -> tuple[int, int]:
    """Numbers of the operations before and after it."""
    files = FaultyFiles()
    clock = FixedClock()
    log = daily(path, clock, files)
    before = len(files.done)
    Days(clock).pass_by(1)
    log.writer.sign_head()
    log.close()
    return before, len(files.done)


class Stopped(BaseException):
    """The process is gone; nothing more happens."""


@dataclass
class Stopping(FaultyFiles):
    """Ends the process before the n-th operation."""

    at: int = -1

    def _pass(self, name: str) -> None:
        if len(self.done) == self.at:
            raise Stopped
        super()._pass(name)


def test_a_crash_before_any_operation_of_a_change_is_mended_by_the_next_start(tmp_path: Path) -> None:
    """Between private key, certificate, record, seal, head and erasure."""
    before, after = operations_of_a_change(tmp_path / "clean")
    assert after - before > 20
    for number in range(before, after):
        place, clock = tmp_path / str(number), FixedClock()
        log = daily(place, clock, Stopping(at=number))
        Days(clock).pass_by(1)
        with pytest.raises(Stopped):
            log.writer.sign_head()
        log.close()
        daily(place, clock).close()
        assert keys_in(place) == [1], number
        assert epochs_told(place) == [1], number
        report = verified(place)
        assert report.finding is None, (number, report.finding)


def test_an_error_at_any_operation_of_a_change_is_tried_again(tmp_path: Path) -> None:
    before, after = operations_of_a_change(tmp_path / "clean")
    for number in range(before, after):
        place, clock = tmp_path / str(number), FixedClock()
        log = daily(place, clock, FaultyFiles(lambda at, _, number=number: errno.EIO if at == number else None))  # type: ignore[misc]
        Days(clock).pass_by(1)
        try:
            log.writer.sign_head()
        except AuditUnavailable:
            Days(clock).pass_by(2 / 86_400)
            log.writer.sign_head()
        Days(clock).pass_by(2 / 86_400)
        log.writer.sign_head()
        assert keys_in(place) == [1], number
        assert epochs_told(place) == [1], number
        log.close()
        report = verified(place)
        assert report.finding is None, (number, report.finding)


def test_steps_of_a_change_that_were_left_are_taken_up(tmp_path: Path) -> None:
    """The states in between, made by hand."""
    clock = FixedClock()
    daily(tmp_path, clock).close()
    shutil.copytree(tmp_path, tmp_path.parent / "whole")
    Days(clock).pass_by(1)
    daily(tmp_path, clock).close()
    new_key, certificate = epoch_key_in(tmp_path, 1).read_bytes(), certificate_path(tmp_path / "log", 1).read_bytes()
    for left in ("key", "certificate"):
        place = tmp_path.parent / left
        shutil.copytree(tmp_path.parent / "whole", place)
        epoch_key_in(place, 1).write_bytes(new_key)
        epoch_key_in(place, 1).chmod(0o600)
        if left == "certificate":
            certificate_path(place / "log", 1).write_bytes(certificate)
        daily(place, clock).close()
        assert epoch_key_in(place, 1).read_bytes() == new_key
        assert (keys_in(place), epochs_told(place)) == ([1], [1])
        assert verified(place).finding is None


def test_a_key_is_overwritten_before_its_name_is_removed(tmp_path: Path) -> None:
    clock, kept = FixedClock(), tmp_path / "kept"
    log = daily(tmp_path, clock)
    os.link(epoch_key_in(tmp_path, 0), kept)
    Days(clock).pass_by(1)
    log.writer.sign_head()
    log.close()
    assert set(kept.read_bytes()) == {0}


def test_a_key_that_cannot_be_removed_is_tried_again_with_the_next_head(tmp_path: Path) -> None:
    clock, failing = FixedClock(), [True]
    log = daily(tmp_path, clock, FaultyFiles(lambda _, name: errno.EIO if failing[0] and name == "unlink" else None))
    Days(clock).pass_by(1)
    log.writer.sign_head()
    assert keys_in(tmp_path) == [0, 1]
    failing.clear()
    failing.append(False)
    log.writer.sign_head()
    assert keys_in(tmp_path) == [1]
    log.close()


def test_without_the_log_key_the_epoch_is_the_last_one(tmp_path: Path) -> None:
    """Heads are signed for a minute after its end, then no more; a start is refused at once."""
    clock = FixedClock()
    daily(tmp_path, clock).close()
    (tmp_path / "keys" / "audit.pem").unlink()
    log = daily(tmp_path, clock)
    Days(clock).pass_by(1)
    log.writer.sign_head()
    Days(clock).pass_by(61 / 86_400)
    with pytest.raises(EpochMissing, match="gatehouse audit keys"):
        log.writer.sign_head()
    with pytest.raises(EpochMissing):
        log.writer.require_key()
    log.writer.write([{"type": "auth.fail"}])
    log.close()
    with pytest.raises(EpochMissing):
        daily(tmp_path, clock)
    assert epochs_told(tmp_path) == []


def test_a_start_without_a_valid_epoch_has_its_own_code(tmp_path: Path) -> None:
    small_log(tmp_path, epoch_s=0.001, starts=1)
    (tmp_path / "keys" / "audit.pem").unlink()
    with pytest.raises(AuditError) as caught:
        AuditLog.open(settings_in(tmp_path))
    assert caught.value.code == "audit_epoch_missing"


@pytest.mark.parametrize(("loss", "code"), [("unlink", "audit_key_missing"), ("mode", "audit_key_unsafe")])
def test_the_private_key_of_the_day_is_needed(tmp_path: Path, loss: str, code: str) -> None:
    clock = FixedClock()
    daily(tmp_path, clock).close()
    if loss == "unlink":
        epoch_key_in(tmp_path, 0).unlink()
    else:
        epoch_key_in(tmp_path, 0).chmod(0o640)
    for days in (0.5, 3):
        Days(clock).pass_by(days)
        with pytest.raises(AuditError) as caught:
            daily(tmp_path, clock)
        assert caught.value.code == code


def test_another_key_in_the_place_of_the_day_s_is_refused(tmp_path: Path) -> None:
    clock = FixedClock()
    daily(tmp_path, clock).close()
    put_test_key(tmp_path / "other")
    shutil.copy(epoch_key_in(tmp_path / "other", 3), epoch_key_in(tmp_path, 0))
    with pytest.raises(AuditError, match="certificate of its epoch") as caught:
        daily(tmp_path, clock)
    assert caught.value.code == "audit_key_mismatch"


def test_a_certificate_that_was_changed_stops_the_start(tmp_path: Path) -> None:
    clock = FixedClock()
    daily(tmp_path, clock).close()
    path = certificate_path(tmp_path / "log", 0)
    path.write_bytes(path.read_bytes().replace(b"until 1", b"until 9"))
    with pytest.raises(AuditError) as caught:
        daily(tmp_path, clock)
    assert caught.value.code == "audit_corrupt"


def test_a_first_start_is_repeated_after_its_key_was_thrown_away(tmp_path: Path) -> None:
    """Nothing was recorded, so nothing is lost; certificates by the lost key go, too."""
    small_log(tmp_path, starts=1)
    for file in (*(tmp_path / "log" / "seg").iterdir(), *(tmp_path / "log").glob("checkpoint*")):
        file.unlink()
    shutil.rmtree(tmp_path / "keys")
    opened(tmp_path).close()
    assert verified(tmp_path).finding is None


def test_a_log_of_version_1_stays_one(tmp_path: Path) -> None:
    put_test_key(tmp_path)
    clock = FixedClock()
    begin_version_1(tmp_path, clock)
    for _ in range(2):
        log = daily(tmp_path, clock)
        log.writer.seal_segment()
        log.close()
        Days(clock).pass_by(2)
    assert not (tmp_path / "log" / "keys").exists()
    assert list((tmp_path / "log" / "seg").glob("*.seal")) == []
    assert types_in(tmp_path) == ["gateway.start", "gateway.start"]
    assert verified(tmp_path).finding is None


async def test_receipts_are_signed_by_the_key_of_the_day(tmp_path: Path) -> None:
    log = AuditLog.open(settings_in(tmp_path))
    receipt = await log.append({"type": "auth.fail"})
    text = log.sign_receipt(receipt)
    await log.close()
    chain = load_chain(tmp_path / "log", trust_in(tmp_path))
    kept = parse_receipt(text)
    assert (kept.seq, kept.leaf, check_receipt(kept, chain).number) == (receipt.seq, receipt.leaf, 0)


async def test_a_log_without_a_valid_key_goes_on_for_a_while_and_says_why_it_stops(tmp_path: Path) -> None:
    clock = FixedClock()
    settings = replace(settings_in(tmp_path, epoch_s=86_400, probe_interval_s=0.01), head_patience_s=0.1)
    log = AuditLog.open(replace(settings, checkpoint_interval_s=0.01), clock=clock)
    await log.close()
    (tmp_path / "keys" / "audit.pem").unlink()
    log = AuditLog.open(replace(settings, checkpoint_interval_s=0.01), clock=clock)
    Days(clock).pass_by(1.1)
    await log.append({"type": "auth.fail"})
    for _ in range(500):
        if log.state != "ok":
            break
        await asyncio.sleep(0.01)
    assert log.state == "audit_epoch_missing"
    with pytest.raises(AuditUnavailable):
        await log.append({"type": "auth.fail"})
    size = len(records_in(tmp_path))
    await asyncio.sleep(0.1)
    assert len(records_in(tmp_path)) == size, "a probe that cannot be signed is not written each second"
    await log.close()
