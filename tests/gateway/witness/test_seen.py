"""What was seen survives, or nothing is signed."""

from __future__ import annotations

import errno
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from gateway.witness.errors import WitnessError
from gateway.witness.seen import Seen, SeenFiles
from tests.gateway.audit.harness import FaultyFiles

SEEN = Seen("test/one/audit", 7, bytes(32), 5, 2, bytes([1] * 32), b"note\n")
BY_LOG_KEY = Seen("test/two", 7, bytes(32), 0, -1, b"", b"note\n")


@pytest.mark.parametrize("seen", [SEEN, BY_LOG_KEY])
def test_what_was_seen_is_read_back(tmp_path: Path, seen: Seen) -> None:
    with closing(SeenFiles(tmp_path / "state")) as files:
        assert files.get(seen.origin) is None
        files.put(seen)
    with closing(SeenFiles(tmp_path / "state")) as files:
        assert files.get(seen.origin) == seen
        assert files.note(sha256(seen.origin.encode()).hexdigest()) == b"note\n"
        assert files.get("another") is None
        assert files.note("0" * 64) is None


def test_one_witness_at_a_time_has_a_directory(tmp_path: Path) -> None:
    with closing(SeenFiles(tmp_path)), pytest.raises(WitnessError, match="in use by another witness"):
        SeenFiles(tmp_path)


@pytest.mark.parametrize(
    "data", [b"", b"{}\n", b"[]\n", b"\xff", SEEN.encoded()[:-9], SEEN.encoded().replace(b":7", b':"7"')]
)
def test_a_file_that_cannot_be_read_is_never_taken_for_nothing_seen(tmp_path: Path, data: bytes) -> None:
    with closing(SeenFiles(tmp_path)) as files:
        files.put(SEEN)
        (tmp_path / f"{sha256(SEEN.origin.encode()).hexdigest()}.seen").write_bytes(data)
        with pytest.raises(WitnessError, match="what was seen is not known"):
            files.get(SEEN.origin)


@pytest.mark.parametrize("name", ["open", "write", "datasync", "rename", "sync_directory"])
def test_a_disk_that_fails_says_so(tmp_path: Path, name: str) -> None:
    faulty = FaultyFiles()
    with closing(SeenFiles(tmp_path, faulty)) as files:
        faulty.fault = lambda _, at: errno.EIO if at == name else None
        with pytest.raises(OSError, match="Input/output error"):
            files.put(SEEN)
        faulty.fault = lambda _, at: None


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WitnessError, match="cannot be used"):
        SeenFiles(tmp_path / "file" / "state")
