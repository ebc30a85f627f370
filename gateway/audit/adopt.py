"""Going on after a log that refuses to start: as a new log, under a new name, which says what it goes on from.

A log that was set back, altered or whose key was lost is never continued as if nothing were. Two people approve a
statement: which log, how much of it was found, how much was signed, and why. Then a new log is begun whose `LOG` names
the old one and its newest signed head, whose first record holds the statement's digest and the approvers, and beside
which statement and approvals lie in `adopt/`. The old directory is moved aside whole; nothing in it is changed.

A log that is not refused cannot be adopted: this is no way to shed a history.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from gateway.approval import Approvers, check
from gateway.audit.adopt_statement import FOLDER, Statement, parse_statement
from gateway.audit.birth import NAME, Adopts, named_origin, open_birth
from gateway.audit.checkpoints import newest_checkpoint
from gateway.audit.clock import Clock, SystemClock
from gateway.audit.epoch_keys import EpochKeys, KeyPlaces
from gateway.audit.epochs import EpochChain, load_chain
from gateway.audit.errors import AuditError, AuditUnavailable, EpochMissing, NoteError, RecordError
from gateway.audit.files import Files, make_directories, write_new_file
from gateway.audit.head_store import Head, HeadStore
from gateway.audit.keys import dashed, load_private, load_trust_file
from gateway.audit.merkle import EMPTY_ROOT, Tree, leaf_hash
from gateway.audit.note import Signer, VerifierKey, is_origin
from gateway.audit.origin import lock_log, open_origin
from gateway.audit.record import Json, parse_line
from gateway.audit.recover import NO_LEAF, examine
from gateway.audit.segments import claimed_end, list_segments, raw_lines
from gateway.audit.settings import AuditSettings
from gateway.audit.sinks.settings import SinksSettings
from gateway.audit.start import open_writer
from gateway.audit.writer import b64


def diagnose(settings: AuditSettings, files: Files, now_ns: int) -> tuple[AuditError, Head, Head]:
    """Why the log does not start, what of it was found, and what was signed. AuditError if nothing is wrong with it."""
    lock = lock_log(settings.directory, files)
    try:
        key = load_trust_file(settings.key_path, settings.origin)
        if key is None:
            told = f"there is no public key of `{settings.origin}` beside `{settings.key_path}`"
            raise AuditError("audit_key_missing", told)
        refusal = _refusal(settings, key, files, now_ns)
        if refusal is None:
            raise AuditError("audit_settings", f"the log `{settings.origin}` is not refused: it needs no adoption")
        return refusal, _found(settings.directory), _signed(settings, key)
    finally:
        files.close(lock)


def adopt(
    settings: AuditSettings, notes: Sequence[bytes], approvers: Approvers, files: Files, clock: Clock | None = None
) -> tuple[Statement, Path]:
    """Begin the new log in the place of the old. Gives what was approved, and where the old one is now.

    Raises AuditError, ApprovalError, or OSError. Until the last step the old log is where it was.
    """
    clock, directory = clock or SystemClock(), settings.directory
    text = notes[0].partition(b"\n\n")[0].decode(errors="replace") + "\n" if notes else ""
    names = check(text, notes, approvers)
    statement = parse_statement(text)
    fresh = directory.with_name(f"{directory.name}.adopting")
    if directory.exists() or not (fresh / FOLDER).is_dir():
        old = replace(settings, origin=statement.old)
        _, found, signed = diagnose(old, files, clock.wall_ns())
        if (found, signed) != (statement.found, statement.signed):
            raise AuditError("audit_settings", "the log is not any more what the statement says: approve a new one")
        _begin(replace(settings, origin=statement.new, directory=fresh), statement, names, notes, files, clock)
        aside = _aside(directory, statement.old)
        files.rename(directory, aside)
        files.sync_directory(directory.parent)
    else:
        # A crash came between the two renames.
        aside = directory.with_name(f"{directory.name}.adopted-{dashed(statement.old)}")
    files.rename(fresh, directory)
    files.sync_directory(directory.parent)
    return statement, aside


def _begin(
    settings: AuditSettings,
    statement: Statement,
    names: tuple[str, ...],
    notes: Sequence[bytes],
    files: Files,
    clock: Clock,
) -> None:
    if settings.directory.exists():
        # Left by a try that did not come to its end. Nothing counts in it.
        shutil.rmtree(settings.directory)
    version = {**settings.version, "id": statement.new} if "id" in settings.version else settings.version
    settings = replace(settings, head_store=None, sinks=SinksSettings(), reserve_bytes=0, version=version)
    signed = statement.signed if statement.signed.size else statement.found
    adopts = Adopts(statement.old, *signed)
    if not settings.key_path.exists():
        told = "bring the log key back for the adoption: it has to sign the new log's `LOG`"
        raise AuditError("audit_key_missing", f"`{settings.key_path}` is not there: {told}")
    origin = open_origin(settings.directory, settings.origin, settings.key_path, files, clock, adopts)
    try:
        writer = open_writer(settings, files, clock, origin, _record(statement, names))
        try:
            writer.seal_segment()
        finally:
            writer.close()
        folder = settings.directory / FOLDER
        make_directories(files, folder)
        write_new_file(files, folder / "statement", statement.text().encode())
        for number, note in enumerate(notes):
            write_new_file(files, folder / f"{number}.approval", note)
        files.sync_directory(folder)
    except AuditUnavailable as exc:
        raise AuditError("audit_dir_unwritable", f"the new log cannot be written: {exc.problem}") from exc
    finally:
        files.close(origin.lock)


def _record(statement: Statement, names: tuple[str, ...]) -> dict[str, Json]:
    said: dict[str, Json] = {
        "origin": statement.old,
        "found": statement.found.size,
        "signed": statement.signed.size,
        "root": b64(statement.signed.root),
        "statement": f"sha256:{sha256(statement.text().encode()).hexdigest()}",
        "approvers": list(names),
        "reason": statement.reason,
    }
    return {"type": "audit.adopt", "stage": "complete", "adopt": said}


def _aside(directory: Path, origin: str) -> Path:
    number, place = 0, directory.with_name(f"{directory.name}.adopted-{dashed(origin)}")
    while place.exists():
        number += 1
        place = directory.with_name(f"{directory.name}.adopted-{dashed(origin)}.{number}")
    return place


def _refusal(settings: AuditSettings, key: VerifierKey, files: Files, now_ns: int) -> AuditError | None:
    """What a start would say, without changing anything."""
    directory = settings.directory
    try:
        try:
            open_birth((directory / NAME).read_bytes(), key)
            chain = load_chain(directory, key)
        except NoteError as exc:
            return AuditError("audit_corrupt", str(exc))
        last = newest_checkpoint(directory, chain)
        expected = last.head if last is not None else None
        if settings.head_store is not None:
            with closing(HeadStore(settings.head_store, settings.origin)) as store:
                expected = store.expected(expected)
        if chain.version > 1:
            epoch, signed_ns = (last.epoch, last.head.time_ns) if last is not None else (0, 0)
            _require_keys(settings, chain, files, max(now_ns, signed_ns), epoch)
        examine(directory, expected, chain if chain.version > 1 else None)
    except AuditError as exc:
        return exc
    return None


def _require_keys(settings: AuditSettings, chain: EpochChain, files: Files, now_ns: int, epoch: int) -> None:
    """AuditError if a private key is gone that the chain cannot go on without."""
    signer = None
    if settings.key_path.exists():
        signer = Signer(settings.origin, load_private(settings.key_path))
    keys = EpochKeys(files, KeyPlaces(settings.directory, settings.key_path.parent, settings.origin), chain, signer)
    keys.begin_after(epoch)
    # Too few certificates are brought by `audit keys`; that takes no new log.
    with suppress(EpochMissing):
        keys.require_next(now_ns)
        keys.require_private(now_ns)


def _found(directory: Path) -> Head:
    """The longest run of records from the first on in which each follows from the one before."""
    tree, leaf = Tree(), NO_LEAF
    segments = list_segments(directory)
    for segment in segments:
        if segment.first != tree.size:
            break
        for raw in raw_lines(segment.path, 0, claimed_end(segment, segments)):
            if not raw.endswith(b"\n") or not _follows(raw[:-1], tree.size, leaf):
                return Head(tree.size, tree.root())
            leaf = leaf_hash(raw[:-1])
            tree.push(leaf)
    return Head(tree.size, tree.root())


def _follows(line: bytes, seq: int, leaf: bytes) -> bool:
    try:
        record = parse_line(line)
    except RecordError:
        return False
    return record.get("seq") == seq and record.get("prev") == b64(leaf)


def _signed(settings: AuditSettings, key: VerifierKey) -> Head:
    """The largest of the heads that hold, in the log and in the head store."""
    heads = [Head(0, EMPTY_ROOT)]
    with suppress(NoteError, AuditError, OSError):
        last = newest_checkpoint(settings.directory, load_chain(settings.directory, key))
        if last is not None:
            heads.append(Head(last.head.size, last.head.root))
    if settings.head_store is not None:
        with suppress(AuditError), closing(HeadStore(settings.head_store, settings.origin)) as store:
            heads += [store.stored] if store.stored is not None else []
    return max(heads, key=lambda head: head.size)


def origin_of(directory: Path, otherwise: str) -> str:
    """The name in the `LOG` of a directory; another one if it cannot be read."""
    with suppress(OSError):
        name = named_origin((directory / NAME).read_bytes())
        return name if is_origin(name) else otherwise
    return otherwise


def propose(settings: AuditSettings, new: str, reason: str, files: Files) -> tuple[AuditError, Statement]:
    """Why the log is refused, and the statement that would let it be adopted."""
    refusal, found, signed = diagnose(settings, files, time.time_ns())
    return refusal, Statement(settings.origin, new, found, signed, reason)
