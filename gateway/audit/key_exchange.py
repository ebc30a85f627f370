"""Epoch keys whose certificates are made where the log key is kept: ask, sign elsewhere, bring back.

On the gateway's machine `request` makes private keys for coming epochs and a file that names their public halves and
times. Where the log key is, `sign` certifies exactly what that file says. Back on the machine `install` adds the
signature of each key's predecessor and puts the certificates into the log, beside a gateway that may be running. What
is brought back is checked like anything foreign: it has to fit the log, its key, and the private keys that are here.

A request that was altered on its way only gets certificates for keys that nobody here holds; `install` refuses them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.birth import NAME, Birth, open_birth
from gateway.audit.epoch_keys import KeyPlaces
from gateway.audit.epochs import Epoch, EpochChain, certificate_path, load_chain, open_certificate, parse_epoch
from gateway.audit.errors import AuditError, NoteError, TrustError
from gateway.audit.files import Files, make_directories, write_new_file
from gateway.audit.keys import create_private, load_private, load_trust_file, trust_path
from gateway.audit.note import Signer, VerifierKey, open_note, parse_vkey

REQUEST, ANSWER = "gatehouse-epoch-request/v1", "gatehouse-epoch-certificates/v1"
MOST_EPOCHS = 1000


@dataclass(frozen=True, slots=True)
class KeyRequest:
    """What is asked of the log key."""

    origin: str
    log_key: str
    """The key that the log names; empty for a log that is not begun yet."""
    created_ns: int
    """When that log is to have been begun."""
    epochs: tuple[Epoch, ...]

    def text(self) -> str:
        """As it is carried."""
        said = {"format": REQUEST, "origin": self.origin, "log_key": self.log_key, "created": str(self.created_ns)}
        return json.dumps(said | {"epochs": [epoch.text() for epoch in self.epochs]}, indent=1) + "\n"


def make_request(
    places: KeyPlaces, key_path: Path, files: Files, *, count: int, length_ns: int, now_ns: int
) -> KeyRequest:
    """Make private keys for the epochs that follow those of the log, and ask for certificates. Raises AuditError."""
    if key_path.exists():
        told = "certificates are made as they fall due; move the key to where it is kept first"
        raise AuditError("audit_key_unsafe", f"the log key `{key_path}` is on this machine: {told}")
    key = load_trust_file(key_path, places.origin)
    chain = _chain(places, key) if (places.directory / NAME).exists() and key is not None else None
    last = chain.epochs[-1] if chain is not None and chain.epochs else None
    number, begin = (last.number + 1, max(now_ns, last.until_ns)) if last is not None else (0, now_ns)
    epochs = []
    for index in range(count):
        signer = _private(places, number + index, files)
        start = begin + index * length_ns
        epochs.append(Epoch(number + index, start, start + length_ns, signer.verifier))
    return KeyRequest(places.origin, key.vkey if key is not None else "", now_ns, tuple(epochs))


def read_request(text: str) -> KeyRequest:
    """Raises AuditError for anything but a request."""
    said = _read(text, REQUEST)
    try:
        origin, epochs = str(said["origin"]), [str(epoch) for epoch in _list(said["epochs"])]
        read = tuple(parse_epoch(epoch, origin) for epoch in epochs)
        return KeyRequest(origin, str(said["log_key"]), int(str(said["created"])), read)
    except (KeyError, ValueError, NoteError) as exc:
        raise AuditError("audit_settings", f"the request cannot be read: {exc}") from exc


def sign_request(request: KeyRequest, log_key: Signer) -> str:
    """Certificates for what was asked, and `LOG` for a log that is not begun. Raises AuditError."""
    if request.log_key and request.log_key != log_key.verifier.vkey:
        told = f"this key is `{log_key.verifier.vkey}`, the log's is `{request.log_key}`"
        raise AuditError("audit_key_mismatch", told)
    answer: dict[str, object] = {"format": ANSWER, "vkey": log_key.verifier.vkey}
    if not request.log_key:
        answer["log"] = log_key.sign(Birth(2, log_key.verifier, request.created_ns).text()).decode()
    answer["certificates"] = [log_key.sign(epoch.text()).decode() for epoch in request.epochs]
    return json.dumps(answer, indent=1) + "\n"


def install(answer: str, places: KeyPlaces, key_path: Path, files: Files) -> list[Epoch]:
    """Put the certificates into the log; gives those that are new. Raises AuditError or OSError: the rest is not in."""
    said = _read(answer, ANSWER)
    try:
        key = parse_vkey(str(said["vkey"]))
        notes = [str(note).encode() for note in _list(said["certificates"])]
    except (KeyError, TrustError) as exc:
        raise AuditError("audit_settings", f"the certificates cannot be read: {exc}") from exc
    if key.name != places.origin:
        raise AuditError("audit_origin_mismatch", f"certificates of the log `{key.name}`, expected `{places.origin}`")
    trusted = load_trust_file(key_path, places.origin)
    if trusted is not None and trusted != key:
        raise AuditError("audit_key_mismatch", f"certificates of `{key.vkey}`, the log's key is `{trusted.vkey}`")
    if "log" in said:
        _begin(str(said["log"]).encode(), places, key, key_path, files)
    return _add(notes, places, _chain(places, key), files)


def _begin(note: bytes, places: KeyPlaces, key: VerifierKey, key_path: Path, files: Files) -> None:
    """Begin a log under a key that is not here, unless it is begun."""
    with suppress(FileNotFoundError, NoteError):
        open_birth((places.directory / NAME).read_bytes(), key)
        return
    if any(places.directory.glob("seg/*.jsonl*")):
        raise AuditError("audit_corrupt", f"`{places.directory}` holds records, but no `{NAME}` by this key")
    try:
        open_birth(note, key)
    except NoteError as exc:
        raise AuditError("audit_corrupt", f"`{NAME}` among the certificates: {exc}") from exc
    make_directories(files, places.directory)
    make_directories(files, key_path.parent)
    trust = trust_path(key_path, places.origin)
    for path, data in ((trust, key.vkey.encode() + b"\n"), (places.directory / NAME, note)):
        write_new_file(files, path, data)
        files.sync_directory(path.parent)


def _add(notes: list[bytes], places: KeyPlaces, chain: EpochChain, files: Files) -> list[Epoch]:
    added: list[Epoch] = []
    before = chain.epochs[-1] if chain.epochs else None
    for note in notes:
        try:
            epoch = parse_epoch(open_note(note, chain.log_key), places.origin)
            if chain.epoch(epoch.number) is not None:
                continue
            if _private(places, epoch.number, None).verifier != epoch.key:
                raise NoteError(f"epoch {epoch.number}: the private key that is here is another one")
            if before is not None:
                note = _private(places, before.number, None).cosign(note)
            open_certificate(note, before.number + 1 if before is not None else 0, chain.log_key, before)
        except NoteError as exc:
            raise AuditError("audit_corrupt", f"a certificate does not fit this log: {exc}") from exc
        path = certificate_path(places.directory, epoch.number)
        make_directories(files, path.parent)
        write_new_file(files, path, note)
        files.sync_directory(path.parent)
        added.append(epoch)
        before = epoch
    return added


def _chain(places: KeyPlaces, key: VerifierKey) -> EpochChain:
    try:
        chain = load_chain(places.directory, key)
    except NoteError as exc:
        raise AuditError("audit_corrupt", f"`{places.directory}`: {exc}") from exc
    except FileNotFoundError:
        raise AuditError("audit_corrupt", f"`{places.directory}` is not an audit log: it has no `{NAME}`") from None
    if chain.version == 1:
        raise AuditError("audit_settings", "the log is of version 1: its heads are signed by the log key itself")
    return chain


def _private(places: KeyPlaces, number: int, files: Files | None) -> Signer:
    """The private key of an epoch; made if it is missing and there are files to make it with."""
    path = places.private(number)
    if files is not None and not path.exists():
        return Signer(places.origin, create_private(path, files))
    return Signer(places.origin, load_private(path))


def _read(text: str, form: str) -> Mapping[str, object]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or said.get("format") != form:
        raise AuditError("audit_settings", f"the file is not of the format `{form}`")
    return said


def _list(value: object) -> list[object]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_EPOCHS:
        raise ValueError(f"expected a list of 1 to {MOST_EPOCHS} epochs")
    return value
