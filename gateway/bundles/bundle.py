"""A bundle as one file: a tar of the manifest, the signatures, and exactly the files that the manifest names.

The archive is read in memory and never unpacked by the tar library, whose members could be links or lie elsewhere. It
has one spelling: what is read is written again and compared, so nothing can hide in headers, order or at the end.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.audit.errors import NoteError
from gateway.audit.note import Signer, VerifierKey, open_note
from gateway.bundles.errors import BundleError
from gateway.bundles.manifest import BundledFile, Manifest, parse_manifest

MAX_BYTES: Final = 64 * 1024 * 1024
MAX_FILES: Final = 100
_MANIFEST, _SIGNATURES = "manifest", "signatures"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What a bundle holds. That the files are those of the manifest was checked; who signed it was not."""

    manifest: Manifest
    signatures: bytes
    """Signature lines of the note whose text the manifest is."""
    contents: Mapping[str, bytes] = field(repr=False)

    @property
    def digest(self) -> str:
        """Names the bundle: SHA-256 of what is signed, whoever signed it."""
        return "sha256:" + hashlib.sha256(self.manifest.text().encode()).hexdigest()

    def signers(self, approvers: Iterable[VerifierKey]) -> tuple[str, ...]:
        """The approvers whose signatures hold, by name. One who signed something else is none of them."""
        return tuple(sorted({key.name for key in approvers if self._is_signed_by(key)}))

    def _is_signed_by(self, key: VerifierKey) -> bool:
        try:
            open_note(self.manifest.text().encode() + b"\n" + self.signatures, key)
        except NoteError:
            return False
        return True

    def approved(self, signer: Signer) -> Bundle:
        """The same with one more signature."""
        return Bundle(self.manifest, self.signatures + _signature(self.manifest, signer), self.contents)

    def data(self) -> bytes:
        """The file."""
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            own = {_MANIFEST: self.manifest.text().encode(), _SIGNATURES: self.signatures}
            for name, content in {**own, **self.contents}.items():
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), 0o644
                archive.addfile(member, io.BytesIO(content))
        return out.getvalue()


def described(contents: Mapping[str, bytes]) -> tuple[BundledFile, ...]:
    """The files as a manifest names them, in its order."""
    return tuple(
        sorted(BundledFile(path, len(data), hashlib.sha256(data).hexdigest()) for path, data in contents.items())
    )


def make_bundle(manifest: Manifest, contents: Mapping[str, bytes], signer: Signer) -> Bundle:
    """A bundle with its first signature."""
    ordered = {file.path: contents[file.path] for file in manifest.files}
    return Bundle(manifest, _signature(manifest, signer), ordered)


def _signature(manifest: Manifest, signer: Signer) -> bytes:
    return signer.sign(manifest.text()).removeprefix(manifest.text().encode() + b"\n")


def open_bundle(data: bytes) -> Bundle:
    """Read a file. Raises BundleError; what it gives back holds together, but is not yet trusted."""
    if len(data) > MAX_BYTES:
        raise BundleError("bundle_malformed", f"the bundle has more than {MAX_BYTES} bytes")
    members = _members(data)
    text, signatures = members.pop(_MANIFEST, b""), members.pop(_SIGNATURES, b"")
    try:
        bundle = Bundle(parse_manifest(text.decode()), signatures, members)
    except UnicodeDecodeError:
        raise BundleError("bundle_malformed", "the manifest is not UTF-8") from None
    if described(members) != bundle.manifest.files:
        raise BundleError("bundle_malformed", "the files of the bundle are not those that its manifest names")
    if bundle.data() != data:
        raise BundleError("bundle_malformed", "the archive holds more than the files of the bundle")
    return bundle


def _members(data: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            for member in archive:
                if not member.isreg() or member.name in found or len(found) > MAX_FILES:
                    raise BundleError("bundle_malformed", "the bundle holds something that is not one file once")
                content = archive.extractfile(member)
                found[member.name] = content.read() if content is not None else b""
    except (tarfile.TarError, OSError, ValueError) as exc:
        raise BundleError("bundle_malformed", "the bundle is not a whole tar archive") from exc
    return found
