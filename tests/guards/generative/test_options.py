"""Options of a generative guard: what is read, and what is refused under its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from guards.errors import GuardSetupError
from guards.generative.options import Mode, known_options, read_options
from guards.profiles.generative import Content
from tests.guards.generative.stand_ins import profile_of

LG = profile_of("llama_guard_3_8b")


def test_without_options_the_profile_is_all() -> None:
    profile, options = read_options(LG, {})

    assert profile is LG
    assert options.selection.codes == LG.categories
    assert (options.mass_floor, options.categories_from, options.window) == (0.5, 0.05, 8_192)
    assert options.mode is Mode.SCORE
    assert options.memory
    assert options.token_ids is None


def test_everything_that_can_be_said() -> None:
    _, options = read_options(
        LG,
        {
            "categories": ["S1", "S9"],
            "custom": {"X1": " Fishing. "},
            "mass_floor": 0.9,
            "categories_from": 0.5,
            "mode": "generate",
            "window": 4096,
            "max_windows": 3,
            "template": "/t.jinja",
            "token_ids": True,
            "memory": False,
        },
    )

    assert options.selection.names == (("S1", "Violent Crimes"), ("S9", "Indiscriminate Weapons"), ("X1", "Fishing."))
    assert (options.mode, options.window, options.max_windows) == (Mode.GENERATE, 4096, 3)
    assert (options.template, options.token_ids, options.memory) == (Path("/t.jinja"), True, False)


@pytest.mark.parametrize(
    ("use", "values", "option"),
    [
        ("llama_guard_3_8b", {"category": ["S1"]}, "category"),
        ("llama_guard_3_8b", {"safe": ["x"]}, "safe"),
        ("llama_guard_3_8b", {"categories": []}, "categories"),
        ("llama_guard_3_8b", {"categories": "S1"}, "categories"),
        ("llama_guard_3_8b", {"categories": [1]}, "categories"),
        ("llama_guard_3_8b", {"categories": ["S15"]}, "categories"),
        ("llama_guard_3_1b", {"exclude": ["S14"]}, "exclude"),
        ("llama_guard_3_8b", {"custom": {"1X": "a"}}, "custom"),
        ("llama_guard_3_8b", {"custom": {"X1": ""}}, "custom"),
        ("llama_guard_3_8b", {"custom": {"X1": "a" * 8_001}}, "custom"),
        ("llama_guard_3_8b", {"custom": ["X1"]}, "custom"),
        ("llama_guard_3_8b", {"mass_floor": 0.4}, "mass_floor"),
        ("llama_guard_3_8b", {"mass_floor": True}, "mass_floor"),
        ("llama_guard_3_8b", {"categories_from": 1.5}, "categories_from"),
        ("llama_guard_3_8b", {"mode": "guess"}, "mode"),
        ("llama_guard_3_8b", {"mode": ["score"]}, "mode"),
        ("llama_guard_3_8b", {"window": 10}, "window"),
        ("llama_guard_3_8b", {"max_windows": 65}, "max_windows"),
        ("llama_guard_3_8b", {"template": 5}, "template"),
        ("llama_guard_3_8b", {"token_ids": 1}, "token_ids"),
        ("llama_guard_3_8b", {"memory": 3}, "memory"),
        ("shieldgemma", {}, "custom"),
        ("shieldgemma", {"exclude": ["A"]}, "exclude"),
        ("qwen3guard_gen", {"custom": {"X1": "a"}}, "custom"),
        ("wildguard", {"mode": "generate"}, "mode"),
        ("causal_guard", {"content": "html"}, "content"),
        ("causal_guard", {"turns": -1}, "turns"),
        ("causal_guard", {"whole": "yes"}, "whole"),
    ],
)
def test_what_is_wrong_is_refused_under_its_name(use: str, values: dict[str, object], option: str) -> None:
    with pytest.raises(GuardSetupError) as caught:
        read_options(profile_of(use), values)
    assert caught.value.option == option


def test_a_causal_guard_is_made_of_its_configuration() -> None:
    profile, _ = read_options(
        profile_of("causal_guard"),
        {
            "safe": [" no"],
            "unsafe": [" yes"],
            "text": "<score>",
            "whole": False,
            "content": "parts",
            "bos": "<s>",
            "ends": ["</s>"],
            "speakers": ["Human"],
            "turns": 2,
            "names": {"A": "All of it"},
        },
    )

    assert profile.answer.unsafe == (" yes",)
    assert profile.answer.text == "<score>"
    assert (profile.content, profile.turns, profile.bos) == (Content.PARTS, 2, "<s>")
    assert profile.categories == ("A",)


def test_contradictions_in_a_configuration_are_setup_errors() -> None:
    with pytest.raises(GuardSetupError, match="verdicts that differ"):
        read_options(profile_of("causal_guard"), {"safe": ["a"], "unsafe": ["a"]})
    with pytest.raises(GuardSetupError, match="turns 1"):
        read_options(profile_of("causal_guard"), {"turns": 1})


def test_only_the_generic_profile_takes_words_from_a_configuration() -> None:
    assert "safe" in known_options(profile_of("causal_guard"))
    assert "safe" not in known_options(LG)
    assert {"categories", "exclude", "custom"} <= set(known_options(profile_of("granite_guardian_3")))
