"""From a locked directory to a writer: check the heads, mend the end, choose the key, and tell what was found.

Nothing is changed on disk before every check has passed. The first records of a start say what was found: bytes of an
unfinished write, exchanges that a crash cut off, a head store that was empty; then `gateway.start`, and a signed head.
"""

from __future__ import annotations

import os

from gateway.audit.checkpoints import CheckpointFiles, newest_checkpoint
from gateway.audit.clock import Clock
from gateway.audit.epoch_keys import EpochKeys, KeyPlaces
from gateway.audit.epochs import load_chain
from gateway.audit.errors import AuditError, NoteError
from gateway.audit.files import Files
from gateway.audit.head_store import HeadStore
from gateway.audit.note import Checkpoint
from gateway.audit.origin import Origin
from gateway.audit.record import Json
from gateway.audit.recover import Recovered, recover
from gateway.audit.settings import AuditSettings
from gateway.audit.store import Store
from gateway.audit.writer import BatchWriter, End

MAX_BATCH = 1000
"""Records that are made durable together at most."""


START: dict[str, Json] = {"type": "gateway.start", "stage": "complete"}


def open_writer(
    settings: AuditSettings, files: Files, clock: Clock, origin: Origin, first: dict[str, Json] = START
) -> BatchWriter:
    """Check and mend a locked log, and write what its start has to tell. The part of opening that has no thread.

    `first` stands in the place of `gateway.start` where it is not a gateway that opens the log.
    Raises AuditError, AuditUnavailable (EpochMissing: no key may sign) or OSError.
    """
    keys = _keys(settings, files, origin)
    last = newest_checkpoint(settings.directory, keys.chain)
    heads = HeadStore(settings.head_store, settings.origin) if settings.head_store is not None else None
    checkpoints = CheckpointFiles(files, settings.directory, keys, last, heads)
    store = Store(files, settings.directory, settings.segment_bytes)
    try:
        signed = last.head if last is not None else None
        expected = heads.expected(signed) if heads is not None else signed
        if keys.chain.version == 1:
            found = recover(settings.directory, expected, files)
        else:
            keys.begin_after(last.epoch if last is not None else 0)
            found = _recover_sealed(settings, expected, files, keys, checkpoints.time_ns(clock.wall_ns()))
        store.closed = found.unsealed
        if heads is not None and heads.stored is None:
            found.reports.append({"type": "audit.head_store", "stage": "complete", "head_store": {"state": "new"}})
        end = End(found.tree, found.leaf, found.wall_ns, found.epoch, found.opened)
        writer = BatchWriter(store, checkpoints, keys, clock, _constants(settings, clock), end)
        _tell(writer, [*found.reports, first])
    # Files that were opened for a writer that is not to be: closed whatever the reason, which goes on.
    except BaseException:
        store.close()
        checkpoints.close()
        raise
    return writer


def _keys(settings: AuditSettings, files: Files, origin: Origin) -> EpochKeys:
    if origin.birth.version == 1:
        assert origin.signer is not None  # open_origin refuses a log of version 1 without its key
        return EpochKeys.endless(files, origin.signer)
    try:
        chain = load_chain(settings.directory, origin.birth.key)
    except NoteError as exc:
        raise AuditError("audit_corrupt", str(exc)) from exc
    places = KeyPlaces(settings.directory, settings.key_path.parent, settings.origin)
    return EpochKeys(files, places, chain, origin.signer, round(settings.epoch_s * 10**9))


def _recover_sealed(
    settings: AuditSettings, expected: Checkpoint | None, files: Files, keys: EpochKeys, time_ns: int
) -> Recovered:
    """Recover a log with epochs, then take up the key of this time. Whether there can be one is asked before."""
    keys.require_next(time_ns)
    found = recover(settings.directory, expected, files, keys.chain, settings.read_whole)
    keys.begin_after(found.epoch)
    keys.advance(time_ns)
    return found


def _constants(settings: AuditSettings, clock: Clock) -> dict[str, Json]:
    instance: dict[str, Json] = {"pid": os.getpid(), **settings.version}
    return {"origin": settings.origin, "boot": clock.new_boot(), "inst": instance}


def _tell(writer: BatchWriter, reports: list[dict[str, Json]]) -> None:
    for start in range(0, len(reports), MAX_BATCH):
        writer.write(reports[start : start + MAX_BATCH])
    writer.sign_head()
