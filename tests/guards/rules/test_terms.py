"""Terms are found however they are spaced, cased and accented, and never inside another word."""

from __future__ import annotations

import pytest

from guards.errors import GuardSetupError
from guards.options import Options
from guards.rules.terms import MAX_GAP, MAX_LENGTH, OPTIONS, TermsGuard

GUARD = TermsGuard(["Acme Corp", "机密", "Łódź", "naïve", "삼성전자", "टाटा", "new york times", "times square", "AT&T"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("ACME-Corp bought it", ["ACME-Corp"]),
        ("acme  corp, Acme\ncorp", ["acme  corp", "Acme\ncorp"]),
        ("acmecorporate acme corporate", []),
        ("acme" + " " * (MAX_GAP + 1) + "corp", []),
        ("这是机密文件", ["机密"]),
        ("lodz, LÓDZ", ["lodz", "LÓDZ"]),
        ("nai\u0308ve NAIVE", ["nai\u0308ve", "NAIVE"]),
        ("a\u20ddcme h\u0488corp, ac\u0489me c\u1ab0orp", ["ac\u0489me c\u1ab0orp"]),
        ("삼성전자는", ["삼성전자"]),
        ("टाटा टाटाओं", ["टाटा"]),
        ("the new york times square", ["new york times", "times square"]),
        ("ＡＣＭＥ　ｃｏｒｐ ac\u200bme corp", ["ＡＣＭＥ　ｃｏｒｐ", "ac\u200bme corp"]),
        ("at&t", ["at&t"]),
        ("new york", []),
        ("\ud800 acme corp", ["acme corp"]),
        ("", []),
    ],
)
def test_a_term_is_found_where_it_stands_as_words(text: str, found: list[str]) -> None:
    assert [text[span.start : span.end] for span in GUARD.spans(text)] == found


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ([], "0 terms, expected 1 to"),
        (["C++"], "a term is shorter than two letters or digits"),
        (["--"], "a term is shorter than two letters or digits"),
        (["x" * (MAX_LENGTH + 1)], "a term has more than"),
        (["a " * 20], "a term has more than"),
    ],
)
def test_a_term_that_cannot_be_looked_for_is_refused_without_being_shown(words: list[str], problem: str) -> None:
    with pytest.raises(GuardSetupError, match=problem) as caught:
        TermsGuard(words)
    assert caught.value.option == "words"


def test_a_list_is_not_read_here() -> None:
    with pytest.raises(GuardSetupError, match="a file beside a policy"):
        TermsGuard.of(Options("terms", {"list": "names.txt"}, OPTIONS))


def test_terms_that_read_the_same_are_one() -> None:
    assert TermsGuard(["Naïve", "NAIVE", "naive"]).settings["words"] == ("naive",)


class Counting(frozenset[str]):
    """A list of terms that counts how often it is asked."""

    asked = 0

    def __contains__(self, item: object) -> bool:
        self.asked += 1
        return super().__contains__(item)


@pytest.mark.parametrize("unit", ["term1 ", "term1 a ", "密", "a", "é ", "term1 term2 "])
def test_twice_the_text_asks_the_list_twice_as_often_however_long_the_list_is(unit: str) -> None:
    guard = TermsGuard([f"term{n} a" for n in range(20_000)] + ["term1 " * n + "end" for n in range(1, 15)])
    asked = []
    for length in (50_000, 100_000):
        guard._terms = Counting(guard._terms)
        list(guard.spans(unit * (length // len(unit))))
        asked.append(guard._terms.asked)
    assert asked[1] <= 2 * asked[0] + 256
    assert asked[1] <= 16 * 100_000 // len(unit)
