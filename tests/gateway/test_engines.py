"""Several model servers on real sockets: each model at its own, and one that is away in nobody else's way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.engines import Engines
from gateway.errors import GatewayError, NotFound, Unavailable
from gateway.http_client import make_client
from gateway.local_model import LocalModel
from gateway.upstream import Upstream, UpstreamSettings
from tests.gateway.raw_server import RESET, RawServer, http

AWAY = "http://127.0.0.1:9/v1"


def models(*names: str) -> bytes:
    rows = ", ".join(f'{{"id": "{name}"}}' for name in names)
    return http(f'{{"data": [{rows}]}}'.encode())


def at(url: str, name: str, *served: str, **more: Any) -> UpstreamSettings:
    table = tuple((model, f"{name}/{model}") for model in served)
    return UpstreamSettings(url, name=name, models=table, connect_s=0.5, first_byte_s=1.0, **more)


@asynccontextmanager
async def opened(*settings: UpstreamSettings) -> AsyncIterator[Engines]:
    async with AsyncExitStack() as stack:
        yield await Engines.open(settings, "", stack)


@pytest.fixture
async def server() -> AsyncIterator[RawServer]:
    async with RawServer() as server:
        yield server


async def test_a_model_is_at_its_engine_with_what_kind_of_place_that_is(server: RawServer) -> None:
    server.answers(models("listed", "small"))
    settings = at(server.url, "rack"), at(AWAY, "cloud", "big", class_="external")
    async with opened(*settings) as engines:
        big, listed = await engines.place("big"), await engines.place("listed")
        assert (big.model, big.upstream, big.class_) == ("cloud/big", "cloud", "external")
        assert (listed.model, listed.upstream, listed.class_) == ("listed", "rack", "local")
        assert engines.settings is settings[0]
        assert await engines.served_as("big") == "cloud/big"
        assert dict(await engines.models()) == {"big": "cloud/big", "listed": "listed", "small": "small"}


async def test_an_engine_that_is_named_has_to_serve_the_model_itself() -> None:
    async with opened(at(AWAY, "a", "m"), at(AWAY, "b", "n")) as engines:
        assert (await engines.place("n", "b")).upstream == "b"
        for model, engine in (("n", "a"), ("m", "c")):
            with pytest.raises(NotFound):
                await engines.place(model, engine)
        with pytest.raises(NotFound):
            await engines.place("nobody")


async def test_one_that_is_away_is_in_the_way_of_its_own_models_only(server: RawServer) -> None:
    server.answers(models("here"))
    async with opened(at(AWAY, "away"), at(server.url, "rack"), at(AWAY, "cloud", "big")) as engines:
        assert (await engines.place("here")).upstream == "rack"
        assert (await engines.place("big")).upstream == "cloud"
        assert set(await engines.models()) == {"here", "big"}
        with pytest.raises(Unavailable) as error:  # it may be the one that serves it
            await engines.place("other")
        assert error.value.code == "upstream_unreachable"


async def test_models_of_one_that_is_away_go_nowhere_else(server: RawServer) -> None:
    """Another engine that lists the same name gets nothing that was meant for the first, however old its list is."""
    server.answers(models("both"))
    async with AsyncExitStack() as stack:
        gone = await stack.enter_async_context(RawServer())
        gone.answers(models("both"))
        client = await stack.enter_async_context(make_client())
        house = Upstream(at(gone.url, "house"), client, models_kept_s=0.0)
        cloud = Upstream(at(server.url, "cloud", class_="external"), client)
        engines = Engines([house, cloud])
        assert (await engines.place("both")).upstream == "house"
        await cloud.probe()
        assert (await engines.place("both")).upstream == "house"
        gone.answers(models("other"))
        assert (await engines.place("both")).upstream == "cloud", "the first one has it no more"
        gone.answers(models("both"))
        await house.probe()
        gone.answers(RESET)
        with pytest.raises(Unavailable):
            await engines.place("both")


async def test_no_list_without_any_engine() -> None:
    async with opened(at(AWAY, "a"), at(AWAY, "b")) as engines:
        with pytest.raises(Unavailable):
            await engines.models()


async def failing(engines: Engines) -> Sequence[str]:
    said = []
    for name, probe in engines.probes().items():
        try:
            await probe()
        except GatewayError:
            said.append(name)
    return said


async def test_each_engine_is_probed_under_its_name(server: RawServer) -> None:
    server.answers(models("m"))
    async with opened(at(server.url, "rack"), at(AWAY, "cloud", "big")) as engines:
        assert set(engines.probes()) == {"engine_rack", "engine_cloud"}
        assert await failing(engines) == ["engine_cloud"]
    async with opened(at(AWAY, "only")) as engines:
        assert await failing(engines) == ["engine"]


async def test_models_of_the_model_host_take_adapters() -> None:
    local = (LocalModel("s", Path("/s")), LocalModel("m", Path("/m")))
    house, rest = (at(AWAY, one.name, one.name, local=one) for one in local)
    async with opened(at(AWAY, "a", "x"), house, rest) as engines:
        assert engines.local == ("s", "m")
        engines.serve("m:clinic")
        engines.serve("x:clinic")
        assert set(await engines.models()) == {"x", "s", "m", "m:clinic"}
        assert (await engines.place("m:clinic")).model == "m:clinic"
        assert [(await engines.place(name)).is_ours for name in ("s", "m:clinic", "x")] == [True, True, False]
        engines.drop("m:clinic")
        assert "m:clinic" not in await engines.models()
    async with opened(at(AWAY, "a")) as engines:
        assert engines.local == ()
