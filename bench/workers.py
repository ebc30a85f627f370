"""What a second process that answers is worth, and what it costs the one that has the log.

    python -m bench.workers --rounds 3 --seconds 4

One gateway with `workers: 1` and one with `workers: 2` in turn, in the same run, before a model server that answers at
once. Gateway, load and mock share the machine's cores, so throughput is an upper bound of what they leave; CPU seconds
for 1,000 exchanges are not touched by that. How much of them the lead spends on an exchange of its worker follows from
who answered which, as the records say, and bounds how far more workers help.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.gatehouse import KEY, ROOT, serving
from bench.load import Load, run
from bench.percentile import percentile
from bench.processes import cpu_seconds, free_port, raise_priority, started, tree

CONNECTIONS = 16
POLICY = ROOT / "bench" / "policies" / "rules-only.yaml"


@dataclass(frozen=True, slots=True)
class Round:
    """One gateway under load. Seconds of CPU."""

    workers: int
    done: int
    rps: float
    p50_ms: float
    p99_ms: float
    lead_s: float
    worker_s: float
    by_worker: int
    """Exchanges that the worker answered."""

    @property
    def per_1000(self) -> float:
        return (self.lead_s + self.worker_s) * 1000 / self.done


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0; ends with a message when an answer was not right."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument(
        "--scratch", type=Path, default=Path("/var/tmp"), help="a real disk: audit logs are synced here"
    )
    parser.add_argument("--nice", type=int, default=0, help="-15: before other work on the machine; needs root")
    args = parser.parse_args(argv)
    if args.nice:
        raise_priority(os.getpid(), args.nice)
    rounds = [_round(workers, args) for _ in range(args.rounds) for workers in (1, 2)]
    print(_table(rounds))
    return 0


def _round(workers: int, args: argparse.Namespace) -> Round:
    port, scratch, seconds = free_port(), args.scratch, args.seconds
    mock = [sys.executable, str(ROOT / "bench" / "mock_upstream.py"), "--port", str(port)]
    with (
        tempfile.TemporaryDirectory(prefix="gatehouse-bench-", dir=scratch) as own,
        tempfile.TemporaryDirectory(prefix="gatehouse-bench-", dir=scratch) as directory,
        started(mock, Path(own), f"http://127.0.0.1:{port}/v1/models") as mock_pid,
        serving(Path(directory), POLICY, f'{{url: "http://127.0.0.1:{port}"}}', workers=workers) as gateway,
    ):
        if args.nice:
            for pid in (gateway.pid, mock_pid):
                raise_priority(pid, args.nice)
        url = gateway.url + "/v1/chat/completions"
        run(Load(url, CONNECTIONS, 1.0, key=KEY))
        log = Path(directory) / "var" / "audit" / "seg"
        lead, worker = _child(gateway.pid, "gateway.front"), _child(gateway.pid, "gateway.worker.process")
        before, counted = _spent(lead, worker), _answered(log)
        tally = run(Load(url, CONNECTIONS, seconds, key=KEY))
        if tally.errors:
            raise SystemExit(f"{tally.errors} wrong answers: {tally.first_error}")
        spent = [now - then for now, then in zip(_spent(lead, worker), before, strict=True)]
        one = Round(
            workers,
            tally.done,
            tally.done / tally.seconds,
            percentile(tally.latency, 0.5) / 1e6,
            percentile(tally.latency, 0.99) / 1e6,
            spent[0],
            spent[1],
            _answered(log) - counted,
        )
    cost = f"{one.per_1000:.3f} CPU s per 1,000"
    print(f"workers: {workers}: {one.rps:.0f} rps, {cost}, {one.by_worker} of {one.done} by the worker", flush=True)
    return one


def _spent(lead: int, worker: int) -> tuple[float, float]:
    return cpu_seconds(lead), cpu_seconds(worker) if worker else 0.0


def _child(supervisor: int, module: str) -> int:
    """The process that runs a module; 0 if there is none."""
    for pid in tree(supervisor):
        if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            return pid
    return 0


def _answered(log: Path) -> int:
    """Exchanges of workers that have ended."""
    return sum(
        b'"response.complete"' in line and b'"worker":' in line
        for path in log.glob("*.jsonl")
        for line in path.read_bytes().splitlines()
    )


def _table(rounds: Sequence[Round]) -> str:
    lines = ["", "| workers | CPU s per 1,000 | rps | p50 ms | p99 ms |", "| --- | --- | --- | --- | --- |"]
    for workers in (1, 2):
        own = [one for one in rounds if one.workers == workers]
        cells = [_spread([getattr(one, name) for one in own]) for name in ("per_1000", "rps", "p50_ms", "p99_ms")]
        lines.append(f"| {workers} | {' | '.join(cells)} |")
    alone = statistics.median(one.per_1000 for one in rounds if one.workers == 1)
    leads = [
        (one.lead_s * 1000 - (one.done - one.by_worker) * alone) / one.by_worker
        for one in rounds
        if one.workers == 2 and one.by_worker
    ]
    workers = [one.worker_s * 1000 / one.by_worker for one in rounds if one.workers == 2 and one.by_worker]
    if leads:
        lines += ["", f"For 1,000 exchanges of a worker: {_spread(workers)} CPU s there, {_spread(leads)} in the lead."]
        lines.append(f"Cores: {os.cpu_count()}, shared with the load and the model server.")
    return "\n".join(lines)


def _spread(values: Sequence[float]) -> str:
    ordered = sorted(values)
    return f"{statistics.median(ordered):.3g} ({ordered[0]:.3g}..{ordered[-1]:.3g})"


if __name__ == "__main__":
    sys.exit(main())
