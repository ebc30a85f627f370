"""What a worker asks its lead for is what the routes and the pipeline know from a single process."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.content.keeper import SealedKeeper, Text
from gateway.entries import Exchange, Record
from gateway.errors import Unavailable
from gateway.worker.remote import RemoteKeeper
from policies.load import parse_policy
from tests.gateway.live import POLICY, policy
from tests.gateway.worker.led import ANN, house, working

KEEPS = parse_policy(
    POLICY.replace("defaults:\n", "defaults:\n  audit: {content: sealed, retention: short}\n").encode(), "p"
)


class Kept(SealedKeeper):
    """A store that remembers what it was given."""

    def __init__(self) -> None:
        self.texts: list[Text] = []

    async def seal(self, text: Text) -> Record:
        self.texts.append(text)
        return {"content": [{"ref": "r1"}]}

    async def subject(self, tenant: str, claim: str) -> str:
        return f"token of {claim} at {tenant}"


async def test_text_is_kept_by_the_lead_for_exchanges_that_came_in(tmp_path: Path) -> None:
    kept = Kept()
    async with house(tmp_path, keeper=kept) as (made, _), working(made) as worker:
        keeper = RemoteKeeper(worker.link)
        exchange = Exchange("x1", ANN, "/v1", "engine", KEEPS, subject="token")
        with pytest.raises(Unavailable):
            await keeper.keep(exchange, "request", {"parts": []})
        await worker.door.enter(ANN, "x1")
        assert await keeper.keep(exchange, "request", {"parts": ["a"]}) == {"content": [{"ref": "r1"}]}
        assert kept.texts == [Text("x1", "clinic", "token", "short", "request", {"parts": ["a"]})]
        assert await keeper.subject("clinic", "ann") == "token of ann at clinic"


async def test_a_policy_that_keeps_nothing_costs_no_question(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead), working(made) as worker:
        keeper = RemoteKeeper(worker.link)
        await lead.close(0)
        assert await keeper.keep(Exchange("x1", ANN, "/v1", "engine", policy()), "request", {}) == {}
        assert await keeper.subject("clinic", "") == ""


async def test_text_that_is_too_large_for_the_line_is_an_outage_and_not_a_hang(tmp_path: Path) -> None:
    async with house(tmp_path, keeper=Kept()) as (made, _), working(made) as worker:
        with pytest.raises(Unavailable):
            await RemoteKeeper(worker.link).subject("clinic", "x" * 2_000_000)
        assert worker.link.is_up
