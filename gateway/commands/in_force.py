"""`gatehouse policy active | activate | rollback | reload`: what is in force at the running gateway, and changes of it.

All of it is asked of the gateway, which decides, and records who asked. Nothing is judged here.
"""

from __future__ import annotations

import argparse
import math
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from gateway.admin.client import AdminError, add_client_options, client_of, guarded
from gateway.jsonstrict import dumps
from gateway.policy_files import OK

_PPM_OF_A_PERCENT: Final = 10_000
_TERMS: Final = ("by", "hours", "max_flips", "max_errors")


def add_in_force_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add them to `gatehouse policy`."""
    active = commands.add_parser(
        "active",
        help="show which policy is in force",
        description="Ask the running gateway which policy is in force, who signed it, what is on trial and what was "
        "before. A record.",
        epilog="exit status: 0 shown, 2 no gateway runs, or the key is not that of an operator with a fitting role",
    )
    back = commands.add_parser(
        "rollback",
        help="end a trial, or put the bundle that was in force before in force again",
        description="End the trial that runs. Without one, put an earlier bundle in force again. What was withdrawn "
        "does not come back by itself.",
        epilog="exit status: 0 done, 2 it is not, and why",
    )
    which = back.add_mutually_exclusive_group()
    which.add_argument("--to", metavar="DIGEST", help="an earlier one (default: the last); ends a trial, too")
    which.add_argument("--trial", action="store_true", help="end a trial, and do nothing if there is none")
    reload = commands.add_parser(
        "reload",
        help="have the running gateway read its policy file again",
        description="As SIGHUP does, but told what came of it.",
        epilog="exit status: 0 in force, 2 it is not, and why",
    )
    runs = ((active, _active), (_add_activate(commands), _activate), (back, _roll_back), (reload, _reload))
    for parser, run in runs:
        parser.add_argument(
            "--binding", metavar="NAME", help="of an entry of `policies` (default: the policy for everybody)"
        )
        add_client_options(parser)
        parser.set_defaults(run=guarded(run))


def _add_activate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        "activate",
        help="put a bundle in force at the running gateway, for all or on trial",
        description="Give the running gateway a bundle. It comes into force if enough approvers signed it and its "
        "policy loads and passes its tests there; else nothing changes. With `--trial` it decides a share of the "
        "exchanges first: too many flips or errors withdraw it, else it comes into force when the time is over.",
        epilog="exit status: 0 in force or on trial, 2 it is not, and why\n\n"
        "example: gatehouse policy activate clinic.bundle --trial 10% --hours 4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--trial", type=_percent, metavar="PERCENT", help="decide only so many, such as `10%%`")
    parser.add_argument("--by", choices=("tenant", "exchange"), help="percent of what (default: tenant)")
    parser.add_argument("--hours", type=_hours, metavar="N", help="how long, such as `0.5` (default: 2)")
    parser.add_argument(
        "--max-flips", type=_percent, metavar="PERCENT", help="of exchanges that may come out otherwise (default: 1%%)"
    )
    parser.add_argument(
        "--max-errors", type=_percent, metavar="PERCENT", help="of exchanges that may lack a verdict (default: 1%%)"
    )
    return parser


def _active(arguments: argparse.Namespace) -> int:
    asked = f"?binding={quote(arguments.binding)}" if arguments.binding else ""
    return _print(arguments, client_of(arguments).get(f"/admin/policy{asked}"))


def _activate(arguments: argparse.Namespace) -> int:
    terms = {name: value for name in _TERMS if (value := getattr(arguments, name)) is not None}
    if terms and arguments.trial is None:
        raise AdminError("no_trial", f"`--{next(iter(terms)).replace('_', '-')}` is for a trial; give `--trial`, too")
    body: dict[str, Any] = {"bundle": b64encode(arguments.bundle.read_bytes()).decode()}
    if arguments.trial is not None:
        body["trial"] = {"share": arguments.trial, **terms}
    return _print(arguments, _post(arguments, "activate", body))


def _roll_back(arguments: argparse.Namespace) -> int:
    wanted = ({"to": arguments.to} if arguments.to else {}) | ({"trial": True} if arguments.trial else {})
    return _print(arguments, _post(arguments, "rollback", wanted))


def _reload(arguments: argparse.Namespace) -> int:
    return _print(arguments, _post(arguments, "reload", {}))


def _post(arguments: argparse.Namespace, what: str, body: dict[str, Any]) -> dict[str, Any]:
    own = {"binding": arguments.binding} if arguments.binding else {}
    return client_of(arguments).post(f"/admin/policy/{what}", body | own)


def _print(arguments: argparse.Namespace, said: dict[str, Any]) -> int:
    if arguments.json:
        print(dumps(said).decode())
        return OK
    try:
        print("\n".join(_lines(said)))
    except (KeyError, TypeError, ValueError):
        raise AdminError("no_answer", "what answers is no gateway of this version") from None
    return OK


def _lines(said: dict[str, Any]) -> list[str]:
    lines = _one(f"in force for {said['binding']}" if "binding" in said else "in force", said)
    if "trial" in said:
        lines += _trial(said["trial"])
    lines += [f"before: {digest}" for digest in reversed(said.get("history", []))]
    return lines + [_bound_line(one) for one in said.get("bindings", [])]


def _bound_line(one: dict[str, Any]) -> str:
    whom = [f"{what} {', '.join(one[key])}" for what, key in (("tenant", "tenants"), ("app", "apps")) if one[key]]
    policy = one["policy"]
    return f"bound as {one['name']}: {policy['name']} {policy['version']}, for {' and '.join(whom)}"


def _one(title: str, said: dict[str, Any]) -> list[str]:
    policy, bundle = said["policy"], said.get("bundle")
    lines = [f"{title}: {policy['name']} {policy['version']}", f"  {policy['compiled_digest']}"]
    if bundle:
        weaker = ", weaker than the one before" if bundle["weaker"] else ""
        lines.append(f"bundle {bundle['counter']}, signed by {', '.join(bundle['signers'])}{weaker}")
        lines.append(f"  {bundle['digest']}")
        if "evals" in bundle:
            evals = bundle["evals"]
            left = f"; {evals['not_run']} not run, they need a model" if evals["not_run"] else ""
            lines.append(f"  evaluations that hold: {evals['held']}{left}")
    return lines


def _trial(trial: dict[str, Any]) -> list[str]:
    drawn = f" ({trial['tenants']} of {trial['tenants_of']})" if "tenants" in trial else ""
    until = datetime.fromtimestamp(int(trial["until"]) / 1e9, UTC)
    compared = trial["exchanges"] - trial["unknown"]
    kinds = [f"  {kind['was']} -> {kind['now']}: {kind['n']}" for kind in trial["flipped"]]
    return [
        *_one("on trial", trial),
        f"for {_shown(trial['share_ppm'])} of {trial['by']}s{drawn} until {until:%Y-%m-%d %H:%M:%S} UTC",
        f"{trial['exchanges']} exchanges, {compared} compared: {_bound(trial, 'flips', compared)}, "
        f"{_bound(trial, 'errors', trial['exchanges'])}",
        *kinds,
    ]


def _bound(trial: dict[str, Any], name: str, of: int) -> str:
    share = f" ({trial[name] / of:.2%})" if of else ""
    return f"{trial[name]} {name}{share} of at most {_shown(trial[f'max_{name}_ppm'])}"


def _shown(ppm: int) -> str:
    return f"{ppm / _PPM_OF_A_PERCENT:g}%"


def _percent(text: str) -> float:
    return _number(text.removesuffix("%"), 100, "a percentage from 0% to 100%") / 100


def _hours(text: str) -> float:
    return _number(text, 720, "hours, at most 720")


def _number(text: str, most: float, expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise argparse.ArgumentTypeError(f"expected {expected}")
    return value
