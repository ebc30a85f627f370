"""The chain of epoch keys: both signatures, no gap, no overlap, and each key in its time only."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.birth import Birth
from gateway.audit.epochs import AFTER_NS, BEFORE_NS, ENDLESS, Epoch, certificate_path, load_chain
from gateway.audit.errors import EpochError, NoteError
from gateway.audit.note import Checkpoint, Signer
from tests.gateway.audit.harness import ORIGIN, signer_in

LOG_KEY = signer_in(1)
SECOND = 10**9
DAY = 86_400 * SECOND
BEGIN = 1_800_000_000 * SECOND


def epoch_signer(number: int) -> Signer:
    return signer_in(100 + number)


def epoch_of(number: int, begin: int = 0, end: int = 0) -> Epoch:
    return Epoch(
        number, begin or BEGIN + number * DAY, end or BEGIN + (number + 1) * DAY, epoch_signer(number).verifier
    )


def certificate(epoch: Epoch, by: Signer = LOG_KEY, before: Signer | None = None) -> bytes:
    note = by.sign(epoch.text())
    before = before or (epoch_signer(epoch.number - 1) if epoch.number else None)
    return before.cosign(note) if before is not None else note


def put(path: Path, *epochs: Epoch, version: int = 2) -> Path:
    (path / "keys").mkdir(exist_ok=True)
    (path / "LOG").write_bytes(LOG_KEY.sign(Birth(version, LOG_KEY.verifier, BEGIN).text()))
    for epoch in epochs:
        certificate_path(path, epoch.number).write_bytes(certificate(epoch))
    return path


def test_chain_gives_each_key_by_its_id(tmp_path: Path) -> None:
    chain = load_chain(put(tmp_path, epoch_of(0), epoch_of(1)), LOG_KEY.verifier)
    assert chain.version == 2
    assert chain.epochs == (epoch_of(0), epoch_of(1))
    assert chain.key_for(epoch_signer(1).verifier.key_id) == epoch_of(1)
    assert chain.key_for(LOG_KEY.verifier.key_id) is None
    assert chain.epoch(1) == epoch_of(1)
    assert chain.epoch(2) is None


def test_log_of_version_1_has_one_endless_epoch(tmp_path: Path) -> None:
    chain = load_chain(put(tmp_path, version=1), LOG_KEY.verifier)
    signed = chain.open_head(LOG_KEY.sign(Checkpoint(ORIGIN, 3, bytes(32), 7).text()))
    assert (chain.version, signed.epoch, signed.head.size) == (1, ENDLESS, 3)
    assert chain.epochs[0].label == "-"


def head_at(time_ns: int) -> str:
    return Checkpoint(ORIGIN, 3, bytes(32), time_ns).text()


@pytest.mark.parametrize(
    ("time_ns", "holds"),
    [
        (BEGIN + DAY - BEFORE_NS, True),
        (BEGIN + DAY - BEFORE_NS - 1, False),
        (BEGIN + 2 * DAY + AFTER_NS, True),
        (BEGIN + 2 * DAY + AFTER_NS + 1, False),
    ],
)
def test_head_outside_the_time_of_its_key_does_not_hold(tmp_path: Path, time_ns: int, holds: bool) -> None:
    chain = load_chain(put(tmp_path, epoch_of(0), epoch_of(1)), LOG_KEY.verifier)
    note = epoch_signer(1).sign(head_at(time_ns))
    if holds:
        assert chain.open_head(note).epoch == 1
    else:
        with pytest.raises(NoteError, match="outside epoch 1"):
            chain.open_head(note)


def test_the_log_key_signs_no_head_of_version_2(tmp_path: Path) -> None:
    chain = load_chain(put(tmp_path, epoch_of(0)), LOG_KEY.verifier)
    with pytest.raises(NoteError, match="no signature by an epoch key"):
        chain.open_head(LOG_KEY.sign(head_at(BEGIN)))
    twice = epoch_signer(1).cosign(epoch_signer(0).sign(head_at(BEGIN)))
    assert chain.open_head(twice).epoch == 0, "a line by an unknown key is skipped"
    both = load_chain(put(tmp_path, epoch_of(0), epoch_of(1)), LOG_KEY.verifier)
    with pytest.raises(NoteError, match="more than one"):
        both.open_head(twice)


def test_head_with_a_changed_text_does_not_hold(tmp_path: Path) -> None:
    chain = load_chain(put(tmp_path, epoch_of(0)), LOG_KEY.verifier)
    with pytest.raises(NoteError, match="signature does not match"):
        chain.open_head(epoch_signer(0).sign(head_at(BEGIN)).replace(b"\n3\n", b"\n4\n"))


def test_gap_in_the_numbers_is_named(tmp_path: Path) -> None:
    put(tmp_path, epoch_of(0), epoch_of(1), epoch_of(2))
    certificate_path(tmp_path, 1).unlink()
    with pytest.raises(EpochError, match=r"keys/00000002.vkey.*epoch 0") as caught:
        load_chain(tmp_path, LOG_KEY.verifier)
    assert caught.value.code == "epoch_missing"


@pytest.mark.parametrize(
    "note",
    [
        LOG_KEY.sign(epoch_of(1).text()),
        signer_in(9).sign(epoch_of(1).text()),
        epoch_signer(0).sign(epoch_of(1).text()),
        certificate(epoch_of(1), before=signer_in(9)),
        certificate(epoch_of(1), by=signer_in(9)),
        certificate(epoch_of(1)).replace(b"until 1", b"until 9"),
        certificate(epoch_of(2), before=epoch_signer(0)),
        certificate(epoch_of(1, begin=BEGIN + DAY - 61 * SECOND)),
        certificate(epoch_of(1, begin=BEGIN - 1)),
        epoch_signer(0).cosign(LOG_KEY.sign(epoch_of(1).text().replace("audit-epoch/v1", "audit-epoch/v2"))),
        epoch_signer(0).cosign(LOG_KEY.sign(epoch_of(1).text() + "more\n")),
        epoch_signer(0).cosign(LOG_KEY.sign(epoch_of(1).text().replace("epoch 1", "epoch 01"))),
        epoch_signer(0).cosign(LOG_KEY.sign(epoch_of(1).text().replace("key test", "key best"))),
        epoch_signer(0).cosign(LOG_KEY.sign(epoch_of(1).text().replace("epoch/v1\ntest", "epoch/v1\nbest"))),
        b"",
        b"\xff\n\n\n",
    ],
)
def test_certificate_that_is_wrong_anywhere_is_refused(tmp_path: Path, note: bytes) -> None:
    put(tmp_path, epoch_of(0))
    certificate_path(tmp_path, 1).write_bytes(note)
    with pytest.raises(EpochError) as caught:
        load_chain(tmp_path, LOG_KEY.verifier)
    assert (caught.value.code, caught.value.file) == ("epoch_certificate", "keys/00000001.vkey")


def test_epochs_may_overlap_by_a_minute_and_may_leave_a_pause(tmp_path: Path) -> None:
    overlapping = epoch_of(1, begin=BEGIN + DAY - 60 * SECOND)
    late = epoch_of(2, begin=BEGIN + 9 * DAY, end=BEGIN + 10 * DAY)
    assert len(load_chain(put(tmp_path, epoch_of(0), overlapping, late), LOG_KEY.verifier).epochs) == 3


def test_one_key_for_two_epochs_is_refused(tmp_path: Path) -> None:
    put(tmp_path, epoch_of(0))
    again = Epoch(1, BEGIN + DAY, BEGIN + 2 * DAY, epoch_signer(0).verifier)
    certificate_path(tmp_path, 1).write_bytes(certificate(again))
    with pytest.raises(EpochError, match="id of an earlier one"):
        load_chain(tmp_path, LOG_KEY.verifier)


def test_an_epoch_has_a_length() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        Epoch(0, 5, 5, LOG_KEY.verifier)


def test_files_of_other_names_are_not_certificates(tmp_path: Path) -> None:
    put(tmp_path, epoch_of(0))
    (tmp_path / "keys" / "00000001.vkey.tmp").write_text("half")
    assert len(load_chain(tmp_path, LOG_KEY.verifier).epochs) == 1
