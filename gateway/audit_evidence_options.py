"""What an auditor can bring to `gatehouse audit verify`, each of it from where nobody at the gateway can write.

Everything named has to be there and of its kind: evidence that was asked for and cannot be looked at is an error of
the caller (exit status 5), never a verification that quietly proves less.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from gateway.audit.cosignature import parse_witness_key
from gateway.audit.errors import TrustError
from gateway.audit.evidence import Given, OpensStamps
from gateway.audit.note import VerifierKey, parse_vkey
from gateway.audit_location import UsageError


def add_evidence_options(check: argparse.ArgumentParser) -> None:
    """Add them to the command."""
    check.add_argument(
        "--checkpoint",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a signed head that was kept; repeatable",
    )
    check.add_argument("--anchors", type=Path, metavar="DIR", help="directory of a file anchor, with the heads in it")
    check.add_argument(
        "--witness", type=Path, action="append", default=[], metavar="FILE", help="public key of a witness; repeatable"
    )
    check.add_argument(
        "--approver",
        action="append",
        default=[],
        metavar="NAME=VKEY|FILE",
        help="public key of somebody who approves adoptions, erasures, releases and policies, or a file with a line "
        "`NAME: VKEY` for each; repeatable",
    )
    check.add_argument(
        "--tsa-cert",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="PEM file of the root of a time stamp authority, and of certificates below it if tokens do not carry "
        "them; repeatable: every token in the log has to verify under one of them",
    )
    check.add_argument("--content", type=Path, metavar="DIR", help="compare the blobs of sealed content in it")
    check.add_argument("--receipts", type=Path, metavar="FILE", help="receipts that clients kept, one on each line")


def given_evidence(arguments: argparse.Namespace) -> Given:
    """Raises UsageError, TrustError or OSError for what cannot be used."""
    for path in (arguments.anchors, arguments.content):
        if path is not None and not path.is_dir():
            raise UsageError(f"`{path}` is not a directory")
    try:
        witnesses = tuple(parse_witness_key(path.read_text()) for path in arguments.witness)
    except UnicodeDecodeError as exc:
        raise UsageError("the key of a witness is not text") from exc
    return Given(
        tuple(arguments.checkpoint),
        arguments.anchors,
        witnesses,
        content=arguments.content,
        receipts=arguments.receipts,
        approvers=_approvers(arguments.approver),
        stamps=_authorities(arguments.tsa_cert),
    )


def _authorities(files: list[Path]) -> OpensStamps | None:
    if not files:
        return None
    if find_spec("rfc3161_client") is None:
        raise UsageError("`--tsa-cert` needs a package that is not installed: pip install 'gatehouse[timestamps]'")
    # Its package is an extra: who keeps no time stamps does not need it.
    from gateway.audit.stamps import Authorities

    return Authorities(files)


def _approvers(given: list[str]) -> dict[str, VerifierKey]:
    found: dict[str, VerifierKey] = {}
    for text in given:
        for key in [_approver(text)] if "+" in text else _in_file(Path(text)):
            if any((key.name == other.name) != (key.key == other.key) for other in found.values()):
                raise UsageError(f"approver `{key.name}` has two keys, or shares one with another: who is it?")
            found[key.name] = key
    return found


def _in_file(path: Path) -> Iterator[VerifierKey]:
    """As `gatehouse approver-key` prints them, and as a configuration lists them."""
    try:
        lines = path.read_text().splitlines()
    except UnicodeDecodeError as exc:
        raise UsageError(f"`{path}` is not text") from exc
    keys = [_approver(line) for line in lines if "+" in line and not line.lstrip().startswith("#")]
    if not keys:
        raise UsageError(f"`{path}` holds no public key of an approver")
    yield from keys


def _approver(text: str) -> VerifierKey:
    name, found, vkey = text.partition("=" if "=" in text.partition("+")[0] else ":")
    try:
        key = parse_vkey(vkey if found else text)
    except TrustError as exc:
        raise UsageError(f"the key of an approver: {exc}") from exc
    if found and name.strip() != key.name:
        raise UsageError(f"the key given for `{name.strip()[:40]}` is that of `{key.name}`")
    return key
