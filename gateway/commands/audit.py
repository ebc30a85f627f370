"""`gatehouse audit tail | show | verify`, and where the other commands of the log are added. All are read-only.

These commands take no lock and change nothing, so they run beside a gateway that writes, and on a copy of the log
elsewhere. `verify` takes its trust from the file named on the command line or in the configuration, never from the
log. What they print is what the records hold: codes, numbers and digests, no prompt or answer text.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from gateway.audit.errors import RecordError
from gateway.audit.packed import open_stored, stored_size
from gateway.audit.record import parse_line
from gateway.audit.report import NOT_CHECKED, Exit, Report
from gateway.audit.segments import LONGEST, Segment, claimed_end, list_segments, raw_lines
from gateway.audit.verify import load_trust, verify
from gateway.audit_evidence_options import add_evidence_options, given_evidence
from gateway.audit_lines import print_line
from gateway.audit_location import CONFIG_HELP, Locate, guarded, location_of
from gateway.commands.audit_adopt import add_adopt_command
from gateway.commands.audit_anchor import add_anchor_command
from gateway.commands.audit_compress import add_compress_command
from gateway.commands.audit_controls import add_controls
from gateway.commands.audit_export import add_export
from gateway.commands.audit_key import add_key_commands
from gateway.commands.audit_proof import add_proof_commands
from gateway.commands.audit_receipt import add_receipt_command
from gateway.commands.audit_replay import add_audit_replay
from gateway.commands.audit_restore import add_restore_command
from gateway.commands.audit_review import add_review
from gateway.commands.audit_search import add_search_commands
from gateway.commands.audit_tile import add_tile_commands
from gateway.commands.erasure import add_erasure_commands

_WORTH_PROCESSES = 32 * 1024 * 1024
"""Below this, starting processes takes longer than the verification."""
_VERIFY_HELP = """exit status:
  0  everything held
  1  everything held, some content was erased or pruned with authority
  2  a record, a link, a signature or a rule does not hold: altered or corrupt
  3  records are missing that were signed or handed out, or are others: rollback or fork
  4  the evidence is incomplete: a segment, a seal, a certificate, LOG, the checkpoints, or content is missing
  5  wrong usage, or the trust root is not that of this log

example: gatehouse audit verify --dir /var/lib/gatehouse/audit --trust /safe/site-one-audit.vkey --anchors /mnt/worm"""


def add_audit_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add `audit` to the command line. The chosen parser's default `run` takes the arguments and returns the status.

    `locate` reads a configuration file; it is only called if `--config` decides where the log is.
    """
    audit = subparsers.add_parser("audit", help="read and verify the audit log")
    commands = audit.add_subparsers(metavar="COMMAND", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    tail = commands.add_parser(
        "tail",
        help="print the newest records",
        description="Print the newest records, one line each. Changes nothing, takes no lock.",
        epilog="exit status: 0 printed, 5 the log could not be read\n\nexample: gatehouse audit tail -n 20 -f",
        formatter_class=raw,
    )
    tail.add_argument("-n", type=_count, default=10, metavar="N", help="how many (default: 10)")
    tail.add_argument("-f", "--follow", action="store_true", help="keep printing as records are written")
    show = commands.add_parser(
        "show",
        help="print one record, or all records of a request",
        description="Print one record by its number, or every record of a request by its id.",
        epilog="exit status: 0 printed, 2 there is no such record, 5 the log could not be read\n\n"
        "example: gatehouse audit show 4711",
        formatter_class=raw,
    )
    show.add_argument("what", metavar="SEQ|REQUEST-ID", help="number of a record, or id of a request")
    check = commands.add_parser(
        "verify",
        help="prove that the log is whole, or name the first entry that does not hold",
        description="Check every record, link and signature of a log against a public key kept elsewhere.",
        epilog=_VERIFY_HELP,
        formatter_class=raw,
    )
    check.add_argument("--trust", type=Path, metavar="FILE.vkey", help="the log's public key, from a safe place")
    check.add_argument("--jobs", type=_count, metavar="N", help="processes to use (default: by size of the log)")
    add_evidence_options(check)
    for parser, run in ((tail, _tail), (show, _show), (check, _verify)):
        parser.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
        parser.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.set_defaults(run=guarded(run), locate=locate)
    add_proof_commands(commands, locate)
    add_restore_command(commands, locate)
    add_receipt_command(commands, locate)
    add_tile_commands(commands, locate)
    add_key_commands(commands)
    add_adopt_command(commands)
    add_anchor_command(commands, locate)
    add_search_commands(commands, locate)
    add_erasure_commands(commands)
    add_export(commands, locate)
    add_audit_replay(commands, locate)
    add_controls(commands, locate)
    add_review(commands)
    add_compress_command(commands, locate)


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"`{text}` is not a positive number")
    return int(text)


