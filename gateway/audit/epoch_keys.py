"""The private side of epochs: who signs now, who signs next, and that a key whose time is over is gone.

A new epoch becomes durable step by step: its private key, its certificate, a record, the first head it signs; only then
the key before is overwritten and removed. A crash between any two of these is nothing special: the next start finds a
key without a certificate and uses it, a certificate without a record and writes it, an old key beside a head of the new
one and removes it. A certificate is on disk, with its name, before anything is signed under it.

Where the log key is on the machine, certificates are made as they fall due. Where it is not, they were brought
(key_exchange.py); when the last one has run out, nothing is signed, and the log stops some seconds later.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from gateway.audit.epochs import (
    OVERLAP_NS,
    Epoch,
    EpochChain,
    certificate_path,
    endless_chain,
    load_chain,
    open_certificate,
)
from gateway.audit.errors import AuditError, EpochMissing, NoteError
from gateway.audit.files import Files, make_directories, write_all, write_new_file
from gateway.audit.keys import create_private, dashed, load_private
from gateway.audit.note import Signer

DAY_NS = 86_400 * 10**9


class Signing(NamedTuple):
    """The key in use, and its time."""

    signer: Signer
    epoch: Epoch


class KeyPlaces(NamedTuple):
    """Where public and private halves lie."""

    directory: Path
    """Of the log."""
    keys: Path
    """Directory of the private keys."""
    origin: str

    def private(self, number: int) -> Path:
        """File of an epoch's private key."""
        return self.keys / "epochs" / f"{dashed(self.origin)}-{number:08d}.key"

    def privates(self) -> list[tuple[int, Path]]:
        """Private keys that are there, by number."""
        form = re.compile(rf"{re.escape(dashed(self.origin))}-([0-9]{{8}})\.key")
        folder = self.keys / "epochs"
        found = [(form.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
        return sorted((int(match[1]), path) for match, path in found if match)


class EpochKeys:
    """Signs for the log. Owned by the writer thread; `current` is replaced whole and may be read from any."""

    def __init__(
        self, files: Files, places: KeyPlaces, chain: EpochChain, log_signer: Signer | None, length_ns: int = DAY_NS
    ) -> None:
        self._files, self._places, self._log_signer, self._length_ns = files, places, log_signer, length_ns
        self.chain = chain
        self.current: Signing | None = None
        self._lowest = 0
        self._erased_below = 0

    @classmethod
    def endless(cls, files: Files, log_signer: Signer) -> EpochKeys:
        """For a log of version 1, whose heads the log key signs itself."""
        chain = endless_chain(log_signer.verifier)
        keys = cls(files, KeyPlaces(Path(), Path(), log_signer.verifier.name), chain, log_signer)
        keys.current = Signing(log_signer, chain.epochs[0])
        return keys

    @property
    def name(self) -> str:
        """The log's origin, which is the name of all its keys."""
        return self.chain.log_key.name

    @property
    def number(self) -> int:
        """Of the present epoch."""
        return self.current.epoch.number if self.current is not None else self._lowest

    def require(self, time_ns: int) -> Signer:
        """The present key, for a note of this time. EpochMissing when its time is over."""
        if self.current is None or not self.current.epoch.covers(time_ns):
            raise EpochMissing(f"the key of epoch {self.number} may not sign any more, and there is no other")
        return self.current.signer

    def can_sign(self, time_ns: int) -> bool:
        """Whether there is a key for a note of this time."""
        return self.current is not None and self.current.epoch.covers(time_ns)

    def is_due(self, time_ns: int) -> bool:
        """Whether another epoch should begin."""
        return self.current is None or time_ns >= self.current.epoch.until_ns

    def begin_after(self, epoch: int) -> None:
        """Heads up to this epoch were signed: no earlier key signs again."""
        self._lowest = max(self._lowest, epoch)

    def require_next(self, time_ns: int) -> None:
        """EpochMissing or AuditError if `prepare` has no way. Changes nothing."""
        if self._at(time_ns) is not None:
            return
        last = self.chain.epochs[-1] if self.chain.epochs else None
        if self._log_signer is None:
            told = "the log key is not on this machine; `gatehouse audit keys request` and `install` bring more"
            raise EpochMissing(f"no epoch key is valid now, the last one is {last.number if last else -1}: {told}")
        if last is not None and time_ns < last.until_ns - OVERLAP_NS:
            raise EpochMissing(f"epoch {last.number} begins at {last.from_ns}, which is later than now: see the clock")
        if last is not None:
            self._private(last)

    def require_private(self, time_ns: int) -> None:
        """AuditError if the private key of the epoch of that time is not usable. Changes nothing."""
        epoch = self._at(time_ns)
        if epoch is not None:
            self._private(epoch)

    def prepare(self, time_ns: int) -> Signing:
        """The epoch of that time, durable: one that has a certificate, or a new one. It is not in use yet.

        EpochMissing: there is none and none can be made. AuditError: a private key is not usable. OSError: the disk.
        """
        self._look_for_more()
        self.require_next(time_ns)
        epoch = self._at(time_ns) or self._issue(time_ns)
        # A name that was there already may not be durable: a crash, or an error, came between.
        self._files.sync_directory(certificate_path(self._places.directory, 0).parent)
        return Signing(self._private(epoch), epoch)

    def advance(self, time_ns: int) -> None:
        """Prepare the epoch of that time, and sign with it from now on."""
        self.current = self.prepare(time_ns)

    def erase_earlier(self) -> None:
        """Make private keys of earlier epochs unreadable, once the present one signed a head. OSError: try again."""
        if self.number <= self._erased_below:
            return
        for number, path in self._places.privates():
            if number < self.number:
                self._erase(path)
        self._erased_below = self.number

    def _erase(self, path: Path) -> None:
        size = path.stat().st_size
        descriptor = self._files.open(path, os.O_WRONLY)
        try:
            write_all(self._files, descriptor, bytes(size))
            self._files.datasync(descriptor)
        finally:
            self._files.close(descriptor)
        self._files.unlink(path)
        self._files.sync_directory(path.parent)

    def _look_for_more(self) -> None:
        """Certificates that were installed while we run count, too."""
        following = self.chain.epochs[-1].number + 1 if self.chain.epochs else 0
        if not certificate_path(self._places.directory, following).exists():
            return
        try:
            self.chain = load_chain(self._places.directory, self.chain.log_key)
        except NoteError as exc:
            raise EpochMissing(f"the epochs cannot be read: {exc}") from exc

    def _at(self, time_ns: int) -> Epoch | None:
        begun = [epoch for epoch in self.chain.epochs if epoch.from_ns <= time_ns and epoch.number >= self.number]
        return begun[-1] if begun and time_ns < begun[-1].until_ns else None

    def _issue(self, time_ns: int) -> Epoch:
        assert self._log_signer is not None  # require_next says so
        before = self.chain.epochs[-1] if self.chain.epochs else None
        number = before.number + 1 if before is not None else 0
        signer = self._fresh(number)
        epoch = Epoch(number, time_ns, time_ns + self._length_ns, signer.verifier)
        note = self._log_signer.sign(epoch.text())
        if before is not None:
            note = self._private(before).cosign(note)
        try:
            open_certificate(note, number, self.chain.log_key, before)
        except NoteError as exc:
            raise EpochMissing(f"epoch {number} cannot follow the one before: {exc}") from exc
        path = certificate_path(self._places.directory, number)
        make_directories(self._files, path.parent)
        write_new_file(self._files, path, note)
        self.chain = EpochChain(2, self.chain.log_key, (*self.chain.epochs, epoch))
        return epoch

    def _fresh(self, number: int) -> Signer:
        """The private key that was left by an unfinished try, or a new one. Its id is no other key's."""
        path = self._places.private(number)
        with suppress(AuditError):
            signer = Signer(self.name, load_private(path))
            if self._is_unused(signer):
                return signer
        while True:
            signer = Signer(self.name, create_private(path, self._files))
            if self._is_unused(signer):
                return signer

    def _is_unused(self, signer: Signer) -> bool:
        key_id = signer.verifier.key_id
        return self.chain.key_for(key_id) is None and key_id != self.chain.log_key.key_id

    def _private(self, epoch: Epoch) -> Signer:
        if self.current is not None and self.current.epoch == epoch:
            return self.current.signer
        path = self._places.private(epoch.number)
        signer = Signer(self.name, load_private(path))
        if signer.verifier != epoch.key:
            raise AuditError("audit_key_mismatch", f"`{path}` is not the key that the certificate of its epoch names")
        return signer
