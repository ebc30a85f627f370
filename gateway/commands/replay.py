"""`gatehouse policy replay`: what another policy would have decided of recorded traffic.

    this policy flips 37 of 12,304 recorded decisions

Reads the log, changes nothing, needs no model and no running gateway.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from gateway.audit.errors import QueryError
from gateway.audit.lookup import stored_lines
from gateway.audit.search import moment
from gateway.audit_location import Locate
from gateway.file_problem import DEFAULT_CONFIG, file_problem
from gateway.jsonstrict import Json, dumps
from gateway.replay import EXAMPLES, FINDINGS, REPLAYED, Replay, replay
from policies.model import Policy

OK, FLIPPED, UNREADABLE = 0, 1, 2
_WORTH_READING = tuple(f'"type":"{kind}"'.encode() for kind in (*REPLAYED, FINDINGS))


def add_replay(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate
) -> argparse.ArgumentParser:
    """Add the command; who adds it sets `run`."""
    parser = commands.add_parser(
        "replay",
        help="decide recorded traffic again under another policy",
        description="Decide recorded exchanges again from the scores in the audit log, and say what comes out "
        "otherwise.\nA decision that the log does not say enough about is counted as such, never guessed.",
        epilog="example: gatehouse policy replay edited.yaml --since 7d --config gatehouse.yaml\n"
        "exit status: 0 replayed, 1 something flips and --fail was given, or problems in the policy, "
        "2 a file could not be read",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the policy to decide with")
    parser.add_argument(
        "--config", "-c", type=Path, metavar="FILE", help="gatehouse.yaml: where the log is, and `guards:`"
    )
    parser.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log, in place of the configured one")
    parser.add_argument("--since", metavar="TIME", help="2026-11-20, 2026-11-20T10:30:00Z, or 36h for so long ago")
    parser.add_argument("--until", metavar="TIME", help="before this time")
    parser.add_argument("--tenant", metavar="NAME", help="of this tenant only")
    parser.add_argument("--fail", action="store_true", help="exit status 1 if anything flips")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(locate=locate)
    return parser


def replay_log(args: argparse.Namespace, policy: Policy, out: TextIO) -> int:
    """Replay and report. The policy has been loaded with the guards that the configuration knows."""
    try:
        directory = args.dir or args.locate(args.config or DEFAULT_CONFIG).directory
        now = time.time_ns()
        since, until = (moment(text, now) if text else None for text in (args.since, args.until))
        result = replay(policy, _records(directory, since, until, args.tenant))
    except (QueryError, OSError) as exc:
        told = file_problem(exc) if isinstance(exc, OSError) else str(exc)
        print(f"gatehouse policy replay: {told}", file=sys.stderr)
        return UNREADABLE
    print(dumps(_as_json(result, policy)).decode() if args.json else _as_text(result), file=out)
    return FLIPPED if args.fail and result.flipped else OK


def _records(directory: Path, since: int | None, until: int | None, tenant: str | None) -> Iterator[Mapping[str, Any]]:
    for line in stored_lines(directory):
        record = _parsed(line) if any(kind in line for kind in _WORTH_READING) else None
        if record is None or (tenant is not None and record.get("tenant") != tenant):
            continue
        ts = int(str(record.get("ts", "0")))
        if (since is None or ts >= since) and (until is None or ts < until):
            yield record


def _parsed(line: bytes) -> dict[str, Any] | None:
    """The record; None for a line that is none, which is for `audit verify` to say."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and str(record.get("ts", "")).isdecimal() else None


def _as_text(result: Replay) -> str:
    lines = [f"this policy flips {result.flipped:,} of {result.decisions:,} recorded decisions"]
    for (was, now), number in result.flips.most_common():
        seqs = ", ".join(str(flip.seq) for flip in result.examples if (flip.was, flip.now) == (was, now))
        lines.append(f"  {number:>8,}  {was} -> {now}   records {seqs}{', …' if number > EXAMPLES else ''}")
    for title, counter in (("by rule", result.by_rule), ("by tenant", result.by_tenant)):
        if counter:
            lines.append(f"{title}: " + ", ".join(f"{name} {number:,}" for name, number in counter.most_common(10)))
    for reason, number in result.unknown.most_common():
        lines.append(f"not replayed: {number:,} decisions, because {reason}")
    return "\n".join(lines)


def _as_json(result: Replay, policy: Policy) -> Json:
    return {
        "policy": {"name": policy.name, "version": policy.version, "digest": policy.digest},
        "decisions": result.decisions,
        "flipped": result.flipped,
        "flips": [{"was": was, "now": now, "count": count} for (was, now), count in result.flips.most_common()],
        "by_rule": dict(result.by_rule.most_common()),
        "by_tenant": dict(result.by_tenant.most_common()),
        "examples": [
            {"seq": flip.seq, "was": flip.was, "now": flip.now, "rules": list(flip.rules)} for flip in result.examples
        ],
        "not_replayed": dict(result.unknown.most_common()),
    }
