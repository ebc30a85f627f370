"""Certificates from a log key that is elsewhere: asked for, signed there, and installed only where they fit."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.audit.epoch_keys import DAY_NS, KeyPlaces
from gateway.audit.epochs import load_chain
from gateway.audit.errors import AuditError, EpochMissing
from gateway.audit.files import OsFiles
from gateway.audit.key_exchange import install, make_request, read_request, sign_request
from gateway.audit.keys import load_private
from gateway.audit.note import Signer
from tests.gateway.audit.harness import (
    ORIGIN,
    FaultyFiles,
    FixedClock,
    begin_version_1,
    opened,
    put_test_key,
    records_in,
    signer_in,
    trust_in,
    verified,
)

NOW = 1_800_000_000 * 10**9
KEEPER = signer_in(1)
"""The log key, wherever it is."""


def places_in(path: Path) -> KeyPlaces:
    return KeyPlaces(path / "log", path / "keys", ORIGIN)


def ask(path: Path, count: int = 3, now_ns: int = NOW) -> str:
    key_path = path / "keys" / "audit.pem"
    return make_request(places_in(path), key_path, OsFiles(), count=count, length_ns=DAY_NS, now_ns=now_ns).text()


def bring(path: Path, answer: str, files: OsFiles | None = None) -> list[int]:
    added = install(answer, places_in(path), path / "keys" / "audit.pem", files or OsFiles())
    return [epoch.number for epoch in added]


def signed(text: str, by: Signer = KEEPER) -> str:
    return sign_request(read_request(text), by)


def test_a_log_is_begun_and_kept_without_its_key_ever_being_here(tmp_path: Path) -> None:
    assert bring(tmp_path, signed(ask(tmp_path))) == [0, 1, 2]
    clock = FixedClock(NOW + DAY_NS // 2)
    log = opened(tmp_path, clock=clock)
    for _ in range(2):
        clock.wall += DAY_NS
        clock.mono += DAY_NS
        log.writer.sign_head()
    clock.wall += DAY_NS
    with pytest.raises(EpochMissing):
        log.writer.sign_head()
    assert bring(tmp_path, signed(ask(tmp_path, now_ns=clock.wall))) == [3, 4, 5]
    clock.wall += 2 * 10**9
    clock.mono += 2 * 10**9
    log.writer.sign_head()
    log.close()
    assert not (tmp_path / "keys" / "audit.pem").exists()
    told = [record["key"]["epoch"] for record in records_in(tmp_path) if "key" in record]  # type: ignore[index]
    assert told == [1, 2, 3]
    assert sorted(file.name[-12:-4] for file in (tmp_path / "keys" / "epochs").iterdir()) == [
        "00000003",
        "00000004",
        "00000005",
    ]
    report = verified(tmp_path)
    assert report.finding is None, report.finding


def test_more_epochs_follow_those_there_are_without_a_gap(tmp_path: Path) -> None:
    bring(tmp_path, signed(ask(tmp_path)))
    bring(tmp_path, signed(ask(tmp_path, now_ns=NOW + DAY_NS)))
    epochs = load_chain(tmp_path / "log", KEEPER.verifier).epochs
    assert [epoch.number for epoch in epochs] == list(range(6))
    assert {after.from_ns - before.until_ns for before, after in pairwise(epochs)} == {0}


def test_a_log_whose_key_was_here_goes_on_after_it_was_taken_away(tmp_path: Path) -> None:
    opened(tmp_path, epoch_s=86_400).close()
    key_path = tmp_path / "keys" / "audit.pem"
    with pytest.raises(AuditError, match="on this machine"):
        ask(tmp_path)
    keeper = Signer(ORIGIN, load_private(key_path))
    key_path.unlink()
    assert bring(tmp_path, signed(ask(tmp_path), keeper)) == [1, 2, 3]
    opened(tmp_path, clock=FixedClock(NOW + 2 * DAY_NS, boot=3)).close()
    assert verified(tmp_path).epoch == 2
    assert trust_in(tmp_path) == keeper.verifier


def test_an_epoch_that_nobody_lived_through_is_skipped(tmp_path: Path) -> None:
    bring(tmp_path, signed(ask(tmp_path, count=5)))
    opened(tmp_path, clock=FixedClock(NOW + 3 * DAY_NS + 5)).close()
    assert [record["key"]["epoch"] for record in records_in(tmp_path) if "key" in record] == [3]  # type: ignore[index]
    assert verified(tmp_path).finding is None


def test_an_interrupted_install_is_taken_up(tmp_path: Path) -> None:
    answer = signed(ask(tmp_path))
    number = 0
    while True:
        try:
            bring(tmp_path, answer, FaultyFiles(lambda at, _, number=number: 5 if at == number else None))  # type: ignore[misc]
            break
        except (OSError, AuditError):
            number += 1
    assert number > 10
    assert len(load_chain(tmp_path / "log", KEEPER.verifier).epochs) == 3
    opened(tmp_path, clock=FixedClock(NOW + 5)).close()


def test_installing_twice_adds_nothing(tmp_path: Path) -> None:
    answer = signed(ask(tmp_path))
    assert bring(tmp_path, answer) == [0, 1, 2]
    assert bring(tmp_path, answer) == []


@pytest.mark.parametrize("name", ["other", "log", "request", "private"])
def test_certificates_that_do_not_fit_are_not_installed(tmp_path: Path, name: str) -> None:
    bring(tmp_path, signed(ask(tmp_path)))
    request = read_request(ask(tmp_path))
    if name == "other":
        answer = sign_request(replace(request, log_key=""), signer_in(2))
    elif name == "log":
        answer = signed(ask(tmp_path)).replace(ORIGIN, "test/two/audit")
    elif name == "request":
        forged = replace(request.epochs[0], key=signer_in(9).verifier)
        answer = sign_request(replace(request, epochs=(forged,)), KEEPER)
    else:
        answer = sign_request(replace(request, epochs=request.epochs[1:]), KEEPER)
    with pytest.raises(AuditError):
        bring(tmp_path, answer)
    assert len(load_chain(tmp_path / "log", KEEPER.verifier).epochs) == 3


def test_the_wrong_log_key_certifies_nothing(tmp_path: Path) -> None:
    bring(tmp_path, signed(ask(tmp_path)))
    with pytest.raises(AuditError) as caught:
        signed(ask(tmp_path), signer_in(2))
    assert caught.value.code == "audit_key_mismatch"


def test_a_log_of_version_1_needs_no_epochs(tmp_path: Path) -> None:
    put_test_key(tmp_path)
    begin_version_1(tmp_path, FixedClock())
    (tmp_path / "keys" / "audit.pem").unlink()
    with pytest.raises(AuditError, match="version 1"):
        ask(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"format":"gatehouse-epoch-request/v1"}',
        '{"format":"gatehouse-epoch-request/v1","origin":"a","log_key":"","created":"1","epochs":[]}',
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(AuditError):
        read_request(text)
    with pytest.raises(AuditError):
        bring(tmp_path, text.replace("request", "certificates"))


def test_a_request_is_text_that_a_person_can_read(tmp_path: Path) -> None:
    said = json.loads(ask(tmp_path, count=1))
    assert said["origin"] == ORIGIN
    assert "epoch 0\nfrom 1800000000000000000\nuntil 1800086400000000000\n" in said["epochs"][0]
