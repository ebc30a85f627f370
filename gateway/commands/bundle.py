"""`gatehouse policy sign | cosign | bundle`: what people sign, before any gateway sees it.

Signing happens where the key is, on the author's or approver's own machine: it checks and tests the policy first, so
that nobody signs what would not load. What comes into force is decided by the gateway alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from gateway.audit.errors import AuditError
from gateway.audit.files import OsFiles, write_new_file
from gateway.audit.keys import load_private
from gateway.audit.note import Signer, is_origin
from gateway.bundles.bundle import Bundle, described, make_bundle, open_bundle
from gateway.bundles.errors import BundleError
from gateway.bundles.gather import gathered
from gateway.bundles.manifest import EVERYBODY, POLICY, Manifest, is_binding
from gateway.commands.approval import approver_name
from gateway.commands.in_force import add_in_force_commands
from gateway.config import load_config
from gateway.evaluate.errors import EvaluationError
from gateway.evaluate.rules import evaluated
from gateway.file_problem import file_problem
from gateway.policy_files import OK, PROBLEMS, UNREADABLE, add_config, check_file, known_guards
from gateway.rehearsal import failing
from policies.errors import FileErrors
from policies.model import Policy

_DAY_S = 86_400
_SIGN_STATUS = "exit status: 0 signed, 1 the policy has problems or a test fails, 2 a file cannot be used"


def add_bundle_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add them to `gatehouse policy`."""
    raw = argparse.RawDescriptionHelpFormatter
    sign = commands.add_parser(
        "sign",
        help="make a signed bundle of a policy",
        description="Check a policy, run its tests, and sign it with all that belongs to it.",
        epilog=f"{_SIGN_STATUS}\n\nexample: gatehouse policy sign clinic.yaml --counter 7 --key alice.key --name alice",
        formatter_class=raw,
    )
    sign.add_argument("file", type=Path, metavar="FILE", help="the policy file")
    sign.add_argument(
        "--counter", type=_number, required=True, metavar="N", help="number of the bundle, above that of the last one"
    )
    sign.add_argument("--days", type=_number, metavar="N", help="after so many days it no longer comes into force")
    sign.add_argument(
        "--origin", type=_origin, action="append", default=[], metavar="NAME", help="only for this gateway; repeatable"
    )
    sign.add_argument(
        "--binding",
        type=_binding,
        action="append",
        default=[],
        metavar="NAME",
        help=f"only for this entry of `policies`, `{EVERYBODY}` for the policy for everybody; repeatable",
    )
    sign.add_argument("--out", type=Path, metavar="FILE", help="default: the policy's name with `.bundle`")
    add_config(sign)
    _add_key(sign)
    sign.set_defaults(run=_told(_sign))
    cosign = commands.add_parser(
        "cosign",
        help="add your signature to a bundle",
        description="Print what a bundle is, and add your signature to it.",
        epilog="exit status: 0 signed, 2 a file cannot be used",
    )
    cosign.add_argument("bundle", type=Path, metavar="BUNDLE")
    _add_key(cosign)
    cosign.set_defaults(run=_told(_cosign))
    show = commands.add_parser(
        "bundle",
        help="show what a bundle holds and who signed it",
        description="Print a bundle's manifest; with `--config`, the approvers whose signatures hold. Its policy with "
        "`--policy`.",
        epilog="exit status: 0 shown, 2 a file cannot be used",
    )
    show.add_argument("bundle", type=Path, metavar="BUNDLE")
    show.add_argument("--policy", action="store_true", help="print the policy file instead")
    show.add_argument("--config", "-c", type=Path, metavar="FILE", help="gatehouse.yaml with the `approvers`")
    show.set_defaults(run=_told(_show))
    add_in_force_commands(commands)


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--key", type=Path, required=True, metavar="FILE", help="your private key")
    parser.add_argument("--name", type=approver_name, required=True, help="your name, as `approvers` lists it")


def _told(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    def told(arguments: argparse.Namespace) -> int:
        try:
            return run(arguments)
        except BundleError as exc:
            problem = f"{exc.code}: {exc}"
        except AuditError as exc:
            problem = str(exc)
        except (FileErrors, EvaluationError) as exc:
            problem = str(exc)
        except OSError as exc:
            problem = file_problem(exc)
        print(f"gatehouse policy: {problem}", file=sys.stderr)
        return UNREADABLE

    return told


def _sign(arguments: argparse.Namespace) -> int:
    known = known_guards(arguments.config, sys.stderr)
    if known is None:
        return UNREADABLE
    checked = check_file(arguments.file, known)
    if checked.policy is None:
        print(checked.as_text(), file=sys.stderr)
        return checked.status
    failed = failing(checked.policy)
    if failed:
        print(f"{arguments.file}: {len(failed)} tests fail; see `gatehouse policy test`", file=sys.stderr)
        return PROBLEMS
    outcomes, not_run = evaluated(checked.policy)
    if any(one.problems for one in outcomes):
        print(f"{arguments.file}: evaluations do not hold; see `gatehouse policy eval --no-models`", file=sys.stderr)
        return PROBLEMS
    if not_run:
        print(f"{arguments.file}: {not_run} evaluations need a model and were not run", file=sys.stderr)
    signer = Signer(arguments.name, load_private(arguments.key))
    out = arguments.out or arguments.file.with_suffix(".bundle")
    bundle = _bundled(arguments, checked.policy, signer)
    write_new_file(OsFiles(), out, bundle.data())
    print(f"{bundle.manifest.text()}\nsigned as {signer.verifier.name}: {out}\n{bundle.digest}")
    return OK


def _bundled(arguments: argparse.Namespace, policy: Policy, signer: Signer) -> Bundle:
    contents = gathered(arguments.file)
    now = int(time.time())
    expires = now + arguments.days * _DAY_S if arguments.days else None
    files = described(contents)
    only = (tuple(sorted(set(names))) for names in (arguments.origin, arguments.binding))
    manifest = Manifest(policy.name, policy.version, arguments.counter, now, expires, policy.digest, files, *only)
    return make_bundle(manifest, contents, signer)


def _cosign(arguments: argparse.Namespace) -> int:
    bundle = open_bundle(arguments.bundle.read_bytes())
    signer = Signer(arguments.name, load_private(arguments.key))
    print(bundle.manifest.text())
    write_new_file(OsFiles(), arguments.bundle, bundle.approved(signer).data())
    print(f"signed as {signer.verifier.name}: {arguments.bundle}\n{bundle.digest}")
    return OK


def _show(arguments: argparse.Namespace) -> int:
    bundle = open_bundle(arguments.bundle.read_bytes())
    if arguments.policy:
        sys.stdout.write(bundle.contents[POLICY].decode())
        return OK
    print(f"{bundle.manifest.text()}\n{bundle.digest}")
    if arguments.config:
        signers = bundle.signers(load_config(arguments.config).approvers.values())
        print(f"signed by {', '.join(signers) or 'no approver of this configuration'}")
    expires = bundle.manifest.expires_s
    if expires is not None:
        print(f"comes into force until {datetime.fromtimestamp(expires, UTC):%Y-%m-%d %H:%M} UTC")
    return OK


def _origin(text: str) -> str:
    if not is_origin(text):
        raise argparse.ArgumentTypeError("expected the `origin` of a gateway")
    return text


def _binding(text: str) -> str:
    if not is_binding(text):
        raise argparse.ArgumentTypeError(f"expected the name of an entry of `policies`, or `{EVERYBODY}`")
    return text


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) < 10**15:
        raise argparse.ArgumentTypeError("expected a number from 1 on")
    return int(text)
