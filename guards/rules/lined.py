"""A text with line breaks where codes for them stand, at the same places: `\\nAKIA…` in JSON is a key, not a word.

JSON, source code and URLs write a line break, a quote or a sign as letters, and the word behind it then seems to begin
with these. A key on a line of its own in the arguments of a tool call would pass every pattern that asks where words
begin. Each code is written over with as many characters, blanks and then what it stands for, so that a place in this
text is a place in the other. How deep texts are nested does not matter: before a code any number of `\\` may stand.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from guards.verdict import Span

_CODE: Final = re.compile(
    r"\\+(?:[bfnrt]|(?:u00|x)(?:[012][0-9a-fA-F]|3[a-fA-F]))|%(?:25)*(?:[01][0-9a-fA-F]|2[0-9a-fA-F]|3[a-fA-F])"
)
"""Of control characters, blanks, and the signs that ASCII has before and behind its digits, such as `"`, `&`, `:`."""
_DOCUMENT: Final = ("{", "[", '"')


def is_document(text: str) -> bool:
    """Whether it is JSON, as its beginning says."""
    return text.lstrip()[:1] in _DOCUMENT


def lined(text: str) -> str | None:
    """The same text with its codes undone; None where it has none."""
    if "\\" not in text and "%" not in text:
        return None
    read = _CODE.sub(_undone, text)
    return None if read == text else read


def _undone(code: re.Match[str]) -> str:
    written = code.group()
    letters = written.lstrip("\\")
    if letters[0] in "bfnrt":
        return "\n".rjust(len(written))
    return chr(int(written[-2:], 16)).rjust(len(written))


def told_once(spans: Sequence[Span], again: Sequence[Span], read: str) -> list[Span]:
    """What was found in a text, and `again` in `read`, the same with its codes undone. A find of both counts once.

    It begins where the second reading says if the letters before that are those of a code.
    """
    starts = {label: [span.start for span in again if span.label == label] for label in {span.label for span in again}}
    both = {(span.label, span.start): span for span in again}
    out = []
    for span in spans:
        near = starts.get(span.label, [])
        at = bisect_left(near, span.start)
        same = [both[span.label, start] for start in near[max(0, at - 1) : at + 1]]
        met = next((other for other in same if other.start < span.end and span.start < other.end), None)
        if met is None:
            out.append(span)
        else:
            start = met.start if not read[span.start : met.start].strip() else span.start
            both[span.label, met.start] = Span(min(start, met.start), max(span.end, met.end), span.label)
    return sorted({*out, *both.values()})
