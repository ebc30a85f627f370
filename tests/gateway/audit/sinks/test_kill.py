"""kill -9 of a writer with two required copies, again and again: both hold every promised record, byte for byte."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

from gateway.audit.merkle import leaf_hash
from tests.gateway.audit.harness import settings_in
from tests.gateway.audit.killing import run_and_kill
from tests.gateway.audit.sinks.copying_process import COPIES, copying, write_copies_without_end
from tests.gateway.audit.sinks.places import proved, same_files, start_and_stop

ROUNDS = int(os.environ.get("GATEHOUSE_KILL_ROUNDS", "20"))


def test_both_copies_hold_every_promised_record_and_are_the_same(tmp_path: Path) -> None:
    rng, promised = random.Random(5), dict[int, bytes]()
    for number in range(ROUNDS):
        promised |= run_and_kill(write_copies_without_end, tmp_path, number, rng.uniform(0.0, 0.4))
        for copy in COPIES:
            leaves = [leaf_hash(line) for line in _lines(tmp_path / copy)]
            assert all(leaves[seq] == leaf for seq, leaf in promised.items()), copy
    asyncio.run(start_and_stop(settings_in(tmp_path, sinks=copying(tmp_path))))
    assert len(promised) > ROUNDS
    records = proved(tmp_path).records
    for copy in COPIES:
        assert proved(tmp_path, copy).records == records
        for file in (*(tmp_path / "log" / "seg").glob("*.torn"), *(tmp_path / "log" / "seg").glob("*.void")):
            # Bytes that never became part of the log stay where they were written.
            file.unlink()
        for file in (tmp_path / copy / "seg").glob("*.void"):
            file.unlink()
        same_files(tmp_path / "log", tmp_path / copy)


def _lines(copy: Path) -> list[bytes]:
    """Complete lines of a copy, as a crash has left it."""
    data = b"".join(file.read_bytes() for file in sorted((copy / "seg").glob("*.jsonl")))
    return data[: data.rfind(b"\n") + 1].splitlines()
