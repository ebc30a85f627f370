"""What waits for people, through the admin listener and the command line."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import cli
from gateway.admin.client import AdminError
from gateway.admin.review_routes import review_routes
from gateway.queues import Queues
from gateway.reviews import ReviewDesk
from policies.ballots import Members
from tests.doubles import MemoryAudit
from tests.gateway.admin.test_client import configuration
from tests.gateway.live_admin import ODA, PEOPLE, RITA, VERA, LiveAdmin
from tests.gateway.test_reviews import DECISION, EXCHANGE, PART


class Held:
    """An exchange that waits in a loop of its own, as a client's would."""

    def __init__(self, members: Members | None = None) -> None:
        self.desk, self.audit = ReviewDesk(members=members), MemoryAudit()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.work: asyncio.Task[object] | None = None
        asyncio.run_coroutine_threadsafe(self._begin(), self.loop).result()

    async def _begin(self) -> None:
        self.work = asyncio.ensure_future(self.desk.reviewed(self.audit, EXCHANGE, DECISION, [PART], ""))

    async def _end(self) -> None:
        assert self.work is not None
        self.work.cancel()
        await asyncio.gather(self.work, return_exceptions=True)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.stop()


@pytest.fixture
def live(held: Held) -> Iterator[LiveAdmin]:
    with LiveAdmin(lambda desk: review_routes(desk, held.desk)) as live:
        yield live


def waiting(live: LiveAdmin) -> list[Any]:
    while not (rows := live.client(ODA).get("/admin/reviews")["reviews"]):
        pass
    return list(rows)


def test_what_waits_is_listed_without_text_and_shown_with_it(live: LiveAdmin) -> None:
    [row] = waiting(live)
    assert (row["queues"], row["quorum"], row["approved_by"], row["tenant"]) == (["payments"], 2, [], "bank")
    assert "ACME" not in json.dumps(row)
    assert live.records == []
    assert live.client(ODA).get(f"/admin/reviews/{row['id']}")["parts"][0]["text"] == PART.text
    [record] = live.records
    assert (record["type"], record["review"]) == ("review.read", {"id": row["id"]})


def test_a_vote_is_a_record_and_counts_once(live: LiveAdmin) -> None:
    [row] = waiting(live)
    path = f"/admin/reviews/{row['id']}/vote"
    assert live.client(ODA).post(path, {"vote": "approve"})["why"] == "1 of 2"
    [record] = live.records
    assert (record["type"], record["actor"]["sub"], record["review"]["vote"]) == ("review.vote", "oda", "approve")
    with pytest.raises(AdminError) as error:
        live.client(ODA).post(path, {"vote": "approve"})
    assert error.value.code == "vote_refused"


@pytest.mark.parametrize(
    ("key", "path", "body", "code"),
    [
        (VERA, "/admin/reviews/x/vote", {"vote": "approve"}, "role_missing"),
        (ODA, "/admin/reviews/x/vote", {"vote": "approve"}, "no_such_review"),
        (ODA, "/admin/reviews/x/vote", {"vote": "maybe"}, "invalid_value"),
        (ODA, "/admin/reviews/x/vote", {"votes": "approve"}, "unknown_field"),
    ],
)
def test_what_is_no_vote_is_refused(live: LiveAdmin, key: str, path: str, body: dict[str, Any], code: str) -> None:
    with pytest.raises(AdminError) as error:
        live.client(key).post(path, body)
    assert error.value.code == code


def test_the_command_lists_shows_and_denies(
    live: LiveAdmin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    [row] = waiting(live)
    monkeypatch.setenv("GATEHOUSE_OPERATOR_KEY", ODA)
    config = ["--config", str(configuration(tmp_path, live.port))]
    assert cli.main(["review", "list", *config]) == 0
    assert cli.main(["review", "show", row["id"], *config]) == 0
    assert cli.main(["review", "deny", row["id"], *config]) == 0
    said = capsys.readouterr().out
    assert f"{row['id']}  payments  bank/branch  0 of 2  " in said
    assert "--- /messages/0/content (user)\npay ACME 900\n" in said
    assert f"{row['id']}: denied; oda denied\n" in said
    assert cli.main(["review", "approve", "gone", *config]) == 2


@pytest.mark.parametrize(("queue", "reads"), [("payments", {RITA}), ("other", {ODA})])
def test_a_queue_is_for_those_who_name_it(queue: str, reads: set[str]) -> None:
    """`payments` is rita's; a queue that nobody names would be the operator's."""
    people = Queues(PEOPLE.values()).members
    held = Held(lambda name: people(queue if name == "payments" else name))
    try:
        with LiveAdmin(lambda desk: review_routes(desk, held.desk)) as live:
            [row] = waiting(live)
            path = f"/admin/reviews/{row['id']}"
            assert bool(live.client(RITA).get("/admin/reviews")["reviews"]) is (RITA in reads)
            for key in (RITA, ODA):
                if key in reads:
                    assert live.client(key).get(path)["parts"]
                    assert live.client(key).post(f"{path}/vote", {"vote": "approve"})["why"] == "1 of 2"
                    continue
                with pytest.raises(AdminError) as refused:
                    live.client(key).get(path)
                assert refused.value.code == "queue_of_others"
                with pytest.raises(AdminError) as uncounted:
                    live.client(key).post(f"{path}/vote", {"vote": "approve"})
                assert uncounted.value.code == "vote_refused"
            kinds = [record["type"] for record in live.records]
            assert sorted(kinds) == ["auth.fail", "review.read", "review.vote"], "who was turned away is on record"
    finally:
        held.stop()
