"""What a stream has to be before a log goes into it, who may connect, and that one message follows another."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType

from gateway.audit.sinks.errors import SinkError, SinkFull
from gateway.audit.sinks.stream import Stream, require_whole
from gateway.audit.sinks.stream_login import StreamLogin, parse_login
from tests.gateway.audit.sinks.nats_server import SUBJECT, NatsServer, needs_nats_server
from tests.gateway.audit.sinks.nats_users import Operator
from tests.gateway.audit.sinks.tls import Authority

pytestmark = needs_nats_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path / "nats") as running:
        yield running


def opened(server: NatsServer, **more: Any) -> Stream:
    stream = Stream(server.place(**more))
    try:
        stream.open()
    except SinkError:
        stream.close()
        raise
    return stream


def test_each_message_follows_the_one_before(server: NatsServer) -> None:
    server.add_stream()
    one, other = opened(server), opened(server)
    try:
        one.put("records", "a", b"1")
        assert one.newest("records") == ("a", b"1")
        assert one.newest("file.LOG") is None
        with pytest.raises(SinkError, match="somebody else put a message"):
            other.put("records", "b", b"2")
        other.last = one.last
        with pytest.raises(SinkError, match="was there already"):
            other.put("records", "a", b"3")
    finally:
        one.close()
        other.close()
    assert server.lines() == [b"1"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"storage": StorageType.MEMORY}, "not kept in files"),
        ({"retention": RetentionPolicy.INTEREST}, "retention"),
        ({"max_age": 3600.0}, "max_age"),
        ({"max_msgs": 5}, "discards old"),
        ({"max_bytes": 5000}, "discards old"),
        ({"max_msgs_per_subject": 1}, "limit for each subject"),
        ({"subjects": [f"{SUBJECT}.>", "more"]}, "subjects"),
    ],
)
def test_a_stream_that_would_forget_is_no_second_place(server: NatsServer, config: dict[str, Any], told: str) -> None:
    server.add_stream(**config)
    stream = Stream(server.place())
    try:
        with pytest.raises(SinkError, match=told):
            require_whole(stream.open(), SUBJECT)
    finally:
        stream.close()


def test_a_stream_that_is_full_is_told_as_such(server: NatsServer) -> None:
    server.add_stream(max_msgs=1, discard=DiscardPolicy.NEW, deny_delete=True, deny_purge=True)
    stream = opened(server)
    try:
        stream.put("records", "a", b"1")
        with pytest.raises(SinkFull):
            stream.put("records", "b", b"2")
    finally:
        stream.close()


def test_users_are_told_apart_by_their_passwords(tmp_path: Path) -> None:
    with NatsServer(tmp_path / "nats", 'authorization {user: gate, password: "secret"}\n') as server:
        server.see_as(user="gate", password="secret")
        server.add_stream()
        opened(server, login=parse_login("gate secret")).close()
        for login in (StreamLogin(), parse_login("gate wrong")):
            with pytest.raises(SinkError, match="no answer"):
                opened(server, login=login)


def test_users_are_told_apart_by_their_credentials(tmp_path: Path) -> None:
    site = Operator()
    with NatsServer(tmp_path / "nats", site.server_config()) as server:
        mine = parse_login(site.credentials(b"u" * 32))
        server.see_as(signature_cb=mine.sign, user_jwt_cb=mine.jwt.encode)
        server.add_stream()
        opened(server, login=mine).close()
        stolen = StreamLogin(b"v" * 32, mine.jwt)
        for login in (StreamLogin(), stolen, parse_login(Operator(b"x" * 32).credentials(b"u" * 32))):
            with pytest.raises(SinkError, match="no answer"):
                opened(server, login=login)


def test_tls_is_verified_both_ways(tmp_path: Path) -> None:
    site, other = Authority(tmp_path / "site"), Authority(tmp_path / "other")
    certificate, key = site.certificate("server")
    more = f'tls {{cert_file: "{certificate}", key_file: "{key}", ca_file: "{site.ca}", verify: true}}\n'
    with NatsServer(tmp_path / "nats", more) as server:
        context = ssl.create_default_context(cafile=str(site.ca))
        context.load_cert_chain(*site.certificate("test"))
        server.url = f"tls://127.0.0.1:{server.port}"
        server.see_as(tls=context)
        server.add_stream()
        mine = site.certificate("gate")
        good = {"ca": site.ca, "certificate": mine[0], "key": mine[1]}
        opened(server, **good).close()
        for bad in ({**good, "ca": other.ca}, {"ca": site.ca}, {**good, "server_name": "elsewhere"}):
            with pytest.raises(SinkError):
                opened(server, **bad)
