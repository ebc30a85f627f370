"""`gatehouse audit restore`: a log directory made again from what a sink holds."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.audit.sinks.errors import RestoreError, SinkError
from gateway.audit.sinks.restore import restore
from gateway.audit.sinks.settings import DirectoryPlace, ObjectPlace, StreamPlace
from gateway.audit.sinks.stored import Copies
from gateway.audit_location import CONFIG_HELP, Locate, UsageError, guarded

_SHOWN = 5


def add_restore_command(commands: argparse._SubParsersAction[argparse.ArgumentParser], locate: Locate) -> None:
    """Add it to `gatehouse audit`."""
    restore = commands.add_parser(
        "restore",
        help="make a log directory again from a bucket or a stream",
        description="Fetch every object of this log from a sink of kind `s3`, or every message from one of kind `nats`,"
        " and write them as a log directory, which `gatehouse audit verify --dir` can judge. Of each object the oldest "
        "version counts.",
        epilog="exit status: 0 written, 5 there is no such sink, it cannot be read, or it does not hold a whole log\n\n"
        "example: gatehouse audit restore --from-sink worm --out /var/tmp/restored",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    restore.add_argument("--from-sink", required=True, metavar="NAME", help="its name in the configuration")
    restore.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write; must not be there yet")
    restore.add_argument("--config", type=Path, default=Path("gatehouse.yaml"), metavar="FILE", help=CONFIG_HELP)
    restore.set_defaults(run=guarded(_restore), locate=locate)


def _restore(arguments: argparse.Namespace) -> int:
    location = arguments.locate(arguments.config)
    places = {sink.name: sink.place for sink in location.sinks.sinks}
    place = places.get(arguments.from_sink)
    if place is None:
        known = ", ".join(f"`{name}`" for name in places) or "there is none"
        raise UsageError(f"no sink has the name `{arguments.from_sink}`; known: {known}")
    if isinstance(place, DirectoryPlace):
        raise UsageError(f"sink `{arguments.from_sink}` is a log directory already: gatehouse audit verify --dir")
    if not isinstance(place, (ObjectPlace, StreamPlace)):
        raise UsageError(f"sink `{arguments.from_sink}` is a collector, which cannot be read")
    try:
        with _opened(place, location.origin) as copies:
            restored, what = restore(copies, arguments.out), copies.described
    except FileExistsError as exc:
        raise UsageError(f"`{arguments.out}` is there already") from exc
    except (RestoreError, SinkError) as exc:
        raise UsageError(str(exc)) from exc
    print(f"{restored.records} records written to {arguments.out}")
    _print_names(f"were removed from {what}; where it has their first version, that was used", restored.removed)
    _print_names(f"were replaced in {what}; their first version was used", restored.replaced)
    print(f"now: gatehouse audit verify --dir {arguments.out} --trust {location.trust}")
    return 0


@contextmanager
def _opened(place: ObjectPlace | StreamPlace, origin: str) -> Iterator[Copies]:
    """Their clients are extras of the package: who keeps no such copy does not need them."""
    if isinstance(place, ObjectPlace):
        from gateway.audit.sinks.bucket import Bucket

        yield Bucket(place, origin)
        return
    from gateway.audit.sinks.stream import Stream

    stream = Stream(place)
    try:
        stream.open()
        yield stream
    finally:
        stream.close()


def _print_names(what: str, names: list[str]) -> None:
    if names:
        more = ", …" if len(names) > _SHOWN else ""
        print(f"note: {len(names)} objects {what}: {', '.join(names[:_SHOWN])}{more}")
