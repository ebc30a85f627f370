"""What approvers sign: the name, number and life of a policy, and the digest of every file that belongs to it.

The text is the body of a C2SP signed note, so each approver adds one line and nobody signs anything twice. The counter
rises with every bundle: one that was replaced cannot come back by copying an old file. What is signed says all that is
in the bundle; a file that is not named here cannot be in it. It may say for which gateways and callers it is: what two
people found good enough for a playground is then not brought in force for a bank by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Final

from gateway.audit.note import is_origin
from gateway.bundles.errors import BundleError

FORMAT: Final = "gatehouse-policy-bundle/v1"
POLICY: Final = "policy.yaml"
EVERYBODY: Final = "-"
"""In the place of a binding's name: the policy for all callers that no binding is for."""
OWN: Final = frozenset(("manifest", "signatures"))
"""Names in the archive that are the bundle's own."""
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+-]{0,31}")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,14}")
_BINDING: Final = re.compile(r"-|[a-z0-9][a-z0-9-]{0,39}")
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
    origins: tuple[str, ...] = ()
    """Of the gateways that it is for; none: of any."""
    bindings: tuple[str, ...] = ()
    """Entries of `policies`, or EVERYBODY, that it is for; none: any."""

    def __post_init__(self) -> None:
        for names, is_name in ((self.origins, is_origin), (self.bindings, is_binding)):
            if list(names) != sorted(set(names)) or not all(map(is_name, names)):
                raise _malformed()
        paths = [file.path for file in self.files]
        if POLICY not in paths or len(set(paths)) != len(paths) or OWN & set(paths):
            raise BundleError("bundle_malformed", f"the bundle has no `{POLICY}`, or a file twice")
        if list(self.files) != sorted(self.files):
            raise BundleError("bundle_malformed", "the files of the bundle are not in order")

    def text(self) -> str:
        """The body of the note."""
        expires = "never" if self.expires_s is None else str(self.expires_s)
        head = [FORMAT, self.name, f"version {self.version}", f"counter {self.counter}", f"created {self.created_s}"]
        only = [f"origin {name}" for name in self.origins] + [f"binding {name}" for name in self.bindings]
        files = [f"file {file.sha256} {file.size} {file.path}" for file in self.files]
        return "\n".join([*head, f"expires {expires}", *only, f"policy {self.digest}", *files, ""])

    def check_place(self, origin: str, binding: str) -> None:
        """Raise BundleError unless it is for this gateway, and for this entry of `policies`; empty: for everybody."""
        for kind, here, wanted in (("gateway", origin, self.origins), ("binding", binding or EVERYBODY, self.bindings)):
            if wanted and here not in wanted:
                told = f"the bundle was signed for the {kind} {', '.join(f'`{name}`' for name in wanted)}, not `{here}`"
                raise BundleError("bundle_elsewhere", told)


def is_binding(name: str) -> bool:
    """Whether it can be that of an entry of `policies`, or stands for the policy for everybody."""
    return _BINDING.fullmatch(name) is not None


def parse_manifest(text: str) -> Manifest:
    """Read the body of a note. Raises BundleError unless it is spelled exactly as `text` would."""
    lines = text.split("\n")
    if len(lines) < 9 or lines[0] != FORMAT or not _NAME.fullmatch(lines[1]):
        raise _malformed()
    version, counter, created, expires = (_after(line, word) for line, word in zip(lines[2:6], _WORDS, strict=True))
    origins, rest = _taken(lines[6:], "origin")
    bindings, rest = _taken(rest, "binding")
    numbers = [counter, created, *([] if expires == "never" else [expires])]
    if not _VERSION.fullmatch(version) or not all(map(_NUMBER.fullmatch, numbers)):
        raise _malformed()
    manifest = Manifest(
        lines[1],
        version,
        int(counter),
        int(created),
        None if expires == "never" else int(expires),
        _after("".join(rest[:1]), "policy"),
        tuple(_file(line) for line in rest[1:-1]),
        origins,
        bindings,
    )
    if manifest.text() != text:
        raise _malformed()
    return manifest


_WORDS: Final = ("version", "counter", "created", "expires")


def _taken(lines: list[str], word: str) -> tuple[tuple[str, ...], list[str]]:
    """What stands behind this word in the lines that begin with it, and the lines after them."""
    found = list(takewhile(lambda line: line.startswith(f"{word} "), lines))
    return tuple(_after(line, word) for line in found), lines[len(found) :]


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
