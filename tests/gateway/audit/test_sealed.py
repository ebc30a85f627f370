"""Seals of closed segments."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.epochs import load_chain
from gateway.audit.report import Exit
from gateway.audit.seal import open_seal, seal_path
from tests.gateway.audit.forging import DAY, SECOND, START, T0, Forger, two_days
from tests.gateway.audit.harness import segments_in, signer_in, trust_in, verified


def code_of(path: Path) -> tuple[Exit, str | None]:
    report = verified(path)
    return report.exit, report.finding.code if report.finding is not None else None


def test_closed_segment_without_a_seal_is_incomplete(tmp_path: Path) -> None:
    two_days(tmp_path)
    seal_path(segments_in(tmp_path)[0]).unlink()
    assert code_of(tmp_path) == (Exit.INCOMPLETE, "seal_missing")


def test_seal_of_another_segment_is_found(tmp_path: Path) -> None:
    forger = Forger(tmp_path)
    paths = [forger.segment([START], seal=(0, T0, 0)) for _ in range(3)]
    forger.heads((3, T0, 0))
    assert code_of(tmp_path) == (Exit.PROVED, None)
    shutil.copy(seal_path(paths[0]), seal_path(paths[1]))
    assert code_of(tmp_path) == (Exit.ALTERED, "seal")


@pytest.mark.parametrize(
    ("time_ns", "epoch"), [(T0 + 2 * DAY, 0), (T0 - 2 * SECOND, 0), (T0, 1), (T0 + DAY + 61 * SECOND, 0)]
)
def test_seal_by_a_key_outside_its_time_is_found(tmp_path: Path, time_ns: int, epoch: int) -> None:
    forger = Forger(tmp_path)
    path = forger.segment([START])
    forger.heads((1, T0, 0))
    forger.seal(path, 0, time_ns, epoch)
    assert code_of(tmp_path) == (Exit.ALTERED, "seal")


@pytest.mark.parametrize(
    "change", [{"first": 1}, {"last": 0}, {"root": bytes(32)}, {"size": 1}, {"digest": bytes(32)}, {"origin": "a/b"}]
)
def test_seal_that_says_something_else_is_found_though_it_is_signed(tmp_path: Path, change: dict[str, Any]) -> None:
    forger = two_days(tmp_path)
    path = seal_path(segments_in(tmp_path)[0])
    seal, _ = open_seal(path.read_bytes(), load_chain(forger.directory, trust_in(tmp_path)))
    path.write_bytes(signer_in(0).sign(replace(seal, **change).text()))
    assert code_of(tmp_path) == (Exit.ALTERED, "seal")


def test_newest_segment_may_have_a_seal_and_then_it_has_to_hold(tmp_path: Path) -> None:
    forger = Forger(tmp_path)
    path = forger.segment([START], seal=(0, T0, 0))
    forger.heads((1, T0, 0))
    assert code_of(tmp_path) == (Exit.PROVED, None)
    seal_path(path).write_bytes(b"nonsense")
    assert code_of(tmp_path) == (Exit.ALTERED, "seal")
