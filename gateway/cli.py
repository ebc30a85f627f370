"""`gatehouse`: the command line. A command imports what it needs, and nothing of the others."""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import secrets
import signal
import sys
import traceback
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from gateway.audit_location import AuditLocation
    from gateway.config import Config
    from gateway.policy_source import Found

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

CANNOT_WORK = 2
CUT_OFF = 128 + signal.SIGPIPE
"""Nobody read the output to its end, so that no verdict may be taken from the status."""
CRASHED = os.EX_SOFTWARE
"""A bug of ours, or no memory: never 1, which Python says then and which is a verdict of many commands."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    given = sys.argv[1:] if argv is None else argv
    args = make_parser(given[0] if given else "").parse_args(given)
    return run(args.run, args)


def run(command: Callable[[argparse.Namespace], int], args: argparse.Namespace) -> int:
    """The status of a command, also of one that fails as it should not."""
    status = CUT_OFF
    try:
        status = command(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has seen enough. What is left would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    # Whatever it was, `audit verify` must not seem to have held but for erasures.
    except Exception:  # noqa: BLE001
        traceback.print_exc()
        status = CRASHED
    return status


def make_parser(command: str = "") -> argparse.ArgumentParser:
    """The command line as that command needs it; the whole of it for any other text."""
    parser = argparse.ArgumentParser(
        prog="gatehouse", description="A gateway that judges what goes into and comes out of a language model."
    )
    parser.add_argument("--version", action="version", version=f"gatehouse {version('gatehouse')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in [COMMANDS[command]] if command in COMMANDS else dict.fromkeys(COMMANDS.values()):
        add(commands)
    return parser


def quickstart() -> Path:
    """The configuration that `gatehouse serve` uses when none is named: starter guards, starter engine, demo key."""
    return Path(__file__).resolve().parent.parent / "deploy" / "gatehouse.quickstart.yaml"


def _locate(config_file: Path) -> AuditLocation:
    from gateway.audit.keys import trust_path
    from gateway.audit_location import AuditLocation
    from gateway.config import load_config

    config = load_config(config_file)
    trust = trust_path(config.key_dir / "audit.pem", config.origin)
    return AuditLocation(config.audit_dir, trust, config.origin, config.sinks)


def _add_serve(commands: Commands) -> None:
    serve = commands.add_parser(
        "serve",
        help="start the gateway",
        description="Start the gateway: the front, and a model host for what runs locally. Stops on SIGTERM or Ctrl-C; "
        "SIGHUP reloads the policy.",
        epilog="exit status: 0 stopped, 2 the configuration, the audit log or a model cannot be used",
    )
    serve.add_argument("--config", "-c", type=Path, default=quickstart(), help="default: the built-in quickstart")
    serve.add_argument("--state", type=Path, help="where to write audit log and keys; overrides `state` of the file")
    serve.set_defaults(run=_serve)


def _serve(args: argparse.Namespace) -> int:
    from gateway import logs
    from gateway.config import load_config
    from gateway.errors import ConfigError
    from gateway.supervisor import Supervisor
    from policies.errors import FileErrors

    logs.set_up("supervisor")
    try:
        config = load_config(args.config, args.state)
        found = _found(config)
        tested = [one.admitted.bundle.digest for one in found if one.admitted is not None]
        return asyncio.run(Supervisor(config, [one.policy for one in found], tested=tested).run())
    except FileErrors as exc:
        print(f"{exc}\n{exc.count} problem{'s' if exc.count != 1 else ''}; nothing was started", file=sys.stderr)
    except ConfigError as exc:
        print(f"gatehouse: {exc.code}: {exc.message}", file=sys.stderr)
    except OSError as exc:
        print(f"gatehouse: config_unreadable: `{exc.filename or args.config}`: {exc.strerror}", file=sys.stderr)
    return CANNOT_WORK


def _found(config: Config) -> list[Found]:
    """The policies to start with: the one for everybody first. Bundles are tested here, and not again by the front."""
    from gateway.bundles.errors import BundleError
    from gateway.errors import ConfigError
    from gateway.guard_settings import facts

    paths = (config.policy.path, *(one.settings.path for one in config.bindings))
    found: list[Found] = []
    for path, source in zip(paths, config.policy_sources(), strict=True):
        try:
            found.append(source.first(facts(config.guards)))
        except BundleError as exc:
            raise ConfigError(exc.code, f"`{path}`: {exc}") from exc
    return found


def _add_key(commands: Commands) -> None:
    key = commands.add_parser("key", help="make API keys")
    actions = key.add_subparsers(dest="action", required=True, metavar="ACTION")
    new = actions.add_parser(
        "new",
        help="make a new key",
        description="Print a new API key for a client and the digest for `keys` in the configuration. Stores nothing.",
    )
    new.set_defaults(run=_new_key)


def _new_key(_args: argparse.Namespace) -> int:
    key = f"gh_{secrets.token_urlsafe(32)}"
    print(f"key     {key}\nsha256  {hashlib.sha256(key.encode()).hexdigest()}")
    return 0


def _add_whoami(commands: Commands) -> None:
    from gateway.commands.whoami import add_whoami_command

    add_whoami_command(commands)


def _add_policy(commands: Commands) -> None:
    from gateway.commands.policy import add_policy_commands

    add_policy_commands(commands, _locate, quickstart)


def _add_audit(commands: Commands) -> None:
    from gateway.commands.audit import add_audit_commands

    add_audit_commands(commands, _locate)


def _add_content(commands: Commands) -> None:
    from gateway.commands.content import add_content_commands

    add_content_commands(commands)


def _add_approvals(commands: Commands) -> None:
    from gateway.commands.approval import add_approval_commands

    add_approval_commands(commands)


def _add_review(commands: Commands) -> None:
    from gateway.commands.review import add_review_commands

    add_review_commands(commands)


def _add_models(commands: Commands) -> None:
    from gateway.commands.models import add_models_commands

    add_models_commands(commands, quickstart)


def _add_size(commands: Commands) -> None:
    from gateway.commands.size import add_size_command

    add_size_command(commands)


def _add_witness(commands: Commands) -> None:
    from gateway.commands.witness import add_witness_command

    add_witness_command(commands)


def _add_evaluate(commands: Commands) -> None:
    from gateway.commands.evaluate import add_evaluate_commands

    add_evaluate_commands(commands, quickstart)


COMMANDS: dict[str, Callable[[Commands], None]] = {
    "serve": _add_serve,
    "key": _add_key,
    "whoami": _add_whoami,
    "policy": _add_policy,
    "audit": _add_audit,
    "content": _add_content,
    "approver-key": _add_approvals,
    "approve": _add_approvals,
    "review": _add_review,
    "models": _add_models,
    "size": _add_size,
    "witness": _add_witness,
    "eval": _add_evaluate,
    "calibrate": _add_evaluate,
}
"""Who adds which, in the order in which help shows them."""


if __name__ == "__main__":
    sys.exit(main())
