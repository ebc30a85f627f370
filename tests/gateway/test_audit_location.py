"""Where the log is, and whose key is believed."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gateway.audit.errors import ProofError, TrustError
from gateway.audit_location import AuditLocation, UsageError, guarded, location_of
from tests.gateway.audit.harness import small_log


def test_the_configuration_is_read_only_if_it_decides(tmp_path: Path) -> None:
    small_log(tmp_path)
    found = AuditLocation(tmp_path / "log", tmp_path / "x.vkey")
    asked: list[Path] = []

    def locate(config: Path) -> AuditLocation:
        asked.append(config)
        return found

    given = argparse.Namespace(dir=tmp_path / "log", trust=tmp_path / "own.vkey", config=Path("c"), locate=locate)
    assert location_of(given) == AuditLocation(tmp_path / "log", tmp_path / "own.vkey")
    assert asked == []
    assert location_of(argparse.Namespace(dir=None, trust=None, config=Path("c"), locate=locate)) == found
    assert asked == [Path("c")]


def test_a_directory_that_is_no_log_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not an audit log"):
        location_of(argparse.Namespace(dir=tmp_path, trust=tmp_path))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("x"), 5),
        (TrustError("x"), 5),
        (ProofError("not_proved", "x"), 2),
        (FileNotFoundError(2, "gone", "f"), 5),
    ],
)
def test_every_end_has_its_status(error: Exception, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(arguments: argparse.Namespace) -> int:
        raise error

    assert guarded(fail)(argparse.Namespace()) == status
    assert capsys.readouterr().err.startswith("gatehouse audit: ")
