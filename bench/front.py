"""What the front itself costs, next to nginx, LiteLLM and the least proxies that its libraries allow.

Every gateway runs alone on one core, before a model server that answers at once; the load runs on another core. CPU is
user and system time of the gateway's whole process tree. Rounds are interleaved over all gateways, so what else the
machine does falls on all of them. Everything is on loopback, bounded in time, and stopped at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bench import report
from bench.load import Load, run
from bench.mock_upstream import CHUNKS
from bench.peers import GATEHOUSE, Peer, Site, Target, all_peers, home
from bench.percentile import percentile
from bench.processes import NotStarted, busy_seconds, cpu_seconds, free_port, raise_priority, rss_mib, started

BAR_CPU_S = 1.0
BAR_CONNECTIONS = 16
"""At one connection a gateway sleeps and wakes several times for each exchange; on a shared machine its caches are cold
each time, and what is measured is mostly that."""
CONNECTIONS = (1, 16, 64)
STREAMS = 8
BATCHES = 5
Row = dict[str, float | int | str]


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when Gatehouse meets its bar, 1 when not, 2 when it could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.front", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a timed cell")
    parser.add_argument("--only", action="append", help="measure only this row (may be repeated)")
    parser.add_argument(
        "--scratch", type=Path, default=Path("/var/tmp"), help="a real disk: audit logs are synced here"
    )
    parser.add_argument("--out", type=Path, default=home() / "front.jsonl", help="one line for each gateway and round")
    parser.add_argument("--gateway-core", type=int, default=1)
    parser.add_argument("--load-core", type=int, default=0)
    parser.add_argument("--nice", type=int, default=0, help="-15: before other work on the machine; needs root")
    args = parser.parse_args(argv)
    if args.nice:
        raise_priority(os.getpid(), args.nice)
    peers = {name: peer for name, peer in all_peers().items() if not args.only or name in args.only}
    for name, peer in peers.items():
        if peer.missing:
            print(f"left out: {name}: {peer.missing} (bench/setup_peers.sh installs it)", flush=True)
    if args.load_core < (os.cpu_count() or 1):
        os.sched_setaffinity(0, {args.load_core})
    rows = _rounds({name: peer for name, peer in peers.items() if not peer.missing}, args)
    print(report.tables(rows))
    return _verdict(rows)


def _rounds(peers: Mapping[str, Peer], args: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with _mock(args.scratch) as (port, pid), args.out.open("a") as out:
        for number in range(args.rounds):
            for name, peer in peers.items():
                with tempfile.TemporaryDirectory(prefix="gatehouse-bench-", dir=args.scratch) as directory:
                    row: Row = {"gateway": name, "round": number, "at": datetime.now(UTC).isoformat("T", "seconds")}
                    try:
                        with peer.start(Site(Path(directory), port, args.gateway_core)) as target:
                            if args.nice and target.pid is not None:
                                raise_priority(target.pid, args.nice)
                            row |= _measured(target, pid, args.seconds)
                    except NotStarted as exc:
                        row["failed"] = str(exc)
                rows.append(row)
                out.write(json.dumps(row) + "\n")
                out.flush()
                print(report.progress(row), flush=True)
    return rows


@contextmanager
def _mock(scratch: Path) -> Iterator[tuple[int, int]]:
    """The mock model server, on this process' core; its port and pid."""
    port = free_port()
    argv = [sys.executable, str(Path(__file__).with_name("mock_upstream.py")), "--port", str(port)]
    with (
        tempfile.TemporaryDirectory(prefix="gatehouse-bench-", dir=scratch) as directory,
        started(argv, Path(directory), f"http://127.0.0.1:{port}/v1/models") as pid,
    ):
        yield port, pid


def _measured(target: Target, mock: int, seconds: float) -> Row:
    row: Row = {}
    for connections in CONNECTIONS:
        run(Load(target.url, connections, 0.8, key=target.key))
        load = Load(target.url, connections, seconds, key=target.key)
        row |= {f"c{connections}_{name}": value for name, value in _cell(load, target, mock).items()}
    streamed = Load(target.url, STREAMS, 60.0, STREAMS, stream=True, key=target.key)
    run(streamed)
    load = Load(target.url, STREAMS, 60.0, STREAMS * BATCHES, stream=True, key=target.key)
    row |= {f"stream_{name}": value for name, value in _cell(load, target, mock).items()}
    if target.pid is not None:
        row["rss_mib"] = round(rss_mib(target.pid), 1)
    return row


def _cell(load: Load, target: Target, mock: int) -> Row:
    """One timed run, the CPU that the gateway took for it, and what others took meanwhile, in cores."""

    def reading() -> tuple[float, float]:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        gateway = cpu_seconds(target.pid) if target.pid is not None else 0.0
        return gateway, busy_seconds() - gateway - usage.ru_utime - usage.ru_stime - cpu_seconds(mock)

    before = reading()
    tally = run(load)
    gateway, others = (now - then for now, then in zip(reading(), before, strict=True))
    row: Row = {
        "done": tally.done,
        "errors": tally.errors,
        "rps": round(tally.done / tally.seconds, 1),
        "p50_ms": round(percentile(tally.latency, 0.5) / 1e6, 4),
        "p99_ms": round(percentile(tally.latency, 0.99) / 1e6, 4),
        "others": round(others / tally.seconds, 3),
    }
    if tally.first_error:
        row["first_error"] = tally.first_error
    if load.stream:
        row["first_p50_ms"] = round(percentile(tally.first_text, 0.5) / 1e6, 3)
        row["first_p99_ms"] = round(percentile(tally.first_text, 0.99) / 1e6, 3)
    if target.pid is not None and tally.done:
        units = tally.done * (CHUNKS if load.stream else 1)
        row["cpu_per_1000"] = round(1000 * gateway / units, 5)
    return row


def _verdict(rows: Sequence[Row]) -> int:
    mine = [row for row in rows if row["gateway"] == GATEHOUSE and "failed" not in row]
    if not mine:
        print("bar not checked: Gatehouse was not measured")
        return 2
    errors = sum(int(value) for row in mine for name, value in row.items() if name.endswith("_errors"))
    cost = report.median(mine, f"c{BAR_CONNECTIONS}_cpu_per_1000")
    met = cost <= BAR_CPU_S and not errors
    where = f"at {BAR_CONNECTIONS} connections"
    said = f"{cost:.3f} CPU seconds per 1,000 exchanges {where}, at most {BAR_CPU_S}; {errors} errors"
    print(f"bar {'met' if met else 'MISSED'}: {said}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
