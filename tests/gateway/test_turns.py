"""Two who accept from one socket share its connections, and every one of them is taken."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway.turns import Turns
from tests.doubles import eventually


class Kept(asyncio.Protocol):
    """A connection that somebody has."""

    def __init__(self, by: list[Any]) -> None:
        self._by = by

    def connection_made(self, transport: Any) -> None:
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        self._by.append(transport)


@contextmanager
def taking(listener: socket.socket, by: list[Any], ahead: Callable[[], int]) -> Iterator[Turns]:
    turns = Turns(listener, lambda: Kept(by), ahead)
    try:
        yield turns
    finally:
        turns.close()
        for transport in by:
            transport.abort()


async def connections(listener: socket.socket, number: int) -> list[socket.socket]:
    made = [socket.socket() for _ in range(number)]
    for one in made:
        one.setblocking(False)
        one.connect_ex(listener.getsockname())
    await asyncio.sleep(0)
    return made


async def test_who_has_more_leaves_the_next_to_the_other() -> None:
    one: list[Any] = []
    two: list[Any] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        listener.dup() as same,
        taking(listener, one, lambda: len(one) - len(two)),
        taking(same, two, lambda: len(two) - len(one)),
    ):
        made = await connections(listener, 40)
        await eventually(lambda: len(one) + len(two) == 40)
        assert abs(len(one) - len(two)) <= 4
        for sock in made:
            sock.close()


async def test_whoever_is_left_takes_all() -> None:
    one: list[Any] = []
    two: list[Any] = []
    waits: list[int] = []
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        listener.dup() as same,
        taking(listener, one, lambda: waits.append(1) or 10_000),
        taking(same, two, lambda: 0) as gone,
    ):
        gone.close()
        made = await connections(listener, 40)
        await eventually(lambda: len(one) == 40)
        assert len(waits) < 10, "waiting for nobody costs many connections together one wait"
        assert two == []
        for sock in made:
            sock.close()


async def test_a_process_without_descriptors_takes_connections_when_it_has_some_again() -> None:
    one: list[Any] = []
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_server(("127.0.0.1", 0)) as listener, taking(listener, one, lambda: 0):
        [client] = await connections(listener, 1)
        lowest = os.dup(0)
        os.close(lowest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
        try:
            await asyncio.sleep(0.05)
            assert one == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        await eventually(lambda: len(one) == 1)
        client.close()


@pytest.mark.parametrize("ahead", [0, 5])
async def test_after_the_close_nothing_is_taken(ahead: int) -> None:
    one: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, taking(listener, one, lambda: ahead) as turns:
        [client] = await connections(listener, 1)
        await asyncio.sleep(0.002 if ahead else 0)
        turns.close()
        await turns.wait_closed()
        before = len(one)
        [other] = await connections(listener, 1)
        await asyncio.sleep(0.03)
        assert len(one) == before
        client.close()
        other.close()
