"""The head that is given away is the newest that holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.audit.anchors.anchor import Heads
from gateway.audit.anchors.errors import AnchorError
from tests.gateway.audit.harness import FixedClock, exchange, opened, small_log, trust_in


def test_the_newest_head_comes_with_the_certificate_of_its_key(tmp_path: Path) -> None:
    small_log(tmp_path, exchanges=1, starts=1)
    heads = Heads(tmp_path / "log", trust_in(tmp_path))
    first = heads.newest()
    assert first.certificate == (tmp_path / "log/keys/00000000.vkey").read_bytes()
    clock = FixedClock(boot=3)
    clock.wall += 40 * 365 * 86_400 * 10**9
    log = opened(tmp_path, clock=clock)
    log.writer.write(exchange("later"))
    log.writer.sign_head()
    log.close()
    second = heads.newest()
    assert second.head.size > first.head.size
    assert second.certificate == (tmp_path / "log/keys/00000001.vkey").read_bytes()


def test_a_log_of_version_1_has_no_certificates(tmp_path: Path) -> None:
    small_log(tmp_path, version=1)
    assert Heads(tmp_path / "log", trust_in(tmp_path)).newest().certificate == b""


@pytest.mark.parametrize("damage", ["forged", "gone"])
def test_a_head_that_does_not_hold_goes_nowhere(tmp_path: Path, damage: str) -> None:
    small_log(tmp_path)
    file = tmp_path / "log/checkpoint"
    file.write_bytes(file.read_bytes().replace(b"time 1", b"time 2")) if damage == "forged" else file.unlink()
    with pytest.raises(AnchorError) as refused:
        Heads(tmp_path / "log", trust_in(tmp_path)).newest()
    assert refused.value.code == "anchor_not_ready"
