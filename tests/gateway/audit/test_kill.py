"""kill -9 of a real writer, again and again, at its start, too: every receipt it gave out is honoured by the next one.

A hundred times by default; `GATEHOUSE_KILL_ROUNDS=1000 pytest tests/gateway/audit/test_kill.py` for longer.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest

from gateway.audit.log import AuditLog
from gateway.audit.merkle import leaf_hash
from tests.gateway.audit.harness import lines_in, settings_in, types_in, verified
from tests.gateway.audit.killing import run_and_kill
from tests.gateway.audit.writer_process import write_without_end

ROUNDS = int(os.environ.get("GATEHOUSE_KILL_ROUNDS", "100"))
LONGEST_S = 0.2


@pytest.mark.timeout(60 + 3 * ROUNDS)
def test_no_promised_record_is_lost_when_the_writer_is_killed(tmp_path: Path) -> None:
    rng, promised = random.Random(11), dict[int, bytes]()
    for number in range(ROUNDS):
        promised |= run_and_kill(write_without_end, tmp_path, number, rng.uniform(0.0, LONGEST_S))
    asyncio.run(_start_and_stop(tmp_path))
    leaves = [leaf_hash(line) for line in lines_in(tmp_path)]
    assert len(promised) > ROUNDS
    for seq, leaf in promised.items():
        assert leaves[seq] == leaf
    report = verified(tmp_path)
    assert report.finding is None, report.finding
    assert report.open_exchanges == []
    assert ROUNDS // 10 < types_in(tmp_path).count("gateway.start") <= ROUNDS + 1


async def _start_and_stop(path: Path) -> None:
    await AuditLog.open(settings_in(path)).close()
