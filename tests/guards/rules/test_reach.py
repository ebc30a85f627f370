"""An upper bound on how late a match is known, against what RE2 really finds in growing text."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from guards.rules.base import compile_re2
from guards.rules.reach import reach

KNOWN = [
    ("abc", 3), ("a|bcd|ef", 4 - 1), (r"sk-[a-z0-9]{20,}", 23), (r"\d+", 1), (r"\b[0-9]{4}-[0-9]{4}\b", 9),
    (r"(?i)break into the neighbour", 24), ("a*b", math.inf), ("a{0,30}b", 31), ("(ab){2,3}", 4), ("(?:ab){2}c?", 4),
    ("BEGIN.*END", math.inf), ("BEGIN(?s:.){0,100}?END", 108), ("a+?b{3}", math.inf), (r"[]a-z]{2}", 2), (r"[^]]x", 2),
    (r"[[:alpha:]]{3}x", 4), (r"\pL{2}", 2), (r"\p{Greek}\x41\x{1F600}", 3), (r"a\.b\|c", 5), ("(?P<n>ab)c", 3),
    ("(?i)(?-i:ab)c", 3), ("^ab$", 2), ("(a{2}){3}", 6), ("x?y?", 0), ("a{,2}", 5), (r"\Qa.b\E", math.inf),
    ("a(b|c*)d", math.inf), ("ab?", 1), (r"(a|b{5})+", 5), ("[a\\]]b", 2),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "characters"), KNOWN)
def test_patterns_whose_reach_can_be_counted_by_hand(pattern: str, characters: float) -> None:
    compile_re2(pattern)
    assert reach(pattern) == characters


@pytest.mark.parametrize("pattern", ["(", ")", "a(b", "[a", "a{1", "\\", "(?<a", "*", "(" * 5_000])
def test_what_cannot_be_read_is_unbounded_or_literal_and_never_raises(pattern: str) -> None:
    assert reach(pattern) >= 0


ATOMS = st.sampled_from(["a", "b", "[ab]", ".", "\\w", "(?:ab|b)", "(?:a|bb|aab)"])
REPEATS = st.sampled_from(["", "", "", "?", "+", "*", "{2}", "{1,3}", "{2,}", "{0,2}"])
PATTERNS = st.lists(st.tuples(ATOMS, REPEATS).map("".join), min_size=1, max_size=5).map("".join)


@given(st.lists(PATTERNS, min_size=1, max_size=3).map("|".join), st.text("abc", max_size=14))
def test_no_match_begins_earlier_than_its_reach_before_it_is_found(pattern: str, text: str) -> None:
    """Text grows character by character, as a stream does. Where a match is found for the first time, none of it that
    is further back than the reach may have been without a match."""
    bound = reach(pattern)
    compiled = compile_re2(pattern)
    assume(bound > 0 and compiled.search("") is None)
    whole = compiled.search(text)
    if whole is None or bound == math.inf:
        return
    start = whole.start()
    first_seen = next(
        end for end in range(start, len(text) + 1) if (m := compiled.search(text[:end])) and m.start() == start
    )
    assert first_seen - start <= bound
