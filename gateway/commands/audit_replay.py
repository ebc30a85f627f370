"""`gatehouse audit replay`: one recorded decision made again from its scores, under the policy that decided then.

The policy is found by the digest in the record, among the copies that the gateway keeps beside its log, or named with
`--policy`. No model runs, no text is needed or printed. Many records under another policy: `gatehouse policy replay`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gateway.audit.export.view import printable
from gateway.audit_location import CONFIG_HELP, Locate, UsageError, guarded, location_of
from gateway.jsonstrict import Json, dumps
from gateway.policy_copies import DIRECTORY, copy_of

if TYPE_CHECKING:
    from gateway.explain import Recorded
    from policies.model import Decision, Policy

SAME, DIFFERENT, NOT_REPLAYED = 0, 1, 2


def add_audit_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add the command to `gatehouse audit`."""
    parser = commands.add_parser(
        "replay",
        help="make a recorded decision again and compare",
        description="Decide a record, or each decision of a request, again: from the scores that the record holds, "
        "under the\npolicy whose digest it cites. Says whether it comes out the same, and why it is decided so.",
        epilog="exit status: 0 the same, 1 different, 2 it cannot be made again or there is no such decision,\n"
        "             5 the log or the policy cannot be read\n\n"
        "example: gatehouse audit replay 4711 --config gatehouse.yaml",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", metavar="SEQ|REQUEST-ID", help="number of a record, or id of a request")
    parser.add_argument("--policy", type=Path, metavar="FILE", help="decide with this policy in place of the one cited")
    parser.add_argument(
        "--policies", type=Path, metavar="DIR", help=f"copies of policies (default: `{DIRECTORY}` beside the log)"
    )
    parser.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
    parser.add_argument("--config", type=Path, default=None, metavar="FILE", help=f"{CONFIG_HELP}, and its `guards:`")
    parser.add_argument("--json", action="store_true", help="one JSON object for each decision, one a line")
    parser.set_defaults(run=guarded(_replay), locate=locate)


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that came out otherwise."""

    what: str
    was: Json
    now: Json


def differences(was: Mapping[str, Any], now: Decision) -> Iterator[Difference]:
    """How a decision differs from what a record says of it. Lists in records can be cut; what they hold is compared."""
    said: dict[str, Json] = {
        "action": now.action.name.lower(),
        "code": now.code,
        "rules": list(now.rules),
        "flags": [flag.rule for flag in now.flags],
        "shadow": [f"{rule} {action}" for rule, action in now.shadow],
    }
    before: dict[str, Json] = {
        "action": was.get("action"),
        "code": was.get("code"),
        "rules": list(was.get("rules") or ()),
        "flags": [flag.get("rule") for flag in was.get("flags") or ()],
        "shadow": [f"{shadow.get('rule')} {shadow.get('action')}" for shadow in was.get("shadow") or ()],
    }
    for name, value in said.items():
        known = before[name]
        if isinstance(known, list) and isinstance(value, list) and f"{name}_n" in was:
            value = value[: len(known)]
        if value != known:
            yield Difference(name, known, value)


def _replay(arguments: argparse.Namespace) -> int:
    from gateway.explain import recorded

    if arguments.config is None:
        arguments.config = Path("gatehouse.yaml")
        known_from = None if arguments.dir else arguments.config
    else:
        known_from = arguments.config
    directory = location_of(arguments).directory
    found = recorded(directory, arguments.what)
    if not found:
        print(
            f"gatehouse audit: no decision has the number or request id `{printable(arguments.what)}`", file=sys.stderr
        )
        return NOT_REPLAYED
    policies = _policies(arguments, directory, known_from)
    return max(_one(record, policies, arguments.json) for record in found)


_Policies: TypeAlias = "Callable[[Mapping[str, Any]], Policy | None]"


def _policies(arguments: argparse.Namespace, directory: Path, config: Path | None) -> _Policies:
    """Finds the policy of a record, each loaded once."""
    from gateway.policy_files import check_file, known_guards

    known = known_guards(config, sys.stderr)
    if known is None:
        raise UsageError("the guards of the configuration cannot be read")
    loaded: dict[Path, Policy] = {}

    def of(record: Mapping[str, Any]) -> Policy | None:
        cited = str(record.get("policy", {}).get("src_digest"))
        file = arguments.policy or copy_of(arguments.policies or directory.parent / DIRECTORY, cited)
        if file is None:
            return None
        if file not in loaded:
            checked = check_file(file, known)
            if checked.policy is None:
                raise UsageError(f"the policy cannot be loaded: {checked.as_text()}")
            loaded[file] = checked.policy
        return loaded[file]

    return of


def _one(one: Recorded, policies: _Policies, is_json: bool) -> int:
    """Replay and print one decision; the exit status it asks for."""
    from gateway.explain_report import as_json, as_text
    from gateway.replay import NotReplayable

    record, policy = one.record, policies(one.record)
    head: dict[str, Json] = {"seq": record.get("seq"), "type": record.get("type"), "req": record.get("req")}
    words = f"record {record.get('seq')}, {record.get('type')}, request {record.get('req')}"
    if policy is None:
        digest = record.get("policy", {}).get("src_digest")
        why = f"no copy of the policy {digest} is kept: name it with `--policy`"
        return _say(head | {"not_replayed": why}, f"{words}\nnot replayed: {why}", is_json, NOT_REPLAYED)
    cited = record.get("policy", {}).get("compiled_digest") == policy.digest
    head["policy"] = {"name": policy.name, "version": policy.version, "is_the_one_cited": cited}
    words += f"\npolicy {policy.name} {policy.version}, {'the one cited' if cited else 'NOT the one cited'}"
    try:
        explained = one.explained(policy)
    except NotReplayable as exc:
        return _say(head | {"not_replayed": str(exc)}, f"{words}\nnot replayed, because {exc}", is_json, NOT_REPLAYED)
    found = list(differences(record.get("decision", {}), explained.decision))
    head["same"] = not found
    head["differences"] = [{"what": one.what, "was": one.was, "now": one.now} for one in found]
    words += "\nsame as recorded" if not found else "\nDIFFERENT from what is recorded"
    words += "".join(f"\n  {one.what}: recorded {_shown(one.was)}, now {_shown(one.now)}" for one in found)
    text = f"{words}\n\n{as_text(explained)}"
    return _say(head | as_json(explained), text, is_json, DIFFERENT if found else SAME)


def _shown(value: Json) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _say(report: dict[str, Json], words: str, is_json: bool, status: int) -> int:
    print(dumps(report).decode() if is_json else "\n".join(map(printable, words.split("\n"))))
    return status
