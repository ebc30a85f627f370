"""`gatehouse audit prove | check-proof`: one record, proved to somebody who may not see the others."""

from __future__ import annotations

import argparse
from pathlib import Path

from gateway.audit.errors import ProofError, RecordError
from gateway.audit.proof import check_proof, parse_proof, prove, stored_lines
from gateway.audit.record import parse_line
from gateway.audit.report import iso
from gateway.audit.verify import load_trust
from gateway.audit_location import CONFIG_HELP, Locate, UsageError, guarded, location_of

SUFFIX = ".tlog-proof"
_MOST = 64
"""Records that one call proves; a request has a handful."""


def add_proof_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add both to `gatehouse audit`."""
    raw = argparse.RawDescriptionHelpFormatter
    make = commands.add_parser(
        "prove",
        help="write the proof that a record, or every record of a request, is in the log",
        description="Write each record as record-N.json, its stored bytes, and beside it record-N.tlog-proof: the path "
        "from the record to the newest signed head, in the C2SP tlog-proof form. Reads the whole log, changes nothing.",
        epilog="exit status: 0 written, 2 there is no such record, it is not signed yet, or the log does not hold, "
        "5 wrong usage\n\nexample: gatehouse audit prove 4711 --out /tmp/for-the-auditor",
        formatter_class=raw,
    )
    make.add_argument("what", metavar="SEQ|REQUEST-ID", help="number of a record, or id of a request")
    make.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write (default: here)")
    make.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
    make.add_argument("--trust", type=Path, metavar="FILE.vkey", help="the log's public key")
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
    check.add_argument("--trust", type=Path, required=True, metavar="FILE.vkey", help="the log's public key")
    check.set_defaults(run=guarded(_check))


def _prove(arguments: argparse.Namespace) -> int:
    location = location_of(arguments)
    key = load_trust(location.trust)
    indexes = _indexes(location.directory, str(arguments.what))
    arguments.out.mkdir(parents=True, exist_ok=True)
    for line, proof in prove(location.directory, key, indexes):
        record = arguments.out / f"record-{proof.index}.json"
        record.write_bytes(line)
        record.with_suffix(SUFFIX).write_bytes(proof.text())
        print(f"{record}  {record.with_suffix(SUFFIX)}")
    return 0


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
    signed_ns = check_proof(arguments.record.read_bytes(), proof, key)
    print(f"ok  {key.name}: the record is number {proof.index} of the log, as signed at {iso(signed_ns)}")
    return 0
