"""Processes are found by their parents, measured from /proc, and stopped with what they started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.processes import NotStarted, cpu_seconds, free_port, started, stat_fields, stop, tree

SLEEP = "import time; time.sleep(60)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); {SLEEP}"


def test_a_command_name_with_brackets_does_not_shift_the_fields() -> None:
    assert stat_fields("12 (a) b) S 1 12 12") == ["S", "1", "12", "12"]


def test_a_process_is_stopped_with_its_children() -> None:
    process = subprocess.Popen([sys.executable, "-c", PARENT])
    until = time.monotonic() + 20
    while len(members := tree(process.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert len(members) == 2
    stop(process)
    while [pid for pid in members if _is_alive(pid)] and time.monotonic() < until:
        time.sleep(0.05)
    assert not [pid for pid in members if _is_alive(pid)]


def _is_alive(pid: int) -> bool:
    try:
        return stat_fields(Path(f"/proc/{pid}/stat").read_text())[0] != "Z"
    except OSError:
        return False


def test_work_shows_as_cpu_time() -> None:
    before = cpu_seconds(os.getpid())
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    assert cpu_seconds(os.getpid()) - before >= 0.1


def test_a_process_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    with (
        pytest.raises(NotStarted, match="no such thing"),
        started(argv, tmp_path, f"http://127.0.0.1:{free_port()}/"),
    ):
        pass
