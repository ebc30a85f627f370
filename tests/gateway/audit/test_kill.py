"""kill -9 of a real writer, again and again: every receipt it gave out is honoured by the next start."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

from gateway.audit.log import AuditLog
from gateway.audit.merkle import leaf_hash
from tests.gateway.audit.harness import lines_in, settings_in, types_in, verified

ROUNDS = int(os.environ.get("GATEHOUSE_KILL_ROUNDS", "10"))


def test_no_promised_record_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    rng, promised = random.Random(11), {}
    for number in range(ROUNDS):
        for line in _run_and_kill(tmp_path, number, rng.uniform(0.02, 0.25)):
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
    assert types_in(tmp_path).count("gateway.start") == ROUNDS + 1


def _run_and_kill(path: Path, number: int, after_s: float) -> list[str]:
    """What a writer promised before it was killed, some time after its first promise."""
    command = [sys.executable, "-m", "tests.gateway.audit.writer_process", str(path), str(number)]
    root = Path(__file__).parents[3]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        timer = threading.Timer(after_s, process.send_signal, [signal.SIGKILL])
        timer.start()
        lines = [first, *process.stdout]
        timer.join()
    assert process.returncode == -signal.SIGKILL
    return [line for line in lines if line.endswith("\n")]


async def _start_and_stop(path: Path) -> None:
    await AuditLog.open(settings_in(path)).close()