def _verify(arguments: argparse.Namespace) -> int:
    location = location_of(arguments)
    size = sum(segment.path.stat().st_size for segment in list_segments(location.directory))
    jobs = arguments.jobs or (min(4, os.cpu_count() or 1) if size >= _WORTH_PROCESSES else 1)
    started = time.monotonic()
    report = verify(location.directory, load_trust(location.trust), jobs, given=given_evidence(arguments))
    if arguments.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        _print_report(report, time.monotonic() - started)
    return report.exit


def _print_report(report: Report, seconds: float) -> None:
    if report.finding is not None:
        print(f"DOES NOT HOLD  {report.finding}")
    print(f"{'ok  ' if report.finding is None else ''}{report.origin}: {report.statement}")
    if report.open_exchanges:
        shown = ", ".join(report.open_exchanges[:5])
        more = ", …" if len(report.open_exchanges) > 5 else ""
        print(f"note: {len(report.open_exchanges)} exchanges are open at the end: {shown}{more}")
    for note in report.notes:
        print(f"note: {note}")
    print(f"{report.checkpoints} checkpoints verified in {seconds:.2f} s; not checked: {NOT_CHECKED}")


def _tail(arguments: argparse.Namespace) -> int:
    directory = location_of(arguments).directory
    last: deque[bytes] = deque(maxlen=arguments.n)
    segments = list_segments(directory)
    # Where following begins is fixed before reading, so that no record falls between the two.
    end = stored_size(segments[-1].path) if segments else 0
    for first in range(len(segments) - 1, -1, -1):
        last.clear()
        last.extend(_lines(directory, segments[first:], end))
        if len(last) == arguments.n:
            break
    for line in last:
        print_line(line, arguments.json)
    if arguments.follow:
        _follow(directory, segments[-1] if segments else None, end, arguments.json)
    return 0


def _follow(directory: Path, segment: Segment | None, end: int, as_json: bool) -> None:
    """Print what is added, across segments, until interrupted."""
    offset = _line_start(segment, end) if segment is not None else 0
    try:
        while True:
            if segment is not None:
                for raw in raw_lines(segment.path, offset):
                    if not raw.endswith(b"\n"):
                        break
                    offset += len(raw)
                    print_line(raw[:-1], as_json)
            sys.stdout.flush()
            later = [found for found in list_segments(directory) if segment is None or found.first > segment.first]
            if later:
                segment, offset = later[0], 0
            else:
                time.sleep(0.2)
    except KeyboardInterrupt:
        return


def _line_start(segment: Segment, end: int) -> int:
    """Where the line begins that was unfinished at `end`, or `end` itself."""
    with open_stored(segment.path) as file:
        start = file.seek(max(0, end - LONGEST))
        return start + file.read(end - start).rfind(b"\n") + 1


def _show(arguments: argparse.Namespace) -> int:
    directory, what = location_of(arguments).directory, str(arguments.what)
    segments = list_segments(directory)
    if what.isascii() and what.isdigit():
        later = [index for index, segment in enumerate(segments) if segment.first <= int(what)]
        wanted, segments = f'"seq":{int(what)},', segments[later[-1] :][:1] if later else []
    else:
        wanted = json.dumps(what, ensure_ascii=False)
    found = 0
    for line in _lines(directory, segments):
        if wanted.encode() in line and _is_meant(line, what):
            found += 1
            print(line.decode() if arguments.json else json.dumps(parse_line(line), indent=2))
    if not found:
        print(f"gatehouse audit: no record has the number or request id `{what}`", file=sys.stderr)
        return Exit.ALTERED
    return 0


def _is_meant(line: bytes, what: str) -> bool:
    try:
        record = parse_line(line)
    except RecordError:
        return False
    return record.get("req") == what or str(record.get("seq")) == what


def _lines(directory: Path, segments: list[Segment], end: int | None = None) -> Iterator[bytes]:
    """Complete lines that count, in order; of the last segment those before `end`."""
    everything = list_segments(directory)
    for segment in segments:
        stop = claimed_end(segment, everything)
        if stop is None and segment is segments[-1]:
            stop = _line_start(segment, end) if end is not None else None
        for raw in raw_lines(segment.path, 0, stop):
            if raw.endswith(b"\n"):
                yield raw[:-1]
