"""A gateway with content opens it before it serves, finishes what a crash left, and says why it cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.content.holds import Hold, Kind, set_hold
from gateway.content.office import open_keeping
from gateway.content.shred import Task, order, ordered
from gateway.errors import ConfigError, Unavailable
from tests.doubles import MemoryAudit
from tests.gateway.content.opened import ORIGIN, everything_in, item, opened, settings

TASK = Task("call-1", {"type": "content.erase", "req": "call-1"}, owner="sub_a")


async def test_without_the_configuration_there_is_nothing(tmp_path: Path) -> None:
    async with open_keeping(None, tmp_path, ORIGIN, MemoryAudit()) as keeping:
        assert keeping.office is None
        assert "default" not in keeping.classes
        assert keeping.probes() == {}
    assert everything_in(tmp_path) == b""


async def test_what_a_crash_left_is_finished_before_anything_is_served(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.keep(item(owner="sub_a"))
        await store.do(
            lambda keys: order(keys, Task("call-1", {"type": "content.erase", "req": "call-1"}, owner="sub_a"))
        )
        await store.do(lambda keys: set_hold(keys, Hold(Kind.CLASS, "hipaa-6y", "case-1", {"type": "hold.set"})))
    audit = MemoryAudit()
    async with open_keeping(settings(tmp_path), tmp_path / "state", ORIGIN, audit) as keeping:
        assert audit.types() == ["content.erase", "content.erase", "hold.set"]
        assert keeping.office is not None
        assert await keeping.office.store.do(ordered) == []
        assert await keeping.office.store.do(lambda keys: keys.rows("req-1")) == []
        assert "hipaa-6y" in keeping.classes
        await keeping.probes()["content"]()


async def test_a_start_that_cannot_finish_what_was_left_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.do(
            lambda keys: order(keys, Task("call-1", {"type": "content.erase", "req": "call-1"}, owner="sub_a"))
        )
    with pytest.raises(ConfigError) as error:
        async with open_keeping(settings(tmp_path), tmp_path / "state", ORIGIN, MemoryAudit(fail_from=0)):
            pass
    assert error.value.code == "content_keystore"


async def test_another_master_key_is_a_start_that_is_refused_with_its_code(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    settings(tmp_path).master_key.write_bytes(b"x" * 32)
    with pytest.raises(ConfigError) as error:
        async with open_keeping(settings(tmp_path), tmp_path / "state", ORIGIN, MemoryAudit()):
            pass
    assert error.value.code == "content_key_wrong"


async def test_readiness_knows_a_store_that_cannot_keep(tmp_path: Path) -> None:
    async with open_keeping(settings(tmp_path), tmp_path / "state", ORIGIN, MemoryAudit()) as keeping:
        assert keeping.office is not None
        await keeping.office.store.do(lambda keys: keys.database.execute("DROP TABLE dek").rowcount)
        with pytest.raises(Exception, match="cannot be kept"):
            await keeping.office.store.keep(item())
        await keeping.office.store.do(lambda keys: keys.database.execute("DROP TABLE meta").rowcount)
        with pytest.raises(Unavailable):
            await keeping.probes()["content"]()
