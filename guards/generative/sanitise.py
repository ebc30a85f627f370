"""Text of a user with nothing left in it that a guard could take for the structure of its own prompt.

Three forgeries: control tokens written out, the block tags of guard prompts (`<END CONVERSATION>`), and lines that
begin as a turn does (`Agent: …`). They stay readable and lose their form: a space inside the token, round brackets in
place of the tag's, a bar before the speaker. Found in the folded text (a zero-width space or full-width letters hide
none), changed in the text as it is. Only what the guard sees is changed, never what is forwarded. This comes last,
after every other view is made: a view made afterwards could put a token together again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from guards.rules.special_tokens import DEFAULT_FAMILIES, FAMILIES
from guards.views.folded import folded

_TAG = r"<[ \t]{0,4}/?[ \t]{0,4}(?i:begin|end)[ \t_]{1,4}[A-Za-z][A-Za-z _]{0,60}>"
_PIPED = r"<\|[^\s|<>]{1,64}\|>"
_LIKELY = re.compile(r"[<\[:\uff1a\uff1c\ufe64\ufe55\uff3b]|[^\x00-\x7f]")


class Sanitiser:
    """For one guard: `controls` are its tokenizer's control tokens, `speakers` the names its template uses."""

    def __init__(self, controls: Sequence[str], speakers: Sequence[str]) -> None:
        # Tokens without a letter, as the line breaks that some vocabularies add, are text and stay.
        wordy = [token for token in controls if len(token) > 2 and re.search("[A-Za-z]", token)]
        own = [re.escape(token) for token in wordy if not re.fullmatch(_PIPED, token)]
        names = "|".join(map(re.escape, sorted({*speakers, "User", "Agent"})))
        families = [FAMILIES[name] for name in DEFAULT_FAMILIES if name in FAMILIES]
        self._pattern = re.compile(
            f"(?P<tag>{_TAG})|(?P<token>{'|'.join([_PIPED, *families, *sorted(own, key=len, reverse=True)])})"
            rf"|(?:\A|(?<=[\n\r\v\f\u2028\u2029\x85]))[ \t>]{{0,16}}(?P<speaker>(?i:{names}))(?=[ \t]{{0,8}}:)"
            rf"|(?<=\\n)(?P<written>(?i:{names}))(?=[ \t]{{0,8}}:)"
        )

    def clean(self, text: str) -> str:
        """The text without forms of structure. Equal to `text` for what does not look like any."""
        if not _LIKELY.search(text):
            return text
        view = folded(text)
        pieces: list[str] = []
        last = 0
        for match in self._pattern.finditer(view.text):
            start, end = view.raw(match.start(), match.end())
            start = max(start, last)
            pieces += (text[last:start], _harmless(match, text[start:end]))
            last = end
        return "".join((*pieces, text[last:])) if pieces else text


def _harmless(match: re.Match[str], found: str) -> str:
    if match["tag"] is not None:
        return f"({found[1:-1]})"
    if match["token"] is not None:
        return f"{found[:1]} {found[1:]}"
    return f"| {found}"
