"""Twice the text is twice the work, whatever it is made of: counted in calls, which no busy machine can change.

What one call costs is bounded elsewhere: RE2 reads a text once, and a rule's other calls look at pieces of bounded
length. So work that grows with the square of a text shows as calls that do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import islice
from typing import Final

import pytest

from guards.rules.base import RuleGuard
from guards.rules.known import make
from guards.views.mapped import Mapped
from guards.views.normalised import normalised

SIZE: Final = 1_000
FEW: Final = 200
"""Calls that any text takes."""
UNITS: Final = (
    "a ", "a-", "1 ", "12-", "A1-", "dot at ", "12 Main ", "policy A1-", "&lt;|", "&amp;", "www.a.", "https:a-", "<|",
    "%41", "password is ", "mysql -p", "x @ ", "a[at]", "٤ ", "٤", "5 rue de A ", "1234567890:AA-",
    "![](https://a.com/a1B2c3/", "\u200b", "é1",
)  # fmt: skip
GUARDS: Final[dict[str, dict[str, object]]] = {
    "entities": {},
    "secrets": {},
    "special_tokens": {"families": ["llama4", "chatml", "loaded"], "loaded": ["<|acme_1|>", "<acme>"]},
    "regex": {"pattern": r"\b(?:\d[ -]?){13,19}\b", "check": "luhn"},
    "near": {"term": "cvv|1", "value": r"\d{1,3}", "within": 90},
    "exfiltration": {"hosts": ["*.a.com"]},
    "terms": {"words": ["a a a", "x y"]},
    "unicode": {},
}
MOST_SPANS: Final = 2_000


def calls(work: Callable[[str], object], text: str) -> int:
    """Calls of Python and of C that the work on a text takes."""
    count = 0

    def told(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(told)
    try:
        work(text)
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("use", GUARDS)
def test_twice_the_text_takes_twice_the_calls_of_a_rule(use: str) -> None:
    guard: RuleGuard = make(use, GUARDS[use])
    for unit in UNITS:
        list(guard.spans(unit))  # what is made once
        text = unit * (SIZE // len(unit))
        once, twice = (calls(lambda read: list(islice(guard.spans(read), MOST_SPANS)), one) for one in (text, text * 2))
        assert twice <= 2.1 * once + FEW, (unit, once, twice)
        assert twice <= 40 * 2 * SIZE, (unit, twice)


@pytest.mark.parametrize("unit", UNITS)
def test_twice_the_text_takes_twice_the_calls_of_a_view(unit: str) -> None:
    normalised(Mapped(unit))
    text = unit * (SIZE // len(unit))
    once, twice = (calls(lambda read: normalised(Mapped(read)), one) for one in (text, text * 2))
    assert twice <= 2.1 * once + FEW
