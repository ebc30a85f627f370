"""Records to a collector over real TLS: what arrives, who is trusted, and what a broken connection costs."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.audit.log import AuditLog
from gateway.audit.merkle import leaf_hash
from gateway.audit.sinks.settings import SinkSettings, SinksSettings, SyslogPlace
from tests.gateway.audit.harness import ORIGIN, lines_in
from tests.gateway.audit.sinks.places import log_settings, proved, until
from tests.gateway.audit.sinks.tls import Authority, Collector, collector, wait_for


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "tls")


@pytest.fixture
def listening(authority: Authority) -> Iterator[Collector]:
    with collector(authority) as found:
        yield found


def sinks(path: Path, authority: Authority, port: int, **more: object) -> SinksSettings:
    place = SyslogPlace("127.0.0.1", port, authority.ca, **more)  # type: ignore[arg-type]
    return SinksSettings((SinkSettings("siem", place, deadline_s=0.3, retry_s=0.05),), 1, path / "state")


async def test_every_record_arrives_as_it_is_stored_and_says_which_it_is(
    tmp_path: Path, authority: Authority, listening: Collector
) -> None:
    log = AuditLog.open(log_settings(tmp_path, sinks(tmp_path, authority, listening.port)))
    for number in range(20):
        await log.append({"type": "auth.fail", "n": number})
    await log.close()
    lines = lines_in(tmp_path)
    wait_for(listening, len(lines) - 1)
    records = [message for message in listening.messages if b' seq="' in message]
    for seq, (message, line) in enumerate(zip(records, lines, strict=True)):
        leaf = base64.b64encode(leaf_hash(line)).decode()
        front = f'[gatehouse@32473 origin="{ORIGIN}" seq="{seq}" leaf="{leaf}"] '.encode()
        assert message.endswith(front + line)
        assert re.match(rb"<110>1 \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z \S+ gatehouse - [a-z.]+ ", message)


async def test_signed_heads_arrive_too(tmp_path: Path, authority: Authority, listening: Collector) -> None:
    """So that the collector holds what an auditor can compare the log with."""
    log = AuditLog.open(log_settings(tmp_path, sinks(tmp_path, authority, listening.port)))
    await log.append({"type": "auth.fail"})
    await asyncio.to_thread(wait_for, listening, 1)
    await log.close()
    await asyncio.to_thread(until, lambda: any(b" head " in message for message in listening.messages))
    newest = [message for message in listening.messages if b" head " in message][-1]
    note = base64.b64decode(newest.rpartition(b" ")[2])
    assert note in (tmp_path / "log" / "checkpoints.log").read_bytes()


async def test_collector_with_another_authority_gets_nothing(
    tmp_path: Path, authority: Authority, listening: Collector
) -> None:
    stranger = Authority(tmp_path / "other")
    log = AuditLog.open(log_settings(tmp_path, sinks(tmp_path, stranger, listening.port)))
    await asyncio.to_thread(until, lambda: log.sinks[0].code == "sink_unreachable")
    assert log.healthy
    await log.close()
    assert listening.messages == []


async def test_collector_under_another_name_gets_nothing(
    tmp_path: Path, authority: Authority, listening: Collector
) -> None:
    settings = sinks(tmp_path, authority, listening.port, server_name="siem.example")
    log = AuditLog.open(log_settings(tmp_path, settings))
    await asyncio.to_thread(until, lambda: log.sinks[0].code == "sink_unreachable")
    await log.close()
    assert listening.messages == []


async def test_client_certificate_is_shown_to_a_collector_that_asks(tmp_path: Path, authority: Authority) -> None:
    certificate, key = authority.certificate("gate-1")
    with collector(authority, demand_client=True) as found:
        settings = sinks(tmp_path, authority, found.port, certificate=certificate, key=key)
        log = AuditLog.open(log_settings(tmp_path, settings))
        await log.append({"type": "auth.fail"})
        await log.close()
        wait_for(found, 2)
        assert found.peers == ["gate-1"]


async def test_broken_connection_is_made_again_and_no_record_is_missing(
    tmp_path: Path, authority: Authority, listening: Collector
) -> None:
    log = AuditLog.open(log_settings(tmp_path, sinks(tmp_path, authority, listening.port)))
    for number in range(60):
        receipt = await log.append({"type": "auth.fail", "n": number})
        if number % 20 == 10:
            await asyncio.to_thread(wait_for, listening, receipt.seq)
            listening.hang_up()
    await log.close()
    last = len(lines_in(tmp_path)) - 1
    await asyncio.to_thread(wait_for, listening, last)
    assert set(listening.seqs()) == set(range(last + 1))
    assert listening.connections >= 3


async def test_collector_that_is_away_gets_what_it_missed_and_the_log_says_when(
    tmp_path: Path, authority: Authority
) -> None:
    with collector(authority) as found:
        port = found.port
        log = AuditLog.open(log_settings(tmp_path, sinks(tmp_path, authority, port)))
        await log.append({"type": "auth.fail", "n": 1})
        await asyncio.to_thread(wait_for, found, 1)
    for number in range(10):
        await log.append({"type": "auth.fail", "n": number})
    await asyncio.to_thread(until, lambda: not log.sinks[0].up)
    assert log.healthy
    with collector(authority, port=port) as found:
        await asyncio.to_thread(wait_for, found, 11)
        await asyncio.to_thread(until, lambda: b"audit.sink_up" in b"".join(lines_in(tmp_path)))
        await log.close()
        kinds = b"".join(lines_in(tmp_path))
        assert (kinds.count(b'"audit.sink_down"'), kinds.count(b'"audit.sink_up"')) == (1, 1)
    proved(tmp_path)


async def test_next_start_goes_on_where_the_last_one_ended(
    tmp_path: Path, authority: Authority, listening: Collector
) -> None:
    settings = log_settings(tmp_path, sinks(tmp_path, authority, listening.port))
    for _ in range(2):
        log = AuditLog.open(settings)
        await log.append({"type": "auth.fail"})
        await log.close()
    last = len(lines_in(tmp_path)) - 1
    await asyncio.to_thread(wait_for, listening, last)
    assert listening.seqs() == list(range(last + 1))


async def test_first_connection_of_an_old_log_begins_with_this_run(
    tmp_path: Path, authority: Authority, listening: Collector
) -> None:
    log = AuditLog.open(log_settings(tmp_path, SinksSettings()))
    await log.append({"type": "auth.fail"})
    await log.close()
    before = len(lines_in(tmp_path))
    log = AuditLog.open(log_settings(tmp_path, sinks(tmp_path, authority, listening.port)))
    await log.close()
    await asyncio.to_thread(wait_for, listening, len(lines_in(tmp_path)) - 1)
    assert min(listening.seqs()) == before
