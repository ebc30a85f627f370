"""A policy's word on keeping text is kept: sealed under the person, or not at all, or the exchange is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gateway.content.keeper import SealedKeeper
from gateway.entries import Exchange
from gateway.errors import Unavailable
from gateway.exchange import Caller
from gateway.transcript import NothingKept
from policies.keeping import Keeping
from tests.gateway.content.opened import CANARY, ORIGIN, everything_in, opened
from tests.gateway.live import policy


@dataclass
class Log:
    state: str = "ok"


def exchange(keeping: Keeping, subject: str = "") -> Exchange:
    caller = Caller("k", "tenant-a", "app")
    return Exchange("req-1", caller, "/v1/x", "engine", replace(policy(), audit=keeping), subject=subject)


async def test_text_is_kept_as_the_policy_says(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        keeper = SealedKeeper(store, ORIGIN, Log())
        assert await keeper.keep(exchange(Keeping()), "request", {"text": CANARY}) == {}
        record = await keeper.keep(exchange(Keeping("sealed", "hipaa-6y")), "request", {"text": CANARY})
        [row] = await store.do(lambda keys: keys.rows("req-1"))
        assert await store.read(row) == {"text": CANARY}
    [said] = record["content"]  # type: ignore[union-attr, misc] # a list of one
    assert (said["class"], said["level"], said["ref"]) == ("hipaa-6y", "request", row.place.ref)  # type: ignore[index, call-overload]
    assert row.owner == "req-1"


async def test_a_person_is_a_token_and_owns_what_is_kept(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        keeper = SealedKeeper(store, ORIGIN, Log())
        token = await keeper.subject("tenant-a", "alice-4711")
        assert token.startswith("sub_")
        assert await keeper.subject("tenant-a", "alice-4711") == token
        assert await keeper.subject("tenant-b", "alice-4711") != token
        assert await keeper.subject("tenant-a", "") == ""
        await keeper.keep(exchange(Keeping("sealed", "default"), token), "request", {"text": CANARY})
        assert [row.owner for row in await store.do(lambda keys: keys.rows_of_owner(token))] == [token]
    assert b"alice-4711" not in everything_in(tmp_path)


async def test_what_cannot_be_kept_is_refused_like_what_cannot_be_recorded(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        keeper = SealedKeeper(store, ORIGIN, Log())
    for work in (keeper.keep(exchange(Keeping("sealed", "default")), "request", {}), keeper.subject("t", "alice")):
        with pytest.raises(Unavailable) as error:
            await work
        assert error.value.code == "audit_unavailable"


async def test_while_the_log_admits_nobody_nothing_of_a_new_exchange_is_kept_and_open_ones_go_on(
    tmp_path: Path,
) -> None:
    log, kept = Log(), exchange(Keeping("sealed", "default"))
    async with opened(tmp_path) as store:
        keeper = SealedKeeper(store, ORIGIN, log)
        log.state = "audit_no_space"
        before = everything_in(tmp_path)
        for work in (keeper.keep(kept, "request", {"text": CANARY}), keeper.subject("tenant-a", "alice")):
            with pytest.raises(Unavailable) as error:
                await work
            assert error.value.code == "audit_unavailable"
        assert everything_in(tmp_path) == before
        assert "content" in await keeper.keep(kept, "response", {"text": CANARY})


async def test_without_a_store_nothing_is_kept_and_a_policy_that_asks_is_refused() -> None:
    assert await NothingKept().keep(exchange(Keeping()), "request", {}) == {}
    assert await NothingKept().subject("t", "alice") == ""
    with pytest.raises(Unavailable):
        await NothingKept().keep(exchange(Keeping("sealed", "default")), "request", {})
