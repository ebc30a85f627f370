"""A log kept in the repository: today's writer still writes these bytes, today's verifier still accepts them.

If this fails, the format changed. Old logs must stay verifiable: add a version, keep this one.
`GATEHOUSE_WRITE_GOLDEN=1` writes the files anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gateway.audit.verify import load_trust, verify
from tests.gateway.audit.harness import small_log

GOLDEN = Path(__file__).parent / "golden"
FILES = (
    "log/LOG",
    "log/checkpoint",
    "log/checkpoints.log",
    "log/seg/0000000000000000.jsonl",
    "log/seg/0000000000000008.jsonl",
)


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    small_log(tmp_path, exchanges=2)
    if os.environ.get("GATEHOUSE_WRITE_GOLDEN"):
        for name in (*FILES, "keys/test-one-audit.vkey"):
            (GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / name, GOLDEN / name)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_writer_still_writes_these_bytes(fresh: Path, name: str) -> None:
    assert (fresh / name).read_bytes() == (GOLDEN / name).read_bytes()


def test_verifier_still_accepts_them() -> None:
    report = verify(GOLDEN / "log", load_trust(GOLDEN / "keys" / "test-one-audit.vkey"))
    assert report.finding is None
    assert report.records == 16
    assert report.root == "IQf5fg4tOF3oaJvwK0VXQ2adswOY5ocZ1aIafTf6rRE="
