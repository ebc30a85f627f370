"""kill -9 of a real writer, again and again, at its start, too: every receipt it gave out is honoured by the next one.

A hundred times by default; `GATEHOUSE_KILL_ROUNDS=1000 pytest tests/gateway/audit/test_kill.py` for longer.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import signal
import threading
from pathlib import Path

import pytest

from gateway.audit.log import AuditLog
from gateway.audit.merkle import leaf_hash
from tests.gateway.audit.harness import lines_in, settings_in, types_in, verified
from tests.gateway.audit.writer_process import write_without_end

ROUNDS = int(os.environ.get("GATEHOUSE_KILL_ROUNDS", "100"))
LONGEST_S = 0.2


@pytest.mark.timeout(60 + 3 * ROUNDS)
def test_no_promised_record_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    rng, promised = random.Random(11), {}
    for number in range(ROUNDS):
        for line in _run_and_kill(tmp_path, number, rng.uniform(0.0, LONGEST_S)):
            seq, leaf = line.split()
            promised[int(seq)] = bytes.fromhex(leaf)
    asyncio.run(_start_and_stop(tmp_path))
    leaves = [leaf_hash(line) for line in lines_in(tmp_path)]
    assert len(promised) > ROUNDS
    for seq, leaf in promised.items():
        assert leaves[seq] == leaf
    report = verified(tmp_path)
    assert report.finding is None, report.finding
    assert report.open_exchanges == []
    assert ROUNDS // 10 < types_in(tmp_path).count("gateway.start") <= ROUNDS + 1


def _run_and_kill(path: Path, number: int, after_s: float) -> list[str]:
    """What a writer promised before it was killed, some time after it began to open the log."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([write_without_end.__module__])
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=write_without_end, args=(path, number, theirs))
    process.start()
    theirs.close()
    timer = threading.Timer(after_s, os.kill, (process.pid, signal.SIGKILL))
    timer.start()
    with os.fdopen(os.dup(ours.fileno())) as told:
        lines = list(told)
    timer.join()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    ours.close()
    process.close()
    return [line for line in lines if line.endswith("\n")]


async def _start_and_stop(path: Path) -> None:
    await AuditLog.open(settings_in(path)).close()
