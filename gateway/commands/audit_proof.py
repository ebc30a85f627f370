"""`gatehouse audit prove | check-proof`: one record, proved to somebody who may not see the others.

What is written is a bundle: the records' stored bytes, a proof for each, the certificate of the key that signed the
head, the policies that decided as far as they are kept, and how to check it all without Gatehouse.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from gateway.audit.epochs import DIRECTORY as KEYS
from gateway.audit.errors import ProofError, RecordError
from gateway.audit.lookup import stored_lines
from gateway.audit.proof import SignedNote, chain_of, check_proof, newest_head, parse_proof, prove
from gateway.audit.record import parse_line
from gateway.audit.report import iso
from gateway.audit.verify import load_trust
from gateway.audit_location import CONFIG_HELP, Locate, UsageError, guarded, location_of
from gateway.policy_copies import DIRECTORY as POLICIES
from gateway.policy_copies import copy_of

SUFFIX = ".tlog-proof"
_MOST = 64
"""Records that one call proves; a request has a handful."""
_CERTIFICATE = re.compile(r"[0-9]{8}\.vkey")
_README = """What this is

Records of the audit log `{origin}`, each with the proof that it was in the log, under its number, when the log's head
over {size} records was signed at {time}. Nothing here says anything about other records.

  record-N.json        the record, byte for byte as it is stored
  record-N.tlog-proof  its path to the root of the tree and the signed head, in the C2SP tlog-proof form
{keys}{policies}
How to check it

You need two things that are not in here and must not come from whoever gave you this: the log's public key,
`{key}.vkey`, which you were given when the log was set up, and the two scripts verify.py and verify_proof.py of
Gatehouse's documentation, which need Python 3.11 and the package `cryptography`, and no Gatehouse:

  python verify_proof.py record-N.json record-N.tlog-proof {key}.vkey

With Gatehouse: gatehouse audit check-proof record-N.json --trust {key}.vkey
Exit status 0: proved. Every other status: not proved; the message says why.
The format is described in docs/audit-format.md, so that you can write your own check.
"""


def add_proof_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add both to `gatehouse audit`."""
    raw = argparse.RawDescriptionHelpFormatter
    make = commands.add_parser(
        "prove",
        help="write the proof that a record, or every record of a request, is in the log",
        description="Write a bundle: each record as record-N.json, its stored bytes, and beside it its proof as "
        "record-N.tlog-proof, the path to the newest signed head in the C2SP tlog-proof form; the certificate of the "
        "key that signed the head; the policy that decided, if a copy is kept; README.txt, which says how to check it. "
        "Reads a few kilobytes where the log has good tiles, the whole log otherwise. Changes nothing in the log.",
        epilog="exit status: 0 written, 2 there is no such record, it is not signed yet, or the log does not hold, "
        "5 wrong usage\n\nexample: gatehouse audit prove 4711 --out /tmp/for-the-auditor",
        formatter_class=raw,
    )
    make.add_argument("what", metavar="SEQ|REQUEST-ID", help="number of a record, or id of a request")
    make.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    make.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
    make.add_argument("--trust", type=Path, metavar="FILE.vkey", help="the log's public key")
    make.add_argument(
        "--policies", type=Path, metavar="DIR", help="copies of the policies (default: `policies` beside the log)"
    )
    make.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
    make.set_defaults(run=guarded(_prove), locate=locate)
    check = commands.add_parser(
        "check-proof",
        help="check a proof, without the log",
        description="Check that a record was in the log when its head was signed. Needs the record, the proof beside "
        "it and the log's public key; docs/verify_proof.py does the same without Gatehouse.",
        epilog="exit status: 0 proved, 2 not proved, 5 wrong usage or a file that cannot be read\n\n"
        "example: gatehouse audit check-proof record-4711.json --trust /safe/site-one-audit.vkey",
        formatter_class=raw,
    )
    check.add_argument("record", type=Path, metavar="RECORD.json", help="the record's stored bytes")
    check.add_argument("--proof", type=Path, metavar="FILE", help=f"default: the record's name with {SUFFIX}")
    check.add_argument("--keys", type=Path, metavar="DIR", help="certificates (default: `keys` beside the record)")
    check.add_argument("--trust", type=Path, required=True, metavar="FILE.vkey", help="the log's public key")
    check.set_defaults(run=guarded(_check))


