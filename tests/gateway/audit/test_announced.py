"""A certificate that was taken away is missing evidence; a signature that is wrong stays one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.audit.epochs import certificate_path
from gateway.audit.report import Exit
from tests.gateway.audit.forging import two_days
from tests.gateway.audit.harness import segments_in, verified


def verdict(path: Path) -> tuple[Exit, str, str]:
    report = verified(path)
    assert report.finding is not None
    return report.exit, report.finding.code, report.finding.file


def last(log: Path) -> None:
    for number in (1, 2):
        certificate_path(log, number).unlink()


def every(log: Path) -> None:
    shutil.rmtree(log / "keys")


@pytest.mark.parametrize(("harm", "number"), [(last, 1), (every, 1)])
@pytest.mark.parametrize("name", ["checkpoint", "checkpoints.log", ""])
def test_the_last_certificate_is_missed(tmp_path: Path, harm: Callable[[Path], None], number: int, name: str) -> None:
    two_days(tmp_path)
    harm(tmp_path / "log")
    if name:
        (tmp_path / "log" / name).unlink()
    assert verdict(tmp_path) == (Exit.INCOMPLETE, "epoch_missing", f"keys/{number:08d}.vkey")


def test_it_is_missed_where_the_announcement_is_the_last_line_of_all(tmp_path: Path) -> None:
    two_days(tmp_path)
    last(tmp_path / "log")
    newest = segments_in(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes().partition(b"\n")[0] + b"\n")
    assert verdict(tmp_path) == (Exit.INCOMPLETE, "epoch_missing", "keys/00000001.vkey")


def test_a_signature_that_is_wrong_stays_one(tmp_path: Path) -> None:
    two_days(tmp_path)
    file = tmp_path / "log" / "checkpoint"
    file.write_bytes(file.read_bytes().replace(b"\n5\n", b"\n4\n"))
    assert verdict(tmp_path) == (Exit.ALTERED, "checkpoint", "checkpoint")
    first = segments_in(tmp_path)[0]
    for data in (b"", b"not json\n[]\n", b'{"type":"key.epoch","key":{"epoch":true}}\n'):
        first.write_bytes(data)
        assert verdict(tmp_path)[1] == "checkpoint"


def test_a_directory_in_the_place_of_a_certificate_is_no_certificate(tmp_path: Path) -> None:
    two_days(tmp_path)
    path = certificate_path(tmp_path / "log", 1)
    path.unlink()
    path.mkdir()
    assert verdict(tmp_path) == (Exit.ALTERED, "epoch_certificate", "keys/00000001.vkey")
