"""A worker: answers on the API socket beside its lead, judges and forwards, and has nothing recorded by itself.

    python -m gateway.worker.process --lead SOCKET --number N --api-fd FD

It takes no connection before its lead has given it the configuration and every policy. While the lead is away it
answers 503 and is not ready; it goes on by itself when there is a lead again. It holds no key that signs anything.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import sys
from pathlib import Path

import uvloop

from gateway import logs
from gateway.app import Gate, make_app
from gateway.auth import KeyRing
from gateway.background import Background
from gateway.health import Health
from gateway.listening import Share, Stop, listen, set_aside_start, share_interpreter
from gateway.metrics import Metrics
from gateway.pipeline import Pipeline
from gateway.secret import digest_key
from gateway.transcript import NothingKept
from gateway.worker.lead import STATE_EVERY_S
from gateway.worker.link import Link
from gateway.worker.policies import Policies
from gateway.worker.remote import RemoteBook, RemoteDoor, RemoteKeeper, RemoteReviewers
from gateway.worker.site import Site
from gateway.worker.sums import counts
from gateway.worker.wire import Kind


async def serve(api: socket.socket, lead: Path, number: int) -> None:
    """Run until told to stop, or until the lead works by another configuration."""
    metrics, policies, stop = Metrics(), Policies(), Stop()
    metrics.watch_memories(policies.memory_counts)
    async with contextlib.AsyncExitStack() as stack:
        site = Site(stack, policies, stop.tell)
        link = Link(
            lead,
            number,
            terms=site.told,
            policy=policies.take,
            counts=lambda: counts(metrics.registry),
            model=site.model,
        )
        keeping, watching = Background(), Background()
        stack.callback(keeping.cancel)
        keeping.start(kept(link, stop))
        if not await _joined(link, stop):
            return
        gate = _gate(site, link, policies, metrics)
        stack.callback(watching.cancel)
        watching.start(gate.health.watch())
        share = Share(lambda: link.least)
        watching.start(_tell_state(link, gate.health, share))
        set_aside_start()

        def draining() -> None:
            gate.health.draining = True

        await listen([(make_app(gate), api)], stop, draining, site.config.drain_s, share)
        await link.part()


def _gate(site: Site, link: Link, policies: Policies, metrics: Metrics) -> Gate:
    config, reach = site.config, site.reach
    book = RemoteBook(link.current, link)
    keeper = RemoteKeeper(link) if config.content is not None else NothingKept()
    metrics.everywhere = lambda: _exposition(link)
    return Gate(
        keys=KeyRing(config.keys),
        door=RemoteDoor(link, policies),
        pipeline=Pipeline(reach.engines, digest_key(config.key_dir), keeper, RemoteReviewers(link)),
        upstream=reach.engines,
        records=book,
        health=Health(
            reach.probes(),
            book,
            metrics,
            any_of=frozenset(reach.engines.probes()),
            also=lambda: link.checks,
            recorded=False,
        ),
        metrics=metrics,
        keeper=keeper,
    )


async def _exposition(link: Link) -> bytes:
    return await link.current().call(Kind.EXPOSE, {}, lambda body: str(body["text"]).encode())


async def _joined(link: Link, stop: Stop) -> bool:
    """Wait for the lead. False: there is nothing to be served any more."""
    waits = [asyncio.create_task(link.joined.wait()), asyncio.create_task(stop.wait())]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
    return not stop.is_told


async def kept(link: Link, stop: Stop) -> None:
    """Without a way to its lead this process is of no use: it ends, and its supervisor starts another."""
    try:
        await link.keep()
    finally:
        stop.tell()


async def _tell_state(link: Link, health: Health, share: Share) -> None:
    while True:
        link.tell_state(is_ready=health.own_ready, connections=share.connections())
        await asyncio.sleep(STATE_EVERY_S)


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m gateway.worker.process")
    parser.add_argument("--lead", type=Path, required=True, help="socket of the process that has the log")
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--api-fd", type=int, required=True)
    args = parser.parse_args(argv)
    logs.set_up(f"worker_{args.number}")
    share_interpreter()
    uvloop.run(serve(socket.socket(fileno=args.api_fd), args.lead, args.number))
    return 0


if __name__ == "__main__":
    sys.exit(main())
