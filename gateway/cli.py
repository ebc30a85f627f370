"""`gatehouse`: the command line. Parses arguments before it imports anything heavy."""

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

from gateway import logs
from gateway.admin.whoami_command import add_whoami_command
from gateway.approval_commands import add_approval_commands
from gateway.audit.keys import trust_path
from gateway.audit_commands import add_audit_commands
from gateway.audit_location import AuditLocation
from gateway.bundles.errors import BundleError
from gateway.config import Config, load_config
from gateway.content_commands import add_content_commands
from gateway.errors import ConfigError
from gateway.evaluate_commands import add_evaluate_commands
from gateway.guard_settings import facts
from gateway.models_commands import add_models_commands
from gateway.policy_commands import add_policy_commands
from gateway.policy_source import Found
from gateway.review_commands import add_review_commands
from gateway.size_command import add_size_command
from gateway.witness_command import add_witness_command
from policies.errors import FileErrors

CANNOT_WORK = 2
CUT_OFF = 128 + signal.SIGPIPE
"""Nobody read the output to its end, so that no verdict may be taken from the status."""
CRASHED = os.EX_SOFTWARE
"""A bug of ours, or no memory: never 1, which Python says then and which is a verdict of many commands."""


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit status."""
    args = make_parser().parse_args(argv)
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


def make_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = argparse.ArgumentParser(
        prog="gatehouse", description="A gateway that judges what goes into and comes out of a language model."
    )
    parser.add_argument("--version", action="version", version=f"gatehouse {version('gatehouse')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_serve(commands)
    _add_key(commands)
    add_whoami_command(commands)
    add_policy_commands(commands, _locate, quickstart)
    add_audit_commands(commands, _locate)
    add_content_commands(commands)
    add_approval_commands(commands)
    add_review_commands(commands)
    add_models_commands(commands, quickstart)
    add_size_command(commands)
    add_witness_command(commands)
    add_evaluate_commands(commands, quickstart)
    return parser


def quickstart() -> Path:
    """The configuration that `gatehouse serve` uses when none is named: starter guards, starter engine, demo key."""
    return Path(__file__).resolve().parent.parent / "deploy" / "gatehouse.quickstart.yaml"


def _locate(config_file: Path) -> AuditLocation:
    config = load_config(config_file)
    trust = trust_path(config.key_dir / "audit.pem", config.origin)
    return AuditLocation(config.audit_dir, trust, config.origin, config.sinks)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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
    from gateway.supervisor import Supervisor

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
    told = (config.approvers, config.state, (), config.origin)
    sources = [(config.policy.path, config.policy.source(*told))]
    sources += [(one.settings.path, one.source(*told)) for one in config.bindings]
    found: list[Found] = []
    for path, source in sources:
        try:
            found.append(source.first(facts(config.guards)))
        except BundleError as exc:
            raise ConfigError(exc.code, f"`{path}`: {exc}") from exc
    return found


def _add_key(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
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


if __name__ == "__main__":
    sys.exit(main())
