"""What approvers sign: the name, number and life of a policy, and the digest of every file that belongs to it.

The text is the body of a C2SP signed note, so each approver adds one line and nobody signs anything twice. The counter
rises with every bundle: one that was replaced cannot come back by copying an old file. What is signed says all that is
in the bundle; a file that is not named here cannot be in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from gateway.bundles.errors import BundleError

FORMAT: Final = "gatehouse-policy-bundle/v1"
POLICY: Final = "policy.yaml"
OWN: Final = frozenset(("manifest", "signatures"))
"""Names in the archive that are the bundle's own."""
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PATH: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. /-]{0,198}")


@dataclass(frozen=True, slots=True, order=True)
class BundledFile:
    """One file, by its path below the policy's folder."""

    path: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.path).parts
        if not _PATH.fullmatch(self.path) or ".." in parts or str(PurePosixPath(self.path)) != self.path:
            raise BundleError("bundle_malformed", "a file of the bundle has a path that leads elsewhere")
        if not _DIGEST.fullmatch(self.sha256) or self.size < 0:
            raise BundleError("bundle_malformed", "a file of the bundle has no digest")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A bundle's description, as it is signed."""

    name: str
    version: str
    counter: int
    created_s: int
    """Seconds since 1970."""
    expires_s: int | None
    """Seconds since 1970 from which on it is not put in force; None: never."""
    digest: str
    """Of the compiled policy, as records cite it."""
    files: tuple[BundledFile, ...]

    def __post_init__(self) -> None:
        paths = [file.path for file in self.files]
        if POLICY not in paths or len(set(paths)) != len(paths) or OWN & set(paths):
            raise BundleError("bundle_malformed", f"the bundle has no `{POLICY}`, or a file twice")
        if list(self.files) != sorted(self.files):
            raise BundleError("bundle_malformed", "the files of the bundle are not in order")

    def text(self) -> str:
        """The body of the note."""
        expires = "never" if self.expires_s is None else str(self.expires_s)
        head = [FORMAT, self.name, f"version {self.version}", f"counter {self.counter}", f"created {self.created_s}"]
        files = [f"file {file.sha256} {file.size} {file.path}" for file in self.files]
        return "\n".join([*head, f"expires {expires}", f"policy {self.digest}", *files, ""])


def parse_manifest(text: str) -> Manifest:
    """Read the body of a note. Raises BundleError unless it is spelled exactly as `text` would."""
    lines = text.split("\n")
    if len(lines) < 9 or lines[0] != FORMAT or not _NAME.fullmatch(lines[1]):
        raise _malformed()
    fields = [_after(line, word) for line, word in zip(lines[2:7], _WORDS, strict=True)]
    version, counter, created, expires, digest = fields
    numbers = [counter, created, *([] if expires == "never" else [expires])]
    if not _VERSION.fullmatch(version) or not all(map(_NUMBER.fullmatch, numbers)):
        raise _malformed()
    manifest = Manifest(
        lines[1],
        version,
        int(counter),
        int(created),
        None if expires == "never" else int(expires),
        digest,
        tuple(_file(line) for line in lines[7:-1]),
    )
    if manifest.text() != text:
        raise _malformed()
    return manifest


_WORDS: Final = ("version", "counter", "created", "expires", "policy")


def _file(line: str) -> BundledFile:
    digest, _, rest = _after(line, "file").partition(" ")
    size, _, path = rest.partition(" ")
    if not _NUMBER.fullmatch(size):
        raise _malformed()
    return BundledFile(path, int(size), digest)


def _after(line: str, word: str) -> str:
    found, _, value = line.partition(" ")
    if found != word:
        raise _malformed()
    return value


def _malformed() -> BundleError:
    return BundleError("bundle_malformed", f"the manifest is not of the format `{FORMAT}`")
