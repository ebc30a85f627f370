"""`gatehouse audit tiles`: the log's hashes as C2SP tiles, for quick proofs and for tools that are not ours."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from gateway.audit.epochs import DIRECTORY as KEYS
from gateway.audit.errors import ProofError, TileError
from gateway.audit.lookup import stored_lines
from gateway.audit.proof import newest_head
from gateway.audit.tile_cache import rebuild
from gateway.audit.tiles import DIRECTORY, WIDTH, DiskTiles, put_file, tile_name
from gateway.audit.verify import load_trust
from gateway.audit_location import CONFIG_HELP, Locate, UsageError, guarded, location_of


def add_tile_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add it to `gatehouse audit`."""
    tiles = commands.add_parser(
        "tiles",
        help="make the log's hash tiles again from its records, or publish a static copy",
        description="Read every record up to the newest signed head and write the tiles of the tree (C2SP tlog-tiles). "
        "Without --out into the log's own cache, where tiles that are wrong or torn are replaced; the running gateway "
        "keeps that cache up to date by itself. With --out as a static copy with `checkpoint`, which tools that know "
        "C2SP can read; with --entries the records, too. A copy shows whoever has it what the records hold.",
        epilog="exit status: 0 written, 2 the log does not hold, 5 wrong usage or a file that cannot be written\n\n"
        "example: gatehouse audit tiles --out /srv/www/audit --entries",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tiles.add_argument("--out", type=Path, metavar="DIR", help="write a static copy here instead")
    tiles.add_argument("--entries", action="store_true", help="with --out: the records in tile/entries/")
    tiles.add_argument("--dir", type=Path, metavar="DIR", help="directory of the log")
    tiles.add_argument("--trust", type=Path, metavar="FILE.vkey", help="the log's public key")
    tiles.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
    tiles.set_defaults(run=guarded(_tiles), locate=locate)


def _tiles(arguments: argparse.Namespace) -> int:
    if arguments.entries and arguments.out is None:
        raise UsageError("`--entries` needs `--out`: the log's own cache holds hashes only")
    location = location_of(arguments)
    signed = newest_head(location.directory, load_trust(location.trust))
    size, out = signed.head.size, arguments.out
    if out is not None and (out / "seg").exists():
        raise UsageError(f"`{out}` is a log, expected a directory for the copy")
    store = DiskTiles(out / DIRECTORY, keep_partial=True) if out is not None else None
    try:
        written = rebuild(location.directory, size, signed.head.root, lambda: None, store)
    except (TileError, LookupError) as exc:
        raise ProofError("log_does_not_hold", f"{exc}: run `gatehouse audit verify`") from exc
    if out is None:
        print(f"{location.directory / DIRECTORY}: {size} records, {written} full tiles were missing or wrong")
        return 0
    if arguments.entries:
        for index, bundle in enumerate(_bundles(location.directory, size)):
            width = min(WIDTH, size - index * WIDTH)
            put_file(out / DIRECTORY / tile_name("entries", index, width), bundle)
    if signed.certificate is not None:
        put_file(out / KEYS / signed.certificate.name, signed.certificate.read_bytes())
    # Last, so that no reader is sent to a tile that is not there yet.
    put_file(out / "checkpoint", signed.note)
    print(f"{out}: {size} records, {written} full tiles written")
    return 0


def _bundles(directory: Path, size: int) -> Iterator[bytes]:
    """The entry bundles: each record with its length in two bytes before it, 256 together."""
    lines = islice(stored_lines(directory), size)
    while piece := list(islice(lines, WIDTH)):
        yield b"".join(len(line).to_bytes(2, "big") + line for line in piece)
