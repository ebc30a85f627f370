"""Confirming a known sentence in one pass says what token-by-token decoding says."""

from __future__ import annotations

from pathlib import Path

from engine.starter.train.corpus import FALLBACK
from engine.starter.train.evaluate import LONGEST_ANSWER, answers, foreign, generate, load, sentences

MODEL = Path(__file__).parents[4] / "engine" / "starter" / "model"


def test_answers_are_those_of_greedy_decoding() -> None:
    model, chat = load(MODEL)
    asked = [[("user", text)] for text in ("where is the log", "bake bread", "%% 7", "who are you", "hm hm what")]

    one_by_one = generate(model, [chat.prompt(turns) for turns in asked], LONGEST_ANSWER)

    assert answers(model, chat, asked) == [chat.tokenizer.decode(ids, skip_special_tokens=True) for ids in one_by_one]


def test_a_word_of_no_sentence_is_foreign_and_a_copied_argument_is_not() -> None:
    known = frozenset(sentences())
    words = frozenset(FALLBACK.split())

    assert not foreign(FALLBACK, "hm", words, known)
    assert foreign("I am Napoleon", "hm", words, known)
    assert not foreign('[get_weather(city="Oslo")]', "weather in Oslo", words, known)
    assert foreign('[get_weather(city="Oslo")]', "weather in Rome", words, known)
