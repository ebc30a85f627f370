"""Files beside a policy, pinned by digest: `FILE@sha256:…` means these bytes and no others.

A path stays inside the policy's folder. What a record cites is the digest of the policy, in which the pin stands.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

MAX_BYTES: Final = 16 * 1024 * 1024
FORM: Final = r"[^\x00-\x1f\\@]{1,200}@sha256:[0-9a-f]{64}"
EXPECTED: Final = "`FILE@sha256:` and 64 hex digits, as `sha256sum FILE` shows them"


class PinError(Exception):
    """The file is not there, or is another. The message says which, for the author."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A file below the policy's folder, and what it has to be."""

    path: str
    sha256: str

    @property
    def digest(self) -> str:
        return f"sha256:{self.sha256}"

    def read(self, folder: Path) -> bytes:
        """The bytes that are pinned. Raises PinError."""
        try:
            with (folder / self.path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except OSError as exc:
            raise PinError(f"the file cannot be read: {exc.strerror}") from exc
        if len(data) > MAX_BYTES:
            raise PinError(f"the file has more than {MAX_BYTES} bytes")
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            raise PinError(f"the file is not the one that is pinned, it is `sha256:{digest}`")
        return data


def pin_of(text: object) -> Pin:
    """Raises PinError for what is no pin, or leads elsewhere."""
    if not isinstance(text, str) or not re.fullmatch(FORM, text):
        raise PinError(f"expected {EXPECTED}")
    name, _, digest = text.rpartition("@sha256:")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise PinError("expected a file in the policy's folder or below it")
    return Pin(name, digest)
