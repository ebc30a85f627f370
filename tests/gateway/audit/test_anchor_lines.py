"""`anchors.log` as a verifier reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.anchor_lines import read_anchor_lines
from gateway.audit.record import canonical
from gateway.audit.report import DoesNotHold, Exit

ROOT = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
LINE = {
    "name": "a",
    "kind": "witness",
    "size": 3,
    "root": ROOT,
    "ts": "5",
    "proof": {"note": "n", "cosignatures": ["— x"]},
}


def read(path: Path, data: bytes) -> list[int]:
    (path / "anchors.log").write_bytes(data)
    return [line.size for line in read_anchor_lines(path / "anchors.log").lines]


def test_lines_are_read_and_a_torn_one_is_counted(tmp_path: Path) -> None:
    assert read_anchor_lines(tmp_path / "anchors.log").lines == ()
    whole = canonical(LINE) + b"\n" + canonical({**LINE, "size": 4, "proof": {"note": "n"}}) + b"\n"
    assert read(tmp_path, whole + b'{"torn') == [3, 4]
    found = read_anchor_lines(tmp_path / "anchors.log")
    assert (found.torn, found.lines[0].note, found.lines[0].cosignatures) == (6, b"n", ("— x",))


@pytest.mark.parametrize(
    "line",
    [
        b"{}",
        b"nonsense",
        canonical(LINE)[:-1],
        canonical(LINE) + b" ",
        *(canonical({**LINE, name: None}) for name in LINE),
        canonical({**LINE, "size": -1}),
        canonical({**LINE, "size": True}),
        canonical({**LINE, "ts": "-5"}),
        canonical({**LINE, "root": ROOT[:-2] + "J="}),
        canonical({**LINE, "proof": {"note": "n", "cosignatures": "— x"}}),
        canonical({**LINE, "proof": {"path": "x"}}),
    ],
)
def test_malformed_lines_are_altered(tmp_path: Path, line: bytes) -> None:
    with pytest.raises(DoesNotHold) as caught:
        read(tmp_path, canonical(LINE) + b"\n" + line + b"\n")
    assert (caught.value.finding.exit, caught.value.finding.line) == (Exit.ALTERED, 2)
