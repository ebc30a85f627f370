"""Text to token ids and back, with one rule: text never becomes a control token.

A tokenizer.json finds its added tokens inside any text, so a user who writes `<|eot|>` would end a turn. Content is
therefore encoded by a second tokenizer made from the same file without those tokens, and every result is checked
again. Truncation and padding are switched off: nothing is cut here without anyone saying so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tokenizers import Tokenizer

from engine.errors import BadRequest, ModelRefused

REPLACEMENT = "\ufffd"
_BYTE = re.compile("<0x([0-9A-F]{2})>")
"""A byte as a token of its own, where a vocabulary is made of characters."""
_VISIBLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_BYTES = {chr(byte): byte for byte in _VISIBLE} | {
    chr(0x100 + at): byte for at, byte in enumerate(sorted(set(range(0x100)) - set(_VISIBLE)))
}
"""The letters that byte-level vocabularies are written in: visible ones stand for themselves."""


class TextTokenizer:
    """One tokenizer.json, read once. Safe to call from any thread."""

    def __init__(self, whole: Tokenizer, content: Tokenizer, special_ids: frozenset[int], unknown: int | None) -> None:
        self._whole, self._content, self.special_ids = whole, content, special_ids
        # Characters that the vocabulary lacks become this token. It controls nothing, so text may hold it.
        self._forbidden = special_ids - {unknown}

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """ModelRefused when the file is not a tokenizer."""
        try:
            raw = path.read_text(encoding="utf-8")
            parsed = json.loads(raw)
            added = {token["content"]: int(token["id"]) for token in parsed["added_tokens"]}
            whole = Tokenizer.from_str(raw)
            content = Tokenizer.from_str(json.dumps(_without_added(parsed, set(added))))
        # The tokenizers package raises plain Exception for a file that it cannot read; its panics are not even that.
        except BaseException as exc:
            raise ModelRefused("tokenizer_invalid", f"`{path}` is not a tokenizer.json that can be read") from exc
        return cls(whole, content, frozenset(added.values()), added.get(parsed["model"].get("unk_token") or ""))

    @property
    def size(self) -> int:
        """One more than the largest id: the rows that a model needs for it. Ids may have gaps, so this is no count."""
        return max(map(int, self._whole.get_vocab(with_added_tokens=True).values()), default=-1) + 1

    def control(self, name: str) -> int | None:
        """The id of a control token, by its exact name."""
        found = self._whole.token_to_id(name)
        return int(found) if found is not None and found in self.special_ids else None

    def content(self, text: str) -> list[int]:
        """Ids of text that someone else wrote. No control token can be among them."""
        ids = list(self._encoded(text, framed=False))
        if not self._forbidden.isdisjoint(ids):
            raise BadRequest("control_token", "the text would become a control token of this model")
        return ids

    def framed(self, text: str) -> list[int]:
        """The same, within the tokens the model expects around a text (`[CLS] … [SEP]`)."""
        self.content(text)
        return list(self._encoded(text, framed=True))

    def text(self, ids: Sequence[int]) -> str:
        """Without control tokens. Bytes that are not whole characters show as U+FFFD."""
        return str(self._whole.decode(list(ids), skip_special_tokens=True))

    def token(self, token_id: int) -> str:
        """One token for a log-probability entry, control tokens by their name."""
        return str(self._whole.decode([token_id], skip_special_tokens=False))

    def data(self, token_id: int) -> bytes:
        """The bytes of one token's text, also where they are a part of a character."""
        text, piece = self.token(token_id), str(self._whole.id_to_token(token_id))
        if REPLACEMENT not in text:
            return text.encode()
        if byte := _BYTE.fullmatch(piece):
            return bytes.fromhex(byte[1])
        return bytes(map(_BYTES.__getitem__, piece)) if _BYTES.keys() >= set(piece) else text.encode()

    def to_json(self) -> str:
        """As a tokenizer.json."""
        return str(self._whole.to_str())

    def _encoded(self, text: str, framed: bool) -> Sequence[int]:
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise BadRequest(
                "not_unicode", "the text holds half of a surrogate pair, which is not a character"
            ) from exc
        ids: Sequence[int] = self._content.encode(text, add_special_tokens=framed).ids
        return ids


def _without_added(parsed: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The same tokenizer that knows no added token, not even as a whole word of its vocabulary."""
    model = dict(parsed["model"])
    if model.get("type") == "BPE":
        model["vocab"] = {token: token_id for token, token_id in model["vocab"].items() if token not in names}
    return parsed | {"added_tokens": [], "truncation": None, "padding": None, "model": model}
