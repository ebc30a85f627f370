"""Files beside a policy that a detector takes its words from, pinned by digest.

`list: names.txt@sha256:…` means these bytes and no others: a file that has changed is a problem of the policy, so that
equal policies mean the same on every machine. What a record cites is the digest of the policy, in which the words are.
One term a line, UTF-8; empty lines and lines that begin with `#` are skipped. A path stays inside the policy's folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Final

from guards.errors import GuardSetupError

MAX_BYTES: Final = 16 * 1024 * 1024
_PINNED: Final = re.compile(r"([^\x00-\x1f\\@]{1,200})@sha256:([0-9a-f]{64})")


def with_lists(use: str, values: Mapping[str, object], folder: Path) -> Mapping[str, object]:
    """Options with the words of `list` among `words`. Raises GuardSetupError for `list`."""
    named = values.get("list")
    if named is None:
        return values
    words = values.get("words", [])
    own = list(words) if isinstance(words, list) else words
    listed = _read(use, named, folder)
    others = {key: value for key, value in values.items() if key not in ("list", "words")}
    return others | {"words": [*own, *listed] if isinstance(own, list) else own}


def _read(use: str, named: object, folder: Path) -> list[str]:
    found = _PINNED.fullmatch(named) if isinstance(named, str) else None
    if found is None:
        raise GuardSetupError(use, "expected `FILE@sha256:` and 64 hex digits, as `sha256sum FILE` shows them", "list")
    path = PurePosixPath(found[1])
    if path.is_absolute() or ".." in path.parts:
        raise GuardSetupError(use, "expected a file in the policy's folder or below it", "list")
    try:
        with (folder / path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise GuardSetupError(use, f"the file cannot be read: {exc.strerror}", "list") from exc
    if len(data) > MAX_BYTES:
        raise GuardSetupError(use, f"the file has more than {MAX_BYTES} bytes", "list")
    digest = hashlib.sha256(data).hexdigest()
    if digest != found[2]:
        raise GuardSetupError(use, f"the file is not the one that is pinned, it is `sha256:{digest}`", "list")
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as exc:
        raise GuardSetupError(use, f"the file is not UTF-8 from byte {exc.start} on", "list") from exc
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
