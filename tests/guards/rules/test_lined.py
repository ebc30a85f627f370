"""A key on a line of its own is a key, also where the line break is written as a code."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.rules.base import RuleGuard
from guards.rules.entities import EntitiesGuard
from guards.rules.lined import is_document, lined, told_once
from guards.rules.near import NearGuard
from guards.rules.regex import RegexGuard
from guards.rules.secrets import SecretsGuard
from guards.rules.terms import TermsGuard
from guards.verdict import Part, Scope, Span

KEY = "AKIAQ7RT5ZK2MWX4LPNV"
CARD = "4111 1111 1111 1111"


def found(guard: RuleGuard, text: str) -> list[str]:
    [verdict] = guard.judge_now([Part(Scope.TOOL_CALL, "/m", "tool", text)])
    return [text[span.start : span.end] for span in verdict.spans]


@pytest.mark.parametrize("before", ["\n", "\t", "\r\n", "\x00", "\x1b", "\f", "\b", "\u001f"])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_what_stands_behind_a_code_is_found_at_its_place(before: str, levels: int) -> None:
    text = f"keys:{before}{KEY}{before}cards:{before}{CARD}{before}end"
    for _ in range(levels):
        text = json.dumps({"body": text}, ensure_ascii=False)
    assert found(SecretsGuard(), text) == [KEY]
    assert found(EntitiesGuard(["credit_card"]), text) == [CARD]
    assert found(RegexGuard(r"\bAKIA\w{16}\b"), text) == [KEY]
    assert found(TermsGuard(["cards", "akiaq7rt5zk2mwx4lpnv"]), text) == [KEY, "cards"]
    assert found(NearGuard("keys", r"\bAKIA\w{16}\b", 20), text) == [KEY]


@pytest.mark.parametrize("before", ["%0A", "%3D", "%22", "%250a", "%26", r"\x0a", r"\x22", r"\u003d"])
def test_keys_are_found_behind_codes_in_any_text(before: str) -> None:
    assert found(SecretsGuard(), f"open https://example.com/?q=a{before}{KEY}%0Ab") == [KEY]


def test_running_text_is_read_as_it_is_written_where_words_count() -> None:
    """A path and a formula are no line breaks."""
    assert found(TermsGuard(["emp", "au", "new"]), r"in C:\temp\new the angle \tau") == ["new"]
    assert found(RegexGuard(r"\bew\b"), r"C:\new") == []


def test_a_find_of_both_readings_counts_once_and_without_letters_of_the_code() -> None:
    text = r'{"to":"to:\njane@example.org\n","cc":"joe@example.org"}'
    assert found(EntitiesGuard(["email"]), text) == ["jane@example.org", "joe@example.org"]
    assert told_once([Span(0, 4, "a"), Span(2, 9, "b")], [Span(1, 4, "a")], "x" * 9) == [
        Span(0, 4, "a"),
        Span(2, 9, "b"),
    ]


@given(st.text() | st.text(alphabet='\\\\nrtu0%2xAK" ', max_size=40))
def test_each_place_stays_where_it_is(text: str) -> None:
    read = lined(text)
    assert read is None or len(read) == len(text)
    if read is not None:
        assert all(
            new == old or old in "\\\\%" or new.isspace() or not new.isalnum()
            for old, new in zip(text, read, strict=True)
        )
    assert read is not None or "\\n" not in text


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.sampled_from("ab")), max_size=8),
       st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9), st.sampled_from("ab")), max_size=8))  # fmt: skip
def test_nothing_that_was_found_is_lost(first: list[tuple[int, int, str]], second: list[tuple[int, int, str]]) -> None:
    spans, again = (sorted({Span(at, at + size, label) for at, size, label in rows}) for rows in (first, second))
    told = told_once(spans, again, "x" * 40)
    for one in (*spans, *again):
        covered = {at for span in told if span.label == one.label for at in range(span.start, span.end)}
        assert covered >= set(range(one.start, one.end))


def test_a_document_is_told_by_its_beginning() -> None:
    assert all(map(is_document, (' {"a":1}', "[1]", '"x"')))
    assert not any(map(is_document, ("", "a {", "1")))
