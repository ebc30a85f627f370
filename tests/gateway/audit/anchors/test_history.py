"""anchors.log: what a crash or a full disk does to it."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.audit.anchors.history import TAIL, Anchored, AnchorHistory, Recent, parse_anchored
from tests.gateway.audit.harness import FaultyFiles


def entry(name: str, size: int) -> Anchored:
    return Anchored(name, "file", size, "A" * 43 + "=", 1_800_000_000 * 10**9)


def test_the_last_success_of_each_anchor_is_found(tmp_path: Path) -> None:
    history = AnchorHistory(tmp_path)
    assert history.recent().last == {}
    for name, size in (("worm", 1), ("site", 2), ("worm", 9)):
        history.append(entry(name, size).line({"path": "x"}))
    assert history.recent().last == {"worm": entry("worm", 9), "site": entry("site", 2)}
    assert json.loads((tmp_path / "anchors.log").read_text().split("\n")[0])["proof"] == {"path": "x"}


def test_of_a_long_file_the_end_is_read(tmp_path: Path) -> None:
    """And of an anchor that is not in there it is known that its last success is older."""
    old, new = entry("gone", 1), entry("worm", 2)
    with (tmp_path / "anchors.log").open("wb") as file:
        file.write(old.line({}))
        while file.tell() <= TAIL:
            file.write(new.line({"note": "x" * 30_000}))
    recent = AnchorHistory(tmp_path).recent()
    assert recent == Recent({"worm": new}, new.ts_ns)


def test_a_line_cut_short_is_removed_before_the_next(tmp_path: Path) -> None:
    history = AnchorHistory(tmp_path)
    history.append(entry("worm", 1).line({}))
    whole = (tmp_path / "anchors.log").read_bytes()
    with (tmp_path / "anchors.log").open("ab") as file:
        file.write(b'{"kind":"file","na' + b"x" * 100_000)
    assert history.recent().last == {"worm": entry("worm", 1)}
    history.append(entry("worm", 2).line({}))
    assert (tmp_path / "anchors.log").read_bytes() == whole + entry("worm", 2).line({})


def test_a_file_that_is_one_torn_line_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "anchors.log").write_bytes(b'{"kind"')
    AnchorHistory(tmp_path).append(entry("worm", 2).line({}))
    assert (tmp_path / "anchors.log").read_bytes() == entry("worm", 2).line({})


@pytest.mark.parametrize("name", ["open", "write", "datasync"])
def test_a_disk_that_fails_says_so(tmp_path: Path, name: str) -> None:
    files = FaultyFiles(lambda _, at: errno.ENOSPC if at == name else None, short=True)
    with pytest.raises(OSError, match="No space"):
        AnchorHistory(tmp_path, files).append(entry("worm", 1).line({}))
    AnchorHistory(tmp_path).append(entry("worm", 2).line({}))
    assert AnchorHistory(tmp_path).recent().last == {"worm": entry("worm", 2)}


@given(st.binary(max_size=100))
def test_whatever_is_no_line_is_passed_over(data: bytes) -> None:
    assert parse_anchored(data) is None


@pytest.mark.parametrize(
    "wrong", [{"size": "1"}, {"ts": "x"}, {"ts": "1" * 30}, {"name": 1}, {"kind": None}, {"root": []}]
)
def test_a_line_with_another_type_is_none(wrong: dict[str, object]) -> None:
    fields = json.loads(entry("worm", 1).line({})) | wrong
    line = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    assert parse_anchored(line) is None
