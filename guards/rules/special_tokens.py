"""Control tokens of chat templates, written out in text that comes from outside.

Our own engine never parses them, but a server behind a URL may, and a model may follow the look of a turn even when
its tokenizer does not. The text is read folded: a zero-width space inside a token, or full-width characters,
disappear in any later normalisation, and then the token is real. Spans point at the raw characters. Names are matched
whole, so `<|` in prose or `a <| b |> c` in Elixir is nothing. Llama 2's `<s>` is left out because it is HTML; BERT's
`[MASK]` and `[PAD]` are ordinary in prose and only found when asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import re2

from guards.errors import GuardSetupError
from guards.rules.base import RuleGuard, compile_re2, matches, occurs
from guards.verdict import Span
from guards.views.folded import folded, variants


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
DEFAULT_FAMILIES = ("llama4", "llama3", "llama2", "chatml", "harmony")
_CLOSERS = ">]"


class SpecialTokensGuard(RuleGuard):
    """`families` selects among FAMILIES; `extra` adds literal strings, such as another model's tokens."""

    def __init__(self, families: Iterable[str] = DEFAULT_FAMILIES, extra: Iterable[str] = ()) -> None:
        super().__init__("special_tokens", 1)
        wanted, literals = set(families), tuple(extra)
        if unknown := sorted(wanted - set(FAMILIES)):
            raise GuardSetupError("special_tokens", f"`{unknown[0]}` is not one of {', '.join(FAMILIES)}", "families")
        if not wanted and not literals:
            raise GuardSetupError("special_tokens", "no family is selected, expected at least one", "families")
        if not all(len(token) >= 2 and token.isascii() for token in literals):
            raise GuardSetupError("special_tokens", "a token is shorter than 2 characters or not ASCII", "extra")
        groups = {name: pattern for name, pattern in FAMILIES.items() if name in wanted}
        if literals:
            groups["extra"] = "|".join(re2.escape(token) for token in sorted(literals, key=len, reverse=True))
        self._labels = tuple(groups)
        self._pattern = compile_re2("|".join(f"({pattern})" for pattern in groups.values()))
        # Few texts hold any character that can end a token, in whatever disguise; only those are folded and matched.
        closers = "".join(sorted({*_CLOSERS, *(token[-1] for token in literals)}))
        self._closer = re.compile(f"[{re.escape(variants(closers))}]")

    def spans(self, text: str) -> Iterator[Span]:
        if not occurs(self._closer, text):
            return
        view = folded(text)
        for match in matches(self._pattern, view.text):
            start, end = view.raw(match.start(), match.end())
            label = next(name for name, group in zip(self._labels, match.groups(), strict=True) if group is not None)
            yield Span(start, end, label)
