"""Languages are named by passage; what is too short or unclear is `unknown`, and nothing is downloaded."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from guards.registry import build
from guards.rules.language import CODES, LANGUAGES, LEAST, LanguageGuard, _identifier
from guards.verdict import PPM, Part, Scope

TEXTS = Path(__file__).parents[3] / "guards" / "starter" / "train" / "texts" / "ordinary_languages.jsonl"
ENGLISH = "The branch opens at nine on weekdays, and the staff will help you with the form. "
GERMAN = "Die Filiale öffnet werktags um neun, und die Angestellten helfen Ihnen mit dem Formular. "


def languages(text: str) -> list[str]:
    [verdict] = LanguageGuard().judge_now([Part(Scope.USER, "/messages/0/content", "user", text)])
    assert verdict.score_ppm == 0
    assert not verdict.spans
    assert {score for _, score in verdict.categories} == {PPM}
    return [code for code, _ in verdict.categories]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (ENGLISH, ["en"]),
        (GERMAN, ["de"]),
        ("银行工作日早上九点开门，工作人员会帮助您填写表格。", ["zh"]),
        (ENGLISH * 8 + GERMAN * 8, ["de", "en"]),
        ("hello", ["unknown"]),
        ("", ["unknown"]),
        ("12345 67890 {}[]<> https://example.com/eine-seite-auf-deutsch", ["unknown"]),
        ("\ud800" + ENGLISH, ["en"]),
    ],
)
def test_each_passage_is_named(text: str, codes: list[str]) -> None:
    assert languages(text) == codes


def test_passages_in_many_languages_hide_none_of_them() -> None:
    rows = [json.loads(line) for line in TEXTS.read_text(encoding="utf-8").splitlines()]
    others: dict[str, str] = {}
    for row in rows:
        if row["lang"] != "de":
            others[row["lang"]] = (others.get(row["lang"], "") + row["text"] + " ")[:600]
    assert len(others) > 8
    assert "de" in languages("".join(text.ljust(1_000) for text in others.values()) + GERMAN * 12)


def test_a_text_with_fewer_letters_than_said_is_unknown() -> None:
    assert languages("a" * (LEAST - 1)) == ["unknown"]


def test_the_codes_are_those_of_the_model() -> None:
    assert set(_identifier().nb_classes) - {"zxx"} == set(LANGUAGES)  # type: ignore[attr-defined]
    assert len(CODES) == len(set(CODES)) == len(LANGUAGES) + 1


def test_ordinary_sentences_are_seldom_misnamed() -> None:
    rows = [json.loads(line) for line in TEXTS.read_text().splitlines()]
    named = [(row["lang"], languages(row["text"])) for row in rows]
    wrong = [(lang, codes) for lang, codes in named if codes not in ([lang], ["unknown"])]
    assert len(named) > 200
    assert len(wrong) <= 0.05 * len(named)


def test_a_guard_that_is_ready_judges_short_parts_at_once_and_one_that_is_built_is_ready() -> None:
    guard = build("language", {}, {})
    assert isinstance(guard, LanguageGuard)
    assert guard.is_quick([Part(Scope.USER, "/messages/0/content", "user", ENGLISH)])
    assert not guard.is_quick([Part(Scope.USER, "/messages/0/content", "user", ENGLISH * 100)])


@pytest.mark.parametrize("text", ["a", "https", "a@ ", "@"])
def test_a_word_without_an_end_costs_no_more_than_other_text(text: str) -> None:
    languages(ENGLISH)
    before = time.process_time()
    languages(text * 60_000)
    assert time.process_time() - before < 5  # with the square of the text: half a minute


def test_addresses_do_not_count_as_letters() -> None:
    assert languages("jemand.mit.einem.langen.namen@eine-deutsche-adresse.example und 1 2 3") == ["unknown"]
    assert languages(f"@ {ENGLISH} ab@ @cd") == ["en"]
