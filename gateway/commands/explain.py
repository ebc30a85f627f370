"""`gatehouse policy explain`: why a policy decides as it does, of a request in a file or of a recorded exchange.

With a request, guard models run in a model host of the command's own, unless their scores are given. Nothing is sent
to an engine and nothing is recorded. Parts are named by path and scope; no text is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from gateway.audit_location import Locate
from gateway.errors import BadRequest, ConfigError, TooLarge
from gateway.exchange import Caller
from gateway.explain_report import as_json, as_text
from gateway.file_problem import file_problem
from gateway.given_scores import ScoresRefused, read_scores
from gateway.jsonstrict import Json, dumps
from gateway.policy_files import PROBLEMS, UNREADABLE, check_file, known_guards
from gateway.replay import NotReplayable
from policies.errors import FileErrors
from policies.model import Policy

if TYPE_CHECKING:
    from gateway.explain import Recorded

OK = 0


def add_explain(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate, quickstart: Callable[[], Path]
) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "explain",
        help="say why a policy decides as it does",
        description="For each part and rule: matched, not matched or hanging on a missing verdict, each condition with "
        "the value it\nlooked at, and who decided. Of a request, or of a recorded exchange from its scores. Prints no "
        "text.",
        epilog="example: gatehouse policy explain my.yaml --request request.json\n"
        "         gatehouse policy explain my.yaml --request request.json --scores s.json   # no model is started\n"
        "         gatehouse policy explain my.yaml --record 4711 --dir audit\n"
        "exit status: 0 explained, 1 problems in the policy, or a request that is refused before it is judged, "
        "2 a file or\n             a model cannot be used, or there is no such record",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the policy")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--request", type=Path, metavar="FILE", help="body of a chat completion request, as JSON")
    source.add_argument("--record", metavar="SEQ|ID", help="number of a record, or id of a request")
    parser.add_argument(
        "--config", "-c", type=Path, metavar="FILE", help="gatehouse.yaml: `guards:`, and where the log is"
    )
    parser.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log, in place of the configured one")
    parser.add_argument("--scores", type=Path, metavar="FILE", help="what detectors say, as JSON; no model is started")
    parser.add_argument("--no-models", action="store_true", help="ask no guard model; what hangs on one stays unknown")
    parser.add_argument("--tenant", default="test", metavar="NAME", help="who sends the request (default: test)")
    parser.add_argument("--app", default="test", metavar="NAME", help="from which app (default: test)")
    parser.add_argument(
        "--fact",
        action="append",
        default=[],
        type=_fact,
        metavar="NAME=VALUE",
        help="a claim such as desk=branch, or upstream_class=external; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object for each decision, one a line")
    parser.set_defaults(run=run_explain, locate=locate, quickstart=quickstart)


def _fact(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals or not value:
        raise argparse.ArgumentTypeError("expected NAME=VALUE")
    return name, value


def run_explain(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Reports on `out`, standard output by default."""
    from gateway.evaluate.errors import EvaluationError

    stream = out or sys.stdout
    known = known_guards(args.config, sys.stderr)
    if known is None:
        return UNREADABLE
    checked = check_file(args.file, known)
    if checked.policy is None:
        print(checked.as_text(), file=sys.stderr)
        return checked.status
    try:
        explain = _explain_request if args.request else _explain_record
        return explain(args, checked.policy, stream)
    except OSError as exc:
        problem = file_problem(exc)
    except (EvaluationError, FileErrors, ConfigError, ScoresRefused, _NoSuchRecord) as exc:
        problem = str(exc)
    print(f"gatehouse policy explain: {problem}", file=sys.stderr)
    return UNREADABLE


class _NoSuchRecord(Exception):
    """The log has no decision with this number or id."""


def _explain_request(args: argparse.Namespace, policy: Policy, out: TextIO) -> int:
    from gateway.explain import Guards, explain_request

    given = read_scores(args.scores, policy) if args.scores else {}
    asks_models = not (args.scores or args.no_models)
    config = (args.config or args.quickstart()) if asks_models else None
    try:
        body = _body(args.request, policy.limits.body)
        facts = dict(args.fact)
        upstream_class = facts.pop("upstream_class", "")
        caller = Caller("", args.tenant, args.app, facts)
        explained = asyncio.run(explain_request(policy, body, caller, upstream_class, Guards(config, given)))
    except (BadRequest, TooLarge) as exc:
        refused: Json = {"refused": {"code": exc.code, "status": exc.status, "message": exc.message}}
        words = f"refused before it is judged: {exc.code}, status {exc.status}: {exc.message}"
        print(dumps(refused).decode() if args.json else words, file=out)
        return PROBLEMS
    print(dumps(as_json(explained)).decode() if args.json else as_text(explained), file=out)
    return OK


def _body(file: Path, limit: int) -> bytes:
    with file.open("rb") as opened:
        body = opened.read(limit + 1)
    if len(body) > limit:
        raise TooLarge("body_too_large", f"the body is larger than {limit} bytes")
    return body


def _explain_record(args: argparse.Namespace, policy: Policy, out: TextIO) -> int:
    from gateway.explain import recorded

    directory = args.dir or args.locate(args.config or Path("gatehouse.yaml")).directory
    found = recorded(directory, args.record)
    if not found:
        raise _NoSuchRecord(f"`{directory}` has no decision with the number or request id `{args.record[:64]}`")
    for index, one in enumerate(found):
        if index and not args.json:
            print(file=out)
        _print_record(one, policy, args.json, out)
    return OK


def _print_record(one: Recorded, policy: Policy, is_json: bool, out: TextIO) -> None:
    head = _head(one.record, policy)
    try:
        explained = one.explained(policy)
    except NotReplayable as exc:
        words = f"{_head_words(head)}\nnot explained, because {exc}"
        print(dumps(head | {"not_explained": str(exc)}).decode() if is_json else words, file=out)
        return
    words = f"{_head_words(head)}\nby this file: {as_text(explained)}"
    print(dumps(head | as_json(explained)).decode() if is_json else words, file=out)


def _head(record: Mapping[str, Any], policy: Policy) -> dict[str, Json]:
    was, then = record.get("decision", {}), record.get("policy", {})
    same = then.get("compiled_digest") == policy.digest
    return {
        "seq": record.get("seq"),
        "type": record.get("type"),
        "req": record.get("req"),
        "recorded": {"action": was.get("action"), "code": was.get("code"), "rules": was.get("rules")},
        "policy": {"name": then.get("name"), "version": then.get("version"), "is_this_file": same},
    }


def _head_words(head: Mapping[str, Any]) -> str:
    was, then = head["recorded"], head["policy"]
    said = " ".join(filter(None, (was["action"], was["code"])))
    rules = f", by {', '.join(was['rules'])}" if was["rules"] else ""
    which = "the same as this file" if then["is_this_file"] else "another than this file"
    return (
        f"record {head['seq']}, {head['type']}, request {head['req']}\n"
        f"recorded: {said}{rules}; policy {then['name']} {then['version']}, {which}"
    )
