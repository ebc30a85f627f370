"""Files beside a policy that a detector takes its words from, pinned by digest.

`list: names.txt@sha256:…` means these bytes and no others: a file that has changed is a problem of the policy, so that
equal policies mean the same on every machine. What a record cites is the digest of the policy, in which the words are.
One term a line, UTF-8; empty lines and lines that begin with `#` are skipped. A path stays inside the policy's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from guards.errors import GuardSetupError
from policies.pinned import PinError, pin_of


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
    try:
        data = pin_of(named).read(folder)
    except PinError as exc:
        raise GuardSetupError(use, str(exc), "list") from exc
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError as exc:
        raise GuardSetupError(use, f"the file is not UTF-8 from byte {exc.start} on", "list") from exc
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]
