"""Control tokens of chat templates, written out in text that comes from outside.

Our own engine never parses them, but a server behind a URL may, and a model may follow the look of a turn even when
its tokenizer does not. The text is read folded: a zero-width space inside a token, or full-width characters,
disappear in any later normalisation, and then the token is real; so do character references (`&lt;|eot|&gt;`) where a
page is read as its text. Spans point at the raw characters. Names are matched whole, so `<|` in prose or `a <| b |> c`
in Elixir is nothing. Llama 2's `<s>` is left out because it is HTML; BERT's `[MASK]` and `[PAD]` are ordinary in prose
and only found when asked for.

The family `loaded` is the control tokens of the tokenizers that this gateway works with (guards/tokenizer_files.py). A
policy names it and the configuration says what it is; without one it is empty.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

import re2

from guards.errors import GuardSetupError
from guards.rules.base import RuleGuard, compile_re2, matches, occurs
from guards.verdict import Span
from guards.views.escapes import without_references
from guards.views.folded import folded, refolded, variants


def _piped(*names: str) -> str:
    """`<|name|>` in any case: a model reads `<|IM_START|>` as its author meant it."""
    return rf"(?i:<\|(?:{'|'.join(names)})\|>)"


FAMILIES = {
    "llama4": _piped(
        "begin_of_text|end_of_text|fim_prefix|fim_middle|fim_suffix|header_start|header_end|eom|eot|step",
        "python_start|python_end|finetune_right_pad|image_start|image_end|tile_[xy]_separator|image|patch",
        r"(?:text_post_train|vision|reasoning)_\w{1,64}|reserved_special_token_\d{1,4}",
    ),
    "llama3": _piped(
        "begin_of_text|end_of_text|finetune_right_pad_id|step_id|start_header_id|end_header_id|eom_id|eot_id",
        r"python_tag|image|reserved_special_token_\d{1,4}",
    ),
    "llama2": r"\[/?INST\]|<</?SYS>>",
    "chatml": _piped("im_start|im_end|im_sep|endoftext"),
    "harmony": _piped("start|end|message|channel|constrain|return|call|startoftext|endoftext|endofprompt"),
    "bert": r"\[(?:CLS|SEP|PAD|MASK|UNK)\]",
}
"""In the order in which a token that several families share is attributed."""
LOADED: Final = "loaded"
"""The family that a configuration fills."""
NAMES: Final = (*FAMILIES, LOADED)
DEFAULT_FAMILIES = ("llama4", "llama3", "llama2", "chatml", "harmony", LOADED)
_CLOSERS = ">]"
_NUMBER: Final = re.compile("[0-9]+")


class SpecialTokensGuard(RuleGuard):
    """`families` selects among NAMES; `extra` adds literal strings, `loaded` those that `families` calls so."""

    def __init__(
        self,
        families: Iterable[str] = DEFAULT_FAMILIES,
        extra: Iterable[str] = (),
        loaded: Iterable[str] = (),
    ) -> None:
        super().__init__("special_tokens", 2)
        wanted, literals, given = set(families), tuple(extra), sorted(set(loaded))
        if unknown := sorted(wanted - set(NAMES)):
            raise GuardSetupError("special_tokens", f"`{unknown[0]}` is not one of {', '.join(NAMES)}", "families")
        if not wanted and not literals:
            raise GuardSetupError("special_tokens", "no family is selected, expected at least one", "families")
        if not all(len(token) >= 2 and token.isascii() for token in literals):
            raise GuardSetupError("special_tokens", "a token is shorter than 2 characters or not ASCII", "extra")
        groups = {name: pattern for name, pattern in FAMILIES.items() if name in wanted}
        if literals:
            groups["extra"] = "|".join(re2.escape(token) for token in sorted(literals, key=len, reverse=True))
        if LOADED in wanted and given:
            groups[LOADED] = "|".join(_shapes(given))
            digest = hashlib.sha256("\n".join(given).encode()).hexdigest()
            self.identity = replace(self.identity, weights=f"sha256:{digest}")
        self._labels = tuple(groups)
        self._pattern = compile_re2("|".join(f"({pattern})" for pattern in groups.values())) if groups else None
        # Few texts hold any character that can end a token, in whatever disguise, or a character
        # reference; only those are folded and matched.
        read = (folded(token).text for token in given if LOADED in wanted)
        closers = "".join(sorted({*_CLOSERS, "&", *(token[-1] for token in (*literals, *read) if token)}))
        self._closer = re.compile(f"[{re.escape(variants(closers))}]")

    def spans(self, text: str) -> Iterator[Span]:
        if self._pattern is None or not occurs(self._closer, text):
            return
        view = folded(text)
        if "&" in view.text:
            view = refolded(without_references(view))
        for match in matches(self._pattern, view.text):
            start, end = view.raw(match.start(), match.end())
            label = next(name for name, group in zip(self._labels, match.groups(), strict=True) if group is not None)
            yield Span(start, end, label)


def _shapes(tokens: Iterable[str]) -> list[str]:
    """Patterns for these tokens, as text is read. Hundreds of a tokenizer differ by a number; any number is one."""
    shapes: set[str] = set()
    for token in tokens:
        plain = folded(token).text
        # A bracketed word in small letters is Markdown, and nobody's tokenizer takes it for its token.
        flags = "" if plain.startswith("[") else "(?i)"
        pieces = [re2.escape(piece) for piece in _NUMBER.split(plain)]
        shapes.add(f"(?:{flags}{'[0-9]{1,6}'.join(pieces)})")
    return sorted(shapes, key=lambda shape: (-len(shape), shape))
