"""What stands for redacted text that has to come back: a token out, the text in, for one exchange.

A token is a keyed digest of the tenant and the text, so the same name is the same token in every message and every
exchange of one tenant, and says nothing to anybody else. What it stands for is kept in memory, in the vault of the
exchange that made it, and nowhere else: another exchange, another tenant, or the same one tomorrow gets nothing back
for it. A token that a model invents stands for nothing.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from guards.verdict import Part
from policies.model import Redaction
from policies.replacements import TOKEN_PLACE

_PURPOSE = b"gatehouse-token/v1\0"
_CHARS = 12


@dataclass(slots=True)
class Vault:
    """The tokens of one exchange, with what they stand for."""

    key: bytes = field(repr=False)
    """Of this gateway; each tenant's own is derived from it."""
    tenant: str
    originals: dict[str, str] = field(default_factory=dict, repr=False)
    """By what stands in the text: the whole replacement, token and what is around it."""

    def tokens_in(self, parts: Iterable[Part], cuts: Sequence[Redaction]) -> tuple[Redaction, ...]:
        """The cuts with their tokens filled in. What is cut out is remembered."""
        texts = {part.path: part.text for part in parts} if any(cut.reversible for cut in cuts) else {}
        return tuple(self._filled(cut, texts[cut.path]) if cut.reversible else cut for cut in cuts)

    def _filled(self, cut: Redaction, text: str) -> Redaction:
        found = text[cut.start : cut.end]
        placed = cut.replacement.replace(TOKEN_PLACE, self._token(found))
        self.originals[placed] = found
        return replace(cut, replacement=placed)

    def _token(self, found: str) -> str:
        own = hmac.digest(self.key, _PURPOSE + self.tenant.encode(), "sha256")
        digest = hmac.digest(own, found.encode(), "sha256")
        return base64.b32encode(digest)[:_CHARS].decode().lower()
