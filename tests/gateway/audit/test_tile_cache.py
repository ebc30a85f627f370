"""Tiles beside a log: used when they are good, noticed when they are not, made again from the records."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.errors import TileError
from gateway.audit.lookup import stored_lines
from gateway.audit.merkle import leaf_hash
from gateway.audit.proof import check_proof, newest_head, prove
from gateway.audit.tile_cache import check, rebuild, refresh, tree_of
from gateway.audit.tiles import Tiles
from tests.gateway.audit.harness import FixedClock, exchange, lines_in, opened, put_test_key, segments_in, trust_in


def no_pause() -> None:
    return


def bytes_read() -> int:
    """What this process has read so far, as the kernel counts it."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["rchar"])


def log_of(path: Path, exchanges: int) -> tuple[Path, int, bytes]:
    put_test_key(path)
    log = opened(path, clock=FixedClock())
    for number in range(0, exchanges, 300):
        log.writer.write(
            [record for one in range(number, min(exchanges, number + 300)) for record in exchange(f"{one}")]
        )
    log.writer.sign_head()
    log.close()
    return path / "log", *log.writer.head


def test_proving_reads_kilobytes_of_a_log_of_any_size(tmp_path: Path) -> None:
    directory, size, root = log_of(tmp_path, 12_000)
    total = sum(path.stat().st_size for path in segments_in(tmp_path))
    assert rebuild(directory, size, root, no_pause) == size // 256
    signed = newest_head(directory, trust_in(tmp_path))
    told: list[str] = []
    for index in (0, 1, 17_000, size - 1):
        before = bytes_read()
        [(line, proof)] = prove(directory, signed, [index], told.append)
        assert bytes_read() - before < 150_000 < total / 50
        assert check_proof(line, proof, signed.chain)
    assert told == []
    before = bytes_read()
    tree_of(directory, size, root).consistency(size // 3, size)
    assert bytes_read() - before < 100_000


@pytest.fixture
def cached(tmp_path: Path) -> tuple[Path, int, bytes]:
    """A log of 904 records with good tiles."""
    made = log_of(tmp_path, 301)
    rebuild(*made, no_pause)
    return made


def test_tiles_grow_with_the_log(tmp_path: Path, cached: tuple[Path, int, bytes]) -> None:
    directory, size, root = cached
    log = opened(tmp_path, clock=FixedClock(boot=5))
    log.writer.write(exchange("later") * 1)
    refresh(directory, *log.writer.head, no_pause)
    now, now_root = log.writer.head
    log.close()
    proof = tree_of(directory, now, now_root).consistency(size, now)
    assert proof
    assert tree_of(directory, size, root).size == now


def test_what_the_tiles_lack_is_added_in_memory(tmp_path: Path, cached: tuple[Path, int, bytes]) -> None:
    log = opened(tmp_path, clock=FixedClock(boot=5))
    log.writer.write(exchange("later"))
    log.writer.sign_head()
    log.close()
    told: list[str] = []
    signed = newest_head(cached[0], trust_in(tmp_path))
    [(line, _)] = prove(cached[0], signed, [signed.head.size - 1], told.append)
    assert (line, told) == (lines_in(tmp_path)[signed.head.size - 1], [])


@pytest.mark.parametrize("damage", ["flipped", "torn", "gone", "state"])
def test_bad_tiles_are_noticed_gone_around_and_mended(
    tmp_path: Path, cached: tuple[Path, int, bytes], damage: str
) -> None:
    directory, size, root = cached
    tile = directory / ("tile/built" if damage == "state" else "tile/0/001")
    good = tile.read_bytes()
    changed = {"flipped": bytes([good[0] ^ 1]) + good[1:], "torn": good[:-1], "state": b"5\n" + good[4:]}
    tile.write_bytes(changed[damage]) if damage in changed else tile.unlink()
    with pytest.raises(TileError):
        check(directory, no_pause)
    told: list[str] = []
    signed = newest_head(directory, trust_in(tmp_path))
    [(line, proof)] = prove(directory, signed, [257], told.append)
    assert check_proof(line, proof, signed.chain)
    assert len(told) == 1
    rebuild(directory, size, root, no_pause)
    assert tile.read_bytes() == good
    check(directory, no_pause)


def test_a_wrong_tile_under_another_good_one_makes_no_wrong_proof(
    tmp_path: Path, cached: tuple[Path, int, bytes]
) -> None:
    """Leaf and neighbour are exchanged, so that nothing but the check of the proof can see it."""
    directory, *_ = cached
    tile = directory / "tile/0/001"
    data = tile.read_bytes()
    tile.write_bytes(data[32:64] + data[:32] + data[64:])
    told: list[str] = []
    signed = newest_head(directory, trust_in(tmp_path))
    [(line, proof)] = prove(directory, signed, [256], told.append)
    assert check_proof(line, proof, signed.chain)
    assert "do not lead to the signed root" in told[0]


def test_tiles_are_not_made_of_records_that_do_not_hold(tmp_path: Path, cached: tuple[Path, int, bytes]) -> None:
    directory, size, root = cached
    segment = segments_in(tmp_path)[0]
    segment.write_bytes(segment.read_bytes().replace(b'"released":7', b'"released":8', 1))
    with pytest.raises(TileError, match="records and tiles do not make up the root"):
        rebuild(directory, size, root, no_pause)
    with pytest.raises(TileError, match="log holds"):
        rebuild(directory, size + 1, root, no_pause)


def test_pauses_come_often(cached: tuple[Path, int, bytes]) -> None:
    directory, size, root = cached
    pauses: list[int] = []
    rebuild(directory, size, root, lambda: pauses.append(1))
    assert len(pauses) == size // 256


def test_the_tiles_are_those_of_the_stored_lines(cached: tuple[Path, int, bytes]) -> None:
    directory, size, root = cached
    tree: Tiles = tree_of(directory, size, root)
    leaves = [leaf_hash(line) for line in stored_lines(directory)]
    assert [tree.range_root(at, at + 1) for at in range(size)] == leaves
