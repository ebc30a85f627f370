"""The control report as an auditor types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway.cli import main
from tests.gateway.audit.harness import small_log


def test_a_report_with_gaps_says_so_by_its_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_log(tmp_path)
    command = ["audit", "controls", "--framework", "pci", "--dir", str(tmp_path / "log")]
    assert main(command) == 1
    out = capsys.readouterr().out
    assert "10.2.1.4  records of invalid attempts" in out
    assert "GAP" in out
    assert main([*command, "--json", "--since", "2027-01-15", "--until", "2027-01-16"]) == 1
    report = json.loads(capsys.readouterr().out)
    [calls] = [one for one in report["controls"] if one["id"] == "10.2.2"]
    assert calls["evidence"][0]["by_type"]["request.admit"] == 8


def test_times_are_widened_to_whole_days(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_log(tmp_path)
    command = ["audit", "controls", "--framework", "pci", "--dir", str(tmp_path / "log"), "--json"]
    assert main([*command, "--since", "2027-01-15T23:00:00Z", "--until", "2027-01-15T23:30:00Z"]) == 1
    [calls] = [one for one in json.loads(capsys.readouterr().out)["controls"] if one["id"] == "10.2.2"]
    assert calls["evidence"][0]["by_type"]["request.admit"] == 8
