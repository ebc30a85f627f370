"""The kernel itself says no, or kills: every instance of every system call that changes the disk, one after the other.

strace makes a call fail with an error, or ends the process with a signal as the call is made, so that nothing of ours
stands between the fault and the code that has to bear it. After each fault the log is opened again and verified.
A kill and an I/O error meet every instance, the other two every second one; with `GATEHOUSE_EVERY_CALL=1` all meet all.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import shutil
import subprocess
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from gateway.audit.log import AuditLog
from gateway.audit.merkle import leaf_hash
from tests.gateway.audit.harness import lines_in, settings_in, verified
from tests.gateway.audit.traced_life import Notes, live

CALLS = ("write", "fdatasync", "fsync", "openat", "rename", "ftruncate", "unlink", "mkdir", "fallocate")
FAULTS = ("error=EIO", "error=ENOSPC", "error=EINTR", "signal=KILL")

STEPS = {} if os.environ.get("GATEHOUSE_EVERY_CALL") else {"error=ENOSPC": 2, "error=EINTR": 2}

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")


@pytest.fixture(scope="module")
def lives() -> Lives:
    return Lives()


class Lives:
    """Starts lives from a process that has everything imported already."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.gateway.audit.traced_life"])

    def run(self, path: Path, inject: str | None = None) -> tuple[dict[int, bytes], str]:
        """(what was promised, the calls that were traced)."""
        path.mkdir()
        notes = Notes.new(path / "notes")
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=live, args=(path, path / "notes", theirs))
        process.start()
        trace = _trace(path / "trace", process.pid or 0, inject)
        ours.send("go")
        process.join(60)
        assert process.exitcode is not None, "the life did not end"
        trace.wait(10)
        _close(ours, theirs)
        process.close()
        return notes.all(), (path / "trace").read_text(errors="replace")


def _trace(output: Path, pid: int, inject: str | None) -> subprocess.Popen[str]:
    """strace, attached to the process and to every thread it will start."""
    command = ["strace", "-f", "-e", "trace=" + ",".join(CALLS), "-o", str(output), "-p", str(pid)]
    if inject is not None:
        command += ["-e", f"inject={inject}"]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    with tracer.stderr as said:
        first = said.readline()
    if "attached" not in first:
        tracer.wait(10)
        pytest.skip("strace may not attach to a process here")
    return tracer


def _close(*ends: Connection) -> None:
    for end in ends:
        end.close()


def instances(trace: str) -> Counter[str]:
    """How often each call was made."""
    return Counter(re.findall(r"^\d+ +(\w+)\(", trace, re.MULTILINE))


def check(path: Path, promised: dict[int, bytes]) -> None:
    """The next start mends the log, every promise holds, and both verifiers say so."""
    asyncio.run(_start_and_stop(path))
    report = verified(path)
    assert report.finding is None, report.finding
    leaves = {leaf_hash(line) for line in lines_in(path)}
    assert set(promised.values()) <= leaves


async def _start_and_stop(path: Path) -> None:
    await AuditLog.open(settings_in(path)).close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_system_call_loses_no_promise(tmp_path: Path, lives: Lives, fault: str) -> None:
    promised, trace = lives.run(tmp_path / "clean")
    assert len(promised) >= 6
    check(tmp_path / "clean", promised)
    made = instances(trace)
    assert {"write", "fdatasync", "openat", "rename"} <= made.keys()
    hit = 0
    each = [(call, number) for call, count in made.items() for number in range(1, count + 1)][:: STEPS.get(fault, 1)]
    for call, number in each:
        place = tmp_path / f"{call}-{number}"
        kept, trace = lives.run(place, f"{call}:{fault}:when={number}")
        hit += "INJECTED" in trace or "+++ killed" in trace
        check(place, kept)
        shutil.rmtree(place)
    assert hit > 0.8 * len(each), "lives differ by a few calls only: a module imported late, one more head"
