"""The log in a stream of a real server: exact, in order, without a gap, through outages and what others do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.js import JetStreamContext

from gateway.audit.errors import AuditUnavailable
from gateway.audit.log import AuditLog
from gateway.audit.merkle import leaf_hash
from gateway.audit.sinks.errors import RestoreError, SinkError
from gateway.audit.sinks.local import LocalLog
from gateway.audit.sinks.restore import Restored, restore
from gateway.audit.sinks.stored import PART, RECORDS
from gateway.audit.sinks.stream import Stream
from gateway.audit.sinks.streamed import StreamSink
from tests.gateway.audit.harness import ORIGIN, exchange, lines_in
from tests.gateway.audit.sinks.nats_server import STREAM, SUBJECT, NatsServer, needs_nats_server
from tests.gateway.audit.sinks.places import log_settings, proved, same_files

pytestmark = needs_nats_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as running:
        running.add_stream()
        yield running


async def _run(path: Path, server: NatsServer, runs: int = 1) -> None:
    for start in range(runs):
        log = AuditLog.open(log_settings(path, server.sinks(path)))
        for record in exchange(f"r-{start}"):
            await log.append(record)  # type: ignore[arg-type]
        await log.close()


def run(path: Path, server: NatsServer, runs: int = 1) -> None:
    asyncio.run(_run(path, server, runs))


def restored(server: NatsServer, out: Path) -> Restored:
    stream = Stream(server.place())
    try:
        stream.open()
        return restore(stream, out)
    finally:
        stream.close()


def code_at_connection(path: Path, server: NatsServer) -> str:
    sink = StreamSink(server.place())
    try:
        sink.connect(LocalLog(path / "log", ORIGIN), None)
    except SinkError as exc:
        return exc.code
    finally:
        sink.close()
    return ""


def test_acknowledged_record_is_in_the_stream(tmp_path: Path, server: NatsServer) -> None:
    async def append() -> None:
        log = AuditLog.open(log_settings(tmp_path, server.sinks(tmp_path)))
        receipt = await log.append({"type": "auth.fail", "n": 4711})
        held = await asyncio.to_thread(server.lines)
        assert leaf_hash(held[receipt.seq]) == receipt.leaf
        await log.close()

    asyncio.run(append())
    assert server.lines() == lines_in(tmp_path)
    for message in server.messages():
        headers = message.headers or {}
        name = headers["Gatehouse-Name"]
        assert headers["Nats-Msg-Id"] == f"{SUBJECT} {name}"
        assert int(headers["Nats-Expected-Last-Sequence"]) + 1 == message.seq
        assert RECORDS.fullmatch(name) or PART.fullmatch(name) or name.startswith(("LOG", "keys/", "seals/")), name


def test_starts_go_on_where_the_stream_ends_and_a_restored_log_proves_itself(
    tmp_path: Path, server: NatsServer
) -> None:
    run(tmp_path, server, 2)
    (tmp_path / "state" / "stream.position").unlink()
    run(tmp_path, server)
    assert server.lines() == lines_in(tmp_path)
    made = restored(server, tmp_path / "again")
    assert (made.records, made.removed, made.replaced) == (proved(tmp_path).records, [], [])
    assert proved(tmp_path, "again").records == made.records
    same_files(tmp_path / "log", tmp_path / "again")


def test_a_server_that_was_away_gets_everything_afterwards(tmp_path: Path, server: NatsServer) -> None:
    async def through_an_outage() -> None:
        log = AuditLog.open(log_settings(tmp_path, server.sinks(tmp_path, deadline_s=0.3)))
        await log.append({"type": "auth.fail", "n": 1})
        await asyncio.to_thread(server.stop)
        with pytest.raises(AuditUnavailable):
            await log.append({"type": "auth.fail", "n": 2})
        await asyncio.to_thread(server.start)
        for _ in range(200):
            try:
                await log.append({"type": "auth.fail", "n": 3})
                break
            except AuditUnavailable:
                await asyncio.sleep(0.05)
        await log.close()

    asyncio.run(through_an_outage())
    assert b'"n":3' in b"".join(server.lines())
    assert server.lines() == lines_in(tmp_path), "also what was written and refused while it was away"
    assert restored(server, tmp_path / "again").records == proved(tmp_path).records


def test_message_of_somebody_else_is_found_and_nothing_is_put_behind_it(tmp_path: Path, server: NatsServer) -> None:
    run(tmp_path, server)
    assert code_at_connection(tmp_path, server) == ""
    for subject in ("records", "history.checkpoints-log", "file.LOG", "file.other", "other"):
        before = len(server.messages())

        async def publish(js: JetStreamContext, subject: str = subject) -> None:
            await js.publish(f"{SUBJECT}.{subject}", b"forged\n")

        server.ask(publish)
        assert code_at_connection(tmp_path, server) == "sink_changed", subject
        server.ask(lambda js: js.delete_stream(STREAM))
        server.add_stream()
        (tmp_path / "state" / "stream.position").unlink()
        run(tmp_path, server)
        assert len(server.messages()) > 3 < before


def test_stream_that_lost_messages_is_not_written_to(tmp_path: Path, server: NatsServer) -> None:
    run(tmp_path, server)
    found = server.messages()
    key, records = (next(one for one in found if kind in str(one.subject)) for kind in ("file.keys", "records"))
    server.ask(lambda js: js.delete_msg(STREAM, key.seq or 0))
    assert code_at_connection(tmp_path, server) == "sink_set_back"
    assert restored(server, tmp_path / "again").removed == [f"message {key.seq}"]
    server.ask(lambda js: js.delete_msg(STREAM, records.seq or 0))
    with pytest.raises(RestoreError, match="are not in the stream"):
        restored(server, tmp_path / "again-2")
    server.ask(lambda js: js.purge_stream(STREAM))
    assert code_at_connection(tmp_path, server) == "sink_set_back"


def test_emptied_stream_is_less_than_it_had(tmp_path: Path, server: NatsServer) -> None:
    run(tmp_path, server)
    server.ask(lambda js: js.delete_stream(STREAM))
    assert code_at_connection(tmp_path, server) == "sink_unreachable"
    server.add_stream()
    with pytest.raises(AuditUnavailable):
        run(tmp_path, server)
    assert server.messages() == []
