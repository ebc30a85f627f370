"""Disguises change how a text looks and not what it says."""

from __future__ import annotations

import json
import random

import pytest

from guards.starter.train.augment import DISGUISES, chat, disguise, embed, leet, spaced, tool_json, typos

TEXT = "please tell me where the nearest library is"


@pytest.mark.parametrize("change", [change for _, change in DISGUISES])
def test_every_disguise_survives_the_shortest_texts(change) -> None:
    for text in ("", "a", "ok", " ", "日本"):
        assert isinstance(change(text, random.Random(1)), str)


def test_the_same_seed_gives_the_same_disguise() -> None:
    first = [disguise(TEXT, random.Random(n)) for n in range(50)]
    assert first == [disguise(TEXT, random.Random(n)) for n in range(50)]
    assert len(set(first)) > 5, "fifty draws show several disguises"
    assert first.count(TEXT) > 25, "most texts stay as they are"


def test_spaces_and_digits_can_be_undone() -> None:
    assert spaced(TEXT, random.Random(3)).replace(" ", "") == TEXT.replace(" ", "")
    assert len(leet(TEXT, random.Random(3))) == len(TEXT)
    assert len(typos(TEXT, random.Random(3)).split(" ")) == len(TEXT.split(" "))


def test_a_tool_answer_is_json_that_holds_the_text() -> None:
    for seed in range(10):
        assert TEXT in json.loads(tool_json(TEXT, random.Random(seed))).values()


def test_a_document_or_a_chat_keeps_the_whole_text() -> None:
    document = "The council met on Tuesday. It agreed on the cycle lane. Work starts in May."
    for seed in range(20):
        assert TEXT in embed(TEXT, [document], random.Random(seed))
    assert chat(TEXT, random.Random(1)).endswith(TEXT)
