"""A lead and its workers in one event loop, on a real socket: what they say to each other is what processes say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from gateway.admission import Admission, Concurrency
from gateway.config import load_config
from gateway.content.keeper import SealedKeeper
from gateway.errors import Unavailable
from gateway.exchange import Caller
from gateway.metrics import Metrics
from gateway.policy_bindings import Bound
from gateway.policy_builder import PolicyBuilder
from gateway.policy_in_force import PolicyInForce
from gateway.policy_source import FileSource
from gateway.records import Records
from gateway.reviews import ReviewDesk
from gateway.transcript import Keeper, NothingKept
from gateway.worker.lead import Lead, Terms
from gateway.worker.link import Link
from gateway.worker.policies import Policies
from gateway.worker.remote import RemoteDoor
from gateway.worker.session import Office
from gateway.worker.shelf import Shelf
from gateway.worker.site import Site
from gateway.worker.sums import Sums, counts
from tests.doubles import MemoryLog, eventually
from tests.gateway.small_policy import POLICY

ANN, BOB = Caller("k1", "clinic", "desk"), Caller("k2", "bank", "desk")
CONFIG = """\
gatehouse: config/v1
keys: [{id: k1, tenant: clinic, key: gatehouse-demo-key}]
policy: policy.yaml
engine: ENGINE
workers: 3
"""


class House:
    """The lead's side, with a log in memory."""

    def __init__(self, directory: Path, limits: Concurrency, keeper: Keeper, engine: str) -> None:
        self.directory, self.log, self.metrics = directory, MemoryLog(), Metrics()
        (directory / "gatehouse.yaml").write_text(CONFIG.replace("ENGINE", engine))
        self.write("1.0.0")
        self.config = load_config(directory / "gatehouse.yaml", directory / "var")
        self.records = Records(self.log, self.metrics)  # type: ignore[arg-type] # a double
        self.shelf = Shelf(patience_s=2.0)
        self.place = self.shelf.place()
        source = FileSource(directory / "policy.yaml")
        builder = PolicyBuilder(self.config.guards, {})
        self.policy = PolicyInForce(
            source, builder, self.records, self.metrics, share=self.place.offer, tenants=("clinic",)
        )
        self.place.in_use = self.policy.in_use
        self.admission, self.reviews = Admission(limits), ReviewDesk()
        self.office = Office(self.records, self.admission, self.policy, Bound(), keeper, self.reviews)
        self.socket = directory / "private" / "lead.sock"
        self.socket.parent.mkdir(mode=0o700)

    def lead(self) -> Lead:
        """One more life of it."""
        return Lead(Terms(self.config, "", 3), self.office, self.shelf, Sums(self.metrics.registry))

    def write(self, version: str) -> None:
        (self.directory / "policy.yaml").write_text(POLICY.replace("VERSION", version))

    def types(self) -> list[str]:
        return [record["type"] for record in self.log.records]

    def of(self, exchange: str) -> list[dict[str, Any]]:
        return [record for record in self.log.records if record.get("req") == exchange]


class Worker:
    """A worker's side: as in gateway/worker/process.py, without its listener."""

    def __init__(self, house: House, number: int = 1) -> None:
        self.metrics, self.policies = Metrics(), Policies()
        self.stack = AsyncExitStack()
        self.ends: list[str] = []
        self.site = Site(self.stack, self.policies, lambda: self.ends.append("changed"))
        self.link = Link(
            house.socket,
            number,
            terms=self.site.told,
            policy=self.policies.take,
            counts=lambda: counts(self.metrics.registry),
            model=self.site.model,
        )
        self.door = RemoteDoor(self.link, self.policies)
        self._task = asyncio.create_task(self.link.keep())

    async def up(self) -> None:
        await eventually(lambda: self.link.is_up)

    async def die(self) -> None:
        """As a process does that is killed: the kernel closes its end, nothing is said."""
        self._task.cancel()
        with suppress(Unavailable):
            self.link.current().cut()

    async def close(self) -> None:
        await self.die()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.stack.aclose()


@asynccontextmanager
async def house(
    directory: Path,
    limits: Concurrency | None = None,
    keeper: Keeper | SealedKeeper | None = None,
    engine: str = "{url: 'http://127.0.0.1:9/v1', models: {m: m}}",
) -> AsyncIterator[tuple[House, Lead]]:
    """A lead that listens."""
    made = House(directory, limits or Concurrency(), keeper or NothingKept(), engine)
    await made.policy.load_first()
    lead = made.lead()
    await lead.listen(made.socket)
    try:
        yield made, lead
    finally:
        await lead.close(0.1)


@asynccontextmanager
async def working(house: House, number: int = 1) -> AsyncIterator[Worker]:
    """A worker that has joined."""
    worker = Worker(house, number)
    try:
        await worker.up()
        yield worker
    finally:
        await worker.close()


def admit(exchange: str) -> dict[str, Any]:
    return {"type": "request.admit", "stage": "admit", "req": exchange, "tenant": "clinic", "app": "desk"}


def complete(exchange: str) -> dict[str, Any]:
    return {"type": "response.complete", "stage": "complete", "req": exchange}
