"""Where a pattern of a policy is looked for: in the text, with the digits of every script as ASCII's, and in its views.

`\\d` of RE2 is ASCII, and a card number in Arabic or full-width digits is a card number all the same. Digits are
replaced one by one, so a place in the text that was read is the place in the raw text. What a pattern says of other
digits itself is found as it is written. Views (guards/views/) are read where they are asked for; a text that no view
could be made of whole is an error then, never a text without a match.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice

from guards.errors import ErrorKind, GuardError
from guards.rules.base import MAX_SPANS
from guards.verdict import Span
from guards.views.folded import plain_digits
from guards.views.forms import forms

RAW = ("raw",)
INLINE_VIEWED, MAX_VIEWED = 2_048, 1 << 19
"""Characters of a batch whose views are made on the event loop, and of a part whose views are made at all."""
Find = Callable[[str], Iterable[Span]]


def search(use: str, text: str, views: Sequence[str], find: Find) -> Iterable[Span]:
    """What `find` finds, at its raw places, sorted where there is more than one way to read the text."""
    if views == RAW:
        plain = plain_digits(text)
        return find(text) if plain == text else sorted({*_bounded(find(text), text), *_bounded(find(plain), text)})
    made = forms(text, views) if len(text) <= MAX_VIEWED else None
    if made is None or made.is_cut:
        raise GuardError(use, ErrorKind.TOO_LONG, "a part is too long, or hides too much, for its views")
    found: set[Span] = set()
    for form in made.forms:
        for read in {form.text, plain_digits(form.text)}:
            raw = (Span(*form.mapped.raw(span.start, span.end), span.label) for span in find(read))
            found.update(_bounded(raw, text))
    return sorted(found)


def _bounded(found: Iterable[Span], text: str) -> list[Span]:
    """As many as a verdict holds, as the last one then runs to the end of the text: each can cost a pass over it."""
    spans = list(islice(found, MAX_SPANS))
    if len(spans) == MAX_SPANS:
        spans[-1] = replace(spans[-1], end=len(text))
    return spans
