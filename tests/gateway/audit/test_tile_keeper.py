"""Tiles beside a log that is being written: made, kept up to date, mended, and in nobody's way."""

from __future__ import annotations

import time
from pathlib import Path

from structlog.testing import capture_logs

from gateway.audit.tile_cache import check, tree_of
from gateway.audit.tile_keeper import TileKeeper
from tests.gateway.audit.harness import FixedClock, Opened, exchange, opened, put_test_key, segments_in


def log_in(path: Path, exchanges: int = 200) -> Opened:
    put_test_key(path)
    log = opened(path, clock=FixedClock())
    log.writer.write([record for number in range(exchanges) for record in exchange(f"{number}")])
    return log


def keeper_of(path: Path, log: Opened, every_s: float = 0.01) -> TileKeeper:
    return TileKeeper(path / "log", lambda: log.writer.head, every_s)


def test_the_tiles_follow_the_log(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    keeper = keeper_of(tmp_path, log)
    for _ in range(3):
        keeper.turn()
        size, root = log.writer.head
        assert (tmp_path / "log/tile/built").read_text().startswith(f"{size}\n")
        assert tree_of(tmp_path / "log", size, root).root() == root
        log.writer.write([record for number in range(100) for record in exchange(f"{size}-{number}")])
    log.close()


def test_a_new_log_had_no_tiles_that_were_wrong(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    with capture_logs() as logs:
        keeper_of(tmp_path, log).turn()
    assert logs == []
    log.close()


def test_tiles_that_are_wrong_at_the_start_are_made_again(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    keeper_of(tmp_path, log).turn()
    tile = tmp_path / "log/tile/0/001"
    good = tile.read_bytes()
    tile.write_bytes(good[:50] + b"?" + good[51:])
    with capture_logs() as logs:
        keeper_of(tmp_path, log).turn()
    assert [entry["event"] for entry in logs] == ["tiles_made_again"]
    assert tile.read_bytes() == good
    check(tmp_path / "log", lambda: None)
    log.close()


def test_records_that_somebody_changed_are_an_error_and_not_read_again_and_again(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    segment = segments_in(tmp_path)[0]
    segment.write_bytes(segment.read_bytes().replace(b'"released":7', b'"released":8', 1))
    keeper = keeper_of(tmp_path, log)
    with capture_logs() as logs:
        keeper.turn()
        keeper.turn()
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("records_do_not_make_up_the_root", "error")]
    log.close()


def test_a_place_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    log = log_in(tmp_path, 1)
    (tmp_path / "log/tile").write_text("a file where the directory should be")
    keeper = keeper_of(tmp_path, log)
    with capture_logs() as logs:
        for _ in range(3):
            keeper.turn()
    assert [entry["event"] for entry in logs] == ["tiles_not_written"]
    (tmp_path / "log/tile").unlink()
    keeper.turn()
    assert (tmp_path / "log/tile/built").exists()
    log.close()


def test_its_thread_works_and_ends(tmp_path: Path) -> None:
    log = log_in(tmp_path)
    keeper = keeper_of(tmp_path, log)
    keeper.upkeep.start()
    until = time.monotonic() + 10
    while not (tmp_path / "log/tile/built").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    keeper.upkeep.stop()
    assert not keeper.upkeep.is_alive
    log.close()


def test_it_can_be_stopped_in_the_middle(tmp_path: Path) -> None:
    log = log_in(tmp_path, 330)
    keeper = keeper_of(tmp_path, log)
    keeper.upkeep.start()
    keeper.upkeep.stop()
    assert not keeper.upkeep.is_alive
    log.close()
