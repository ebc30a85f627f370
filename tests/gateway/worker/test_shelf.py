"""No policy comes into force that a worker cannot decide by, and each exchange has one that its lead chose."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.errors import Conflict, Unavailable
from gateway.worker.line import SILENT_S
from gateway.worker.shelf import key_of
from gateway.worker.wire import Kind
from tests.doubles import eventually
from tests.gateway.worker.led import ANN, house, working


async def version(worker: object, name: str) -> str:
    visit = await worker.door.enter(ANN, name)  # type: ignore[attr-defined] # a Worker
    return str(visit.in_force().policy.version)


async def test_when_a_reload_returns_no_worker_begins_an_exchange_under_the_old_policy(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made, 1) as one, working(made, 2) as two:
        begun = await one.door.enter(ANN, "a")
        assert begun.in_force().policy.version == "1.0.0"
        made.write("2.0.0")
        await made.policy.reload_told({})
        assert [await version(one, "b"), await version(two, "c")] == ["2.0.0", "2.0.0"]
        assert begun.in_force().policy.version == "1.0.0", "what has begun keeps its own"


async def test_a_worker_that_joins_has_every_policy_before_it_counts(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _):
        made.write("2.0.0")
        await made.policy.reload_told({})
        async with working(made) as worker:
            assert await version(worker, "a") == "2.0.0"


async def test_policies_that_nobody_needs_are_forgotten(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        for number in range(2, 6):
            made.write(f"{number}.0.0")
            await made.policy.reload_told({})
        # The one before stays: an exchange may have been let in under it while the last one was on its way.
        assert len(worker.policies._pairs) == 2
        assert await version(worker, "a") == "5.0.0"


async def test_a_policy_that_a_worker_cannot_build_does_not_come_into_force(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made, 1) as one, working(made, 2) as two:
        two.policies.builder = None
        two.link._policy = refuses
        made.write("2.0.0")
        with pytest.raises(Conflict, match="worker cannot build"):
            await made.policy.reload_told({})
        assert made.types()[-1] == "policy.reject"
        assert made.log.records[-1]["err"]["code"] == "worker_refused"
        assert await version(one, "a") == "1.0.0"


async def refuses(_body: object) -> None:
    raise Unavailable("policy_differs", "the policy means something else here")


async def test_a_worker_that_does_not_answer_is_cut_off_and_lets_nobody_in(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made, 1) as one, working(made, 2) as two:
        made.shelf._patience_s = 0.1
        hangs = asyncio.Event()
        two._task.cancel()
        two.link._policy = lambda _body: hangs.wait()  # type: ignore[assignment,return-value] # for ever
        made.write("2.0.0")
        await made.policy.reload_told({})
        assert await version(one, "a") == "2.0.0"
        with pytest.raises(Unavailable):
            await two.door.enter(ANN, "b")


async def test_a_worker_that_is_stopped_holds_up_no_reload(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, lead), working(made) as worker:
        worker._task.cancel()
        session = lead._sessions[1]
        assert session.line is not None
        session.line.heard_at -= SILENT_S + 1
        worker.link._policy = lambda _body: asyncio.sleep(60)
        made.write("2.0.0")
        await asyncio.wait_for(made.policy.reload_told({}), 20)
        with pytest.raises(Unavailable):
            await worker.door.enter(ANN, "b")


async def test_a_file_that_changes_while_it_is_loaded_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        source = made.policy._source
        found = source.again(made.policy._builder.known, made.policy.current().policy)
        made.write("3.0.0")
        with pytest.raises(OSError, match="was changed"):
            await made.place.offer(found)
        assert await version(worker, "a") == "1.0.0"


async def test_files_that_no_message_can_hold_are_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        made.shelf._most_bytes = 100
        made.write("2.0.0")
        with pytest.raises(Conflict, match="larger than"):
            await made.policy.reload_told({})
        assert await version(worker, "a") == "1.0.0"


async def test_the_files_of_a_policy_travel_with_it(tmp_path: Path) -> None:
    """What the lead has read counts, not what lies beside the policy when a worker begins."""
    import hashlib

    words = tmp_path / "words.txt"
    words.write_text("forbidden\n")
    digest = hashlib.sha256(words.read_bytes()).hexdigest()
    async with house(tmp_path) as (made, _):
        policy = tmp_path / "policy.yaml"
        text = policy.read_text().replace(
            "{use: regex, pattern: BAD}", f"{{use: terms, list: 'words.txt@sha256:{digest}'}}"
        )
        policy.write_text(text)
        await made.policy.reload_told({})
        words.write_text("other\n")
        async with working(made) as worker:
            pair = worker.policies.pair(key_of(made.policy.current().policy))
            assert pair.policy.digest == made.policy.current().policy.digest


async def test_a_policy_that_reads_otherwise_at_a_worker_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as (made, _), working(made) as worker:
        sent = dict(next(iter(made.shelf._bodies.values())))
        with pytest.raises(Unavailable, match="something else"):
            await worker.policies.take({**sent, "key": "another", "needed": []})
        await eventually(lambda: worker.link.is_up)
        assert worker.link.called(Kind.COUNTS, {})
