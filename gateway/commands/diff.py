"""`gatehouse policy diff`: what differs between two policies in what they mean, and whether the second is weaker.

For reviewers and for CI. Both files have to load: a policy with problems means nothing that could be compared.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TextIO

from gateway.jsonstrict import Json, dumps
from gateway.policy_files import UNREADABLE, add_config, check_file, known_guards
from policies.changes import Change, Effect
from policies.diff import Difference, diff
from policies.model import Policy

SAME, DIFFERENT = 0, 1


def add_diff(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "diff",
        help="tell what differs between two policies, and whether the second is weaker",
        description="Compare what two policies mean: rules, scopes, thresholds, detectors, limits, streams. Each "
        "change is weaker,\nstronger or other; what cannot be shown to be harmless counts as weaker.",
        epilog="example: gatehouse policy diff --fail-on weaker in-force.yaml edited.yaml\n"
        "exit status: 0 no difference, 1 differences (with --fail-on weaker: weaker ones only), "
        "2 a file could not be read, or has problems",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("before", type=Path, metavar="A", help="the policy to compare with")
    parser.add_argument("after", type=Path, metavar="B", help="the policy as it would be")
    add_config(parser)
    parser.add_argument(
        "--fail-on", choices=("any", "weaker"), default="any", help="which changes exit status 1 stands for"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(run=run_diff)


def run_diff(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """The command. Reports on `out`, standard output by default."""
    stream = out or sys.stdout
    known = known_guards(args.config, sys.stderr)
    if known is None:
        return UNREADABLE
    policies: list[Policy] = []
    for file in (args.before, args.after):
        checked = check_file(file, known)
        if checked.policy is None:
            print(checked.as_text(), file=sys.stderr)
            return UNREADABLE
        policies.append(checked.policy)
    found = diff(*policies)
    print(dumps(_as_json(found, *policies)).decode() if args.json else _as_text(found, *policies), file=stream)
    counts = found.is_weaker if args.fail_on == "weaker" else bool(found.changes)
    return DIFFERENT if counts else SAME


def _as_text(found: Difference, before: Policy, after: Policy) -> str:
    if not found.changes:
        return f"no difference: {after.digest}"
    told = sorted(
        (one for one in found.changes if one.subject != "test"), key=lambda one: list(Effect).index(one.effect)
    )
    tests = Counter(change.aspect for change in found.changes if change.subject == "test")
    lines = [_line(change) for change in told]
    if tests:
        counts = ", ".join(f"{count} {aspect}" for aspect, count in sorted(tests.items()))
        lines.append(f"{Effect.OTHER!s:<9}tests: {counts}")
    counts = ", ".join(f"{found.count(effect)} {effect}" for effect in Effect)
    word = "is" if found.is_weaker else "is not"
    return "\n".join([*lines, f"{after.file} {word} weaker than {before.file}: {counts}"])


def _line(change: Change) -> str:
    what = change.subject if change.subject == "policy" else f"{change.subject} `{change.name}`"
    is_said = change.subject != "policy" and change.aspect in (change.subject, change.name)
    values = " -> ".join(filter(None, (change.before, change.after)))
    rules = f" ({', '.join(change.rules)})" if change.rules else ""
    return f"{change.effect!s:<9}{what}{'' if is_said else ' ' + change.aspect}: {values}; {change.reason}{rules}"


def _as_json(found: Difference, before: Policy, after: Policy) -> Json:
    return {
        "before": _identity(before),
        "after": _identity(after),
        "weaker": found.is_weaker,
        "changes": [_change(change) for change in found.changes],
    }


def _identity(policy: Policy) -> Json:
    return {"file": policy.file, "name": policy.name, "version": policy.version, "digest": policy.digest}


def _change(change: Change) -> Json:
    return {
        "subject": change.subject,
        "name": change.name,
        "aspect": change.aspect,
        "before": change.before,
        "after": change.after,
        "effect": str(change.effect),
        "reason": change.reason,
        "rules": list(change.rules),
    }
