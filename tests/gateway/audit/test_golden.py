"""Logs kept in the repository: today's writer still writes these bytes, today's verifier still accepts them.

If this fails, the format changed. Old logs must stay verifiable: add a version, keep these. `golden` is a log that was
begun as version 1 and is continued as such; `golden/v2` has epochs and seals. `GATEHOUSE_WRITE_GOLDEN=1` writes the
latter anew.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gateway.audit.verify import load_trust, verify
from tests.gateway.audit.harness import small_log, types_in

GOLDEN = Path(__file__).parent / "golden"
V1_FILES = (
    "log/LOG",
    "log/checkpoint",
    "log/checkpoints.log",
    "log/seg/0000000000000000.jsonl",
    "log/seg/0000000000000008.jsonl",
)


def files_in(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in (path / "log").rglob("*") if file.is_file())


V2_FILES = files_in(GOLDEN / "v2")


@pytest.fixture
def continued(tmp_path: Path) -> Path:
    small_log(tmp_path, exchanges=2, version=1)
    return tmp_path


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    small_log(tmp_path, exchanges=2, epoch_s=0.008)
    if os.environ.get("GATEHOUSE_WRITE_GOLDEN"):
        for name in (*files_in(tmp_path), "keys/test-one-audit.vkey"):
            (GOLDEN / "v2" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / name, GOLDEN / "v2" / name)
    return tmp_path


@pytest.mark.parametrize("name", V1_FILES)
def test_log_of_version_1_is_continued_as_it_was(continued: Path, name: str) -> None:
    assert (continued / name).read_bytes() == (GOLDEN / name).read_bytes()


@pytest.mark.parametrize("name", V2_FILES)
def test_writer_still_writes_these_bytes(fresh: Path, name: str) -> None:
    assert (fresh / name).read_bytes() == (GOLDEN / "v2" / name).read_bytes()


def test_nothing_else_is_written(fresh: Path) -> None:
    assert files_in(fresh) == V2_FILES
    assert {"log/keys/00000001.vkey", "log/seg/0000000000000000.seal"} <= set(V2_FILES)
    assert "key.epoch" in types_in(GOLDEN / "v2")


def test_log_of_version_1_has_no_epochs_and_no_seals(continued: Path) -> None:
    assert files_in(continued) == sorted(V1_FILES)


def test_verifier_still_accepts_version_1() -> None:
    report = verify(GOLDEN / "log", load_trust(GOLDEN / "keys" / "test-one-audit.vkey"))
    assert report.finding is None
    assert report.records == 16
    assert report.root == "IQf5fg4tOF3oaJvwK0VXQ2adswOY5ocZ1aIafTf6rRE="


def test_verifier_still_accepts_version_2() -> None:
    report = verify(GOLDEN / "v2" / "log", load_trust(GOLDEN / "v2" / "keys" / "test-one-audit.vkey"))
    assert report.finding is None
    assert report.records == 17
    assert report.root == "Ckt6na7kUxGYVU81/ky20ZkYIafUKV4HfyngeaX07So="
