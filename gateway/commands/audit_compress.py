"""`gatehouse audit compress`: closed segments take a tenth of the room. What they prove stays as it is.

The gateway does the same by itself where `audit: {compress: …}` says so; this is for a log at rest, and for copies.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from gateway.audit.compress import compress_older
from gateway.audit.epochs import load_chain
from gateway.audit.errors import NoteError, ProofError, QueryError
from gateway.audit.files import OsFiles
from gateway.audit.search import moment
from gateway.audit.verify import load_trust
from gateway.audit_location import CONFIG_HELP, Locate, UsageError, guarded, location_of


def add_compress_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add it to `gatehouse audit`."""
    compress = commands.add_parser(
        "compress",
        help="compress closed segments of the log",
        description="Compress every segment but the newest whose seal holds over all of its bytes (Zstandard). The "
        "segment is removed after its compressed file was read back and compared with the seal; every command reads "
        "both. May run beside the gateway, and on a copy. A segment that is not what its seal says is left as it is.",
        epilog="exit status: 0 done, 2 a segment is not what its seal says, 5 wrong usage or a file that cannot be "
        "written\n\nexample: gatehouse audit compress --until 30d",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compress.add_argument(
        "--until", metavar="TIME", help="only what was sealed before: 2026-11-20, or 30d for so long ago"
    )
    compress.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
    compress.add_argument("--trust", type=Path, metavar="FILE.vkey", help="the log's public key")
    compress.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
    compress.set_defaults(run=guarded(_compress), locate=locate)


def _compress(arguments: argparse.Namespace) -> int:
    location = location_of(arguments)
    now_ns = time.time_ns()
    try:
        before_ns = moment(arguments.until, now_ns) if arguments.until else now_ns + 1
    except QueryError as exc:
        raise UsageError(f"`--until`: {exc}") from exc
    try:
        chain = load_chain(location.directory, load_trust(location.trust))
    except NoteError as exc:
        raise ProofError("log_does_not_hold", f"{exc}: run `gatehouse audit verify`") from exc
    done = before = after = bad = 0
    for packed in compress_older(location.directory, chain, before_ns, OsFiles()):
        if packed.problem:
            bad += 1
            print(f"seg/{packed.segment.path.name}: left as it is: {packed.problem}: run `gatehouse audit verify`")
            continue
        done, before, after = done + 1, before + packed.before, after + packed.after
    print(f"{location.directory}: {done} segments compressed, {before} bytes are {after} now")
    return 2 if bad else 0
