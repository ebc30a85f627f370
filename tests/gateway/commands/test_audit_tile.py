"""The log's tiles as an operator makes them, and as a tool that knows nothing of us reads them."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from pymerkle import InmemoryTree

from gateway.cli import main
from tests.gateway.audit.harness import exchange, lines_in, opened, put_test_key, segments_in


def run(*words: object) -> int:
    return main(["audit", "tiles", *map(str, words)])


@pytest.fixture
def where(tmp_path: Path) -> list[object]:
    """A log of 904 records."""
    put_test_key(tmp_path)
    log = opened(tmp_path)
    log.writer.write([record for number in range(301) for record in exchange(f"{number}")])
    log.writer.sign_head()
    log.close()
    return ["--dir", tmp_path / "log", "--trust", tmp_path / "keys" / "test-one-audit.vkey"]


def test_the_cache_is_made_and_mended(tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*where) == 0
    assert "3 full tiles were missing or wrong" in capsys.readouterr().out
    tile = tmp_path / "log/tile/0/001"
    good = tile.read_bytes()
    tile.write_bytes(good[:-1])
    assert run(*where) == 0
    assert "1 full tiles were missing or wrong" in capsys.readouterr().out
    assert tile.read_bytes() == good


def test_a_static_copy_is_a_c2sp_log(tmp_path: Path, where: list[object]) -> None:
    """Read by the format's page alone: checkpoint, tiles and entries have to agree."""
    out = tmp_path / "out"
    assert run(*where, "--out", out, "--entries") == 0
    origin, size_line, root, *_ = (out / "checkpoint").read_text().split("\n")
    size = int(size_line)
    assert (origin, size) == ("test/one/audit", 904)
    entries, leaves, oracle = [], b"", InmemoryTree(algorithm="sha256")
    for name in ("000", "001", "002", "003.p/136"):
        leaves += (out / "tile/0" / name).read_bytes()
        bundle = (out / "tile/entries" / name).read_bytes()
        while bundle:
            length = int.from_bytes(bundle[:2], "big")
            entries.append(bundle[2 : 2 + length])
            bundle = bundle[2 + length :]
    for entry in entries:
        oracle.append_entry(entry)
    assert entries == lines_in(tmp_path)
    assert leaves == b"".join(sha256(b"\0" + entry).digest() for entry in entries)
    assert b64encode(oracle.get_root()).decode() == root
    assert not (tmp_path / "log/tile").exists()


def test_an_older_copy_is_brought_up_to_date(tmp_path: Path, where: list[object]) -> None:
    out = tmp_path / "out"
    assert run(*where, "--out", out) == 0
    log = opened(tmp_path)
    log.writer.write([record for number in range(100) for record in exchange(f"later-{number}")])
    log.writer.sign_head()
    log.close()
    assert run(*where, "--out", out) == 0
    assert (out / "tile/0/003").stat().st_size == 8192
    # The copy of the size before stays whole, for those who hold its checkpoint.
    assert (out / "tile/0/003.p/136").exists()
    assert not (out / "tile/entries").exists()


def test_a_log_that_does_not_hold_is_not_published(
    tmp_path: Path, where: list[object], capsys: pytest.CaptureFixture[str]
) -> None:
    segment = segments_in(tmp_path)[0]
    segment.write_bytes(segment.read_bytes().replace(b'"released":7', b'"released":8', 1))
    assert run(*where, "--out", tmp_path / "out") == 2
    assert "log_does_not_hold" in capsys.readouterr().err
    assert not (tmp_path / "out/checkpoint").exists()


@pytest.mark.parametrize("more", [["--entries"], ["--out", "log"]])
def test_wrong_usage(tmp_path: Path, where: list[object], more: list[str]) -> None:
    assert run(*where, *(tmp_path / word if word == "log" else word for word in more)) == 5