def _prove(arguments: argparse.Namespace) -> int:
    location = location_of(arguments)
    signed = newest_head(location.directory, load_trust(location.trust))
    indexes = _indexes(location.directory, str(arguments.what))
    made = prove(location.directory, signed, indexes, _tell)
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    for line, proof in made:
        record = out / f"record-{proof.index}.json"
        record.write_bytes(line)
        record.with_suffix(SUFFIX).write_bytes(proof.text())
        print(f"{record}  {record.with_suffix(SUFFIX)}")
    if signed.certificate is not None:
        _put(out / KEYS / signed.certificate.name, signed.certificate.read_bytes())
    policies = _put_policies(
        out, arguments.policies or location.directory.parent / POLICIES, [line for line, _ in made]
    )
    _put(out / "README.txt", _readme(signed, policies).encode())
    return 0


def _tell(problem: str) -> None:
    print(f"note: {problem}; the whole log was read. `gatehouse audit tiles` makes this quick", file=sys.stderr)


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(path)


def _put_policies(out: Path, kept: Path, lines: list[bytes]) -> dict[str, bool]:
    """Copy what the records cite; each digest, and whether its policy was found."""
    found = {}
    for digest in sorted({digest for line in lines if (digest := _policy_of(line))}):
        source = copy_of(kept, digest)
        if source is not None:
            _put(out / POLICIES / source.name, source.read_bytes())
        found[digest] = source is not None
    return found


def _policy_of(line: bytes) -> str:
    policy = parse_line(line).get("policy")
    digest = policy.get("src_digest") if isinstance(policy, dict) else None
    return digest if isinstance(digest, str) else ""


def _readme(signed: SignedNote, policies: dict[str, bool]) -> str:
    keys = ""
    if signed.certificate is not None:
        keys = f"  keys/{signed.certificate.name}   the log key's certificate for the key that signed the head\n"
    told = "".join(
        f"  policies/            the policy the records cite as {digest}\n"
        if is_there
        else f"The records cite a policy of which no copy was found: {digest}\n"
        for digest, is_there in policies.items()
    )
    origin, head = signed.head.origin, signed.head
    return _README.format(
        origin=origin, size=head.size, time=iso(head.time_ns), keys=keys, policies=told, key=origin.replace("/", "-")
    )


def _indexes(directory: Path, what: str) -> list[int]:
    """The numbers meant: the one given, or those of the request's records."""
    if what.isascii() and what.isdigit() and len(what) <= 16:
        return [int(what)]
    quoted = f'"{what}"'.encode()
    found = [number for number, line in enumerate(stored_lines(directory)) if quoted in line and _is_of(line, what)]
    if not found:
        raise ProofError("no_such_record", f"no record has the request id `{what}`")
    if len(found) > _MOST:
        raise UsageError(f"request `{what}` has {len(found)} records, at most {_MOST} are proved at once: name one")
    return found


def _is_of(line: bytes, request: str) -> bool:
    try:
        return parse_line(line).get("req") == request
    except RecordError:
        return False


def _check(arguments: argparse.Namespace) -> int:
    key = load_trust(arguments.trust)
    proof = parse_proof((arguments.proof or arguments.record.with_suffix(SUFFIX)).read_bytes())
    chain = chain_of(key, _certificates(arguments.keys or arguments.record.parent / KEYS))
    signed_ns = check_proof(arguments.record.read_bytes(), proof, chain)
    print(f"ok  {key.name}: the record is number {proof.index} of the log, as signed at {iso(signed_ns)}")
    return 0


def _certificates(directory: Path) -> list[bytes]:
    if not directory.is_dir():
        return []
    return [path.read_bytes() for path in sorted(directory.iterdir()) if _CERTIFICATE.fullmatch(path.name)]
