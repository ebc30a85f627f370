"""The corpus keeps its promises: enough intents, a split nobody can lean on, answers that say what they are."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import yaml

from engine.starter.train.corpus import (
    FALLBACK,
    HELD_OUT_SHARE,
    HERE,
    PUBLIC_SOURCES,
    bare,
    lines,
    load_intents,
    public_prompts,
    split,
)


def test_there_are_sixty_to_a_hundred_intents_with_many_ways_to_ask() -> None:
    intents = load_intents()

    assert 60 <= len(intents) <= 100
    assert min(len(i.trained) + len(i.held_out) for i in intents) >= 20
    assert len({i.answer for i in intents}) == len(intents)


def test_a_held_out_prompt_has_no_twin_in_training() -> None:
    """Case and punctuation do not make another prompt."""
    intents = load_intents()
    trained = {bare(p) for i in intents for group in (i.trained, *i.patterns) for p in group}
    trained |= {bare(p) for p in lines("offtopic.txt")}
    held_out = [bare(p) for i in intents for p in (*i.held_out, *i.held_out_later)]
    held_out += [bare(p) for p in lines("holdout_offtopic.txt")]

    assert trained.isdisjoint(held_out)
    assert len(held_out) == len(set(held_out))


def test_prompts_written_later_leave_the_first_split_as_it_was() -> None:
    """Otherwise weights that go on from earlier ones would be measured on what those were trained on."""
    raw = yaml.safe_load((HERE / "intents" / "small_talk.yaml").read_text())
    row = next(row for row in raw if row["id"] == "goodbye")
    intent = next(intent for intent in load_intents() if intent.id == "goodbye")
    prompts = {bare(line): line for line in row["ask"].splitlines()}

    assert set(split("goodbye", prompts, HELD_OUT_SHARE)[1]) == set(intent.held_out)
    assert intent.held_out_later
    assert {bare(p) for p in intent.held_out_later}.isdisjoint(prompts)


def test_no_prompt_is_both_known_and_off_topic() -> None:
    known = {bare(p) for i in load_intents() for p in (*i.trained, *i.held_out, *i.held_out_later)}

    assert known.isdisjoint(bare(p) for p in (*lines("offtopic.txt"), *lines("holdout_offtopic.txt")))


def test_it_says_starter_when_it_matters() -> None:
    answers = {i.id: i.answer for i in load_intents()}

    for text in (FALLBACK, answers["greeting"], answers["who_are_you"], answers["refuse"]):
        assert "starter" in text


def test_public_prompts_leave_out_other_sources_and_talk_to_the_assistant(tmp_path: Path) -> None:
    rows = [
        {"text": "how far is the moon", "source": "clinc150"},
        {"text": "who are you", "source": "clinc150"},
        {"text": "share-alike text of some length", "source": "xquad"},
        {"text": "an answer", "source": "oasst_samples", "role": "assistant"},
        {"text": "How far is the moon?", "source": "banking77"},
    ]
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)

    assert list(public_prompts(tmp_path, PUBLIC_SOURCES, load_intents())) == ["how far is the moon"]
