"""The log read for an auditor in another process: what it says, and what becomes of one that takes too long."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gateway.admin.log_reader import LogReader
from gateway.errors import Unavailable
from tests.gateway.audit.harness import lines_in, small_log


async def test_lines_come_as_they_are_stored(tmp_path: Path) -> None:
    small_log(tmp_path)
    lines = await LogReader(tmp_path / "log").search(["--request=1-2"], ["response.complete"])
    assert len(lines) == 1
    assert lines[0].encode() in lines_in(tmp_path)
    assert await LogReader(tmp_path / "log").search([], ["nothing-of-this-name"]) == []


async def test_a_day_is_counted(tmp_path: Path) -> None:
    small_log(tmp_path)
    reader = LogReader(tmp_path / "log")
    assert (await reader.day("2027-01-15", "2027-01-16", "type"))["request.admit"] == 8
    assert await reader.day("2027-01-14", "2027-01-15", "type") == {}


async def test_a_log_that_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as error:
        await LogReader(tmp_path / "none").search([], ["x"])
    assert error.value.code == "audit_unreadable"


async def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    slow = "import os, sys, time; open(sys.argv[-1], 'w').write(str(os.getpid())); time.sleep(60)"
    reader = LogReader(tmp_path, (sys.executable, "-c", slow))
    reader.patience_s = 1.0
    with pytest.raises(Unavailable) as error:
        await reader.search([], [str(tmp_path / "pid")])
    assert error.value.code == "index_behind"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
