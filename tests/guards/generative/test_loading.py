"""What stops a generative guard before its first text, and what is told of a prompt that is not the expected one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from guards.errors import GuardSetupError
from guards.generative.checkpoint import read_checkpoint
from guards.generative.loading import Loaded, load
from guards.generative.options import read_options
from guards.profiles.known import PROFILES
from guards.profiles.profile import Task
from tests.doubles import write_manifest
from tests.guards.generative.stand_ins import profile_of, template_of, tokenizer_of, write_guard

NO_HATE = {"custom": {"HATE": "no hate"}}
NEEDS: Mapping[str, dict[str, object]] = {"shieldgemma": NO_HATE, "policy_judge": NO_HATE}
WITH_TEMPLATE = [use for use, profile in PROFILES.items() if profile.task is Task.GENERATE and use != "causal_guard"]


def loaded(directory: Path, use: str, options: Mapping[str, object] | None = None) -> Loaded:
    profile, chosen = read_options(profile_of(use), NEEDS.get(use, {}) if options is None else options)
    return load(profile, read_checkpoint(profile, directory, True, None), chosen)


@pytest.mark.parametrize("use", WITH_TEMPLATE)
def test_a_checkpoint_of_every_profile_loads_without_a_note(tmp_path: Path, use: str) -> None:
    assert loaded(write_guard(tmp_path, use), use).notes == ()


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        ("according our", "according to our", "according to our safety policy"),
        (" <|eot_id|>", "<|eot_id|>", "violated categories.<|eot_id|>"),
        ("<BEGIN CONVERSATION>\\n\\n", "<BEGIN CONVERSATION>\\n", "-"),
        ("User", "Human", "Human"),
    ],
)
def test_another_prompt_than_expected_is_used_and_told(tmp_path: Path, old: str, new: str, note: str) -> None:
    use = "llama_guard_3_1b"
    changed = template_of(use).replace(old, new)

    notes = loaded(write_guard(tmp_path, use, changed), use).notes

    assert any(note in line for line in notes)
    assert len(notes) <= 4
    assert all(len(line) <= 120 for line in notes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.replace("'S3': ", "'S33': "), "asks about S1, S2, S33"),
        (lambda t: t.replace("content['text'] | trim", "'' "), "leaves out the text"),
        (lambda t: t.replace("<|begin_of_text|>", ""), "0 tokens that begin a text"),
        (lambda t: t.replace("<END UNSAFE", "<STOP UNSAFE"), "not one block of categories"),
        (
            lambda t: t.replace("assistant<|end_header_id|>", "assistant<|end_header_id|>\\nun"),
            "no one token for `unsafe`",
        ),
    ],
)
def test_a_template_that_cannot_be_right_is_refused(tmp_path: Path, change: object, told: str) -> None:
    use = "llama_guard_3_1b"
    changed = change(template_of(use))  # type: ignore[operator]

    with pytest.raises(GuardSetupError, match=told):
        loaded(write_guard(tmp_path, use, changed), use)


@pytest.mark.parametrize(("size", "fits"), [(0, True), (10, False), (1_000_000, False)])
def test_a_tokenizer_of_another_size_than_the_model_is_refused(tmp_path: Path, size: int, fits: bool) -> None:
    use = "llama_guard_3_1b"
    directory = write_guard(tmp_path, use, vocab_size=size)

    if fits:
        loaded(directory, use)
        return
    with pytest.raises(GuardSetupError, match=f"`config.json` says {size}"):
        loaded(directory, use)


@pytest.mark.parametrize(("without", "told"), [("unsafe", "`unsafe`"), ("safe", "`safe`"), ("\n\n", "`blank line`")])
def test_a_vocabulary_without_the_verdicts_words_is_refused(tmp_path: Path, without: str, told: str) -> None:
    use = "llama_guard_3_1b"
    directory = write_guard(tmp_path, use)
    specials = [entry["content"] for entry in json.loads((directory / "tokenizer.json").read_text())["added_tokens"]]
    (directory / "tokenizer.json").write_text(tokenizer_of(specials, without=[without]).to_str())
    write_manifest(directory)

    with pytest.raises(GuardSetupError, match=f"no one token for {told}"):
        loaded(directory, use)


def test_the_window_is_the_smaller_of_the_profiles_and_the_models(tmp_path: Path) -> None:
    use = "llama_guard_3_1b"

    with pytest.raises(GuardSetupError, match="a window of 600 tokens leaves no room"):
        loaded(write_guard(tmp_path, use, max_position_embeddings=600), use)
    with pytest.raises(GuardSetupError, match="leaves no room"):
        loaded(write_guard(tmp_path, use), use, {"window": 200})


def test_a_guard_that_is_asked_one_thing_a_prompt_asks_them_one_by_one(tmp_path: Path) -> None:
    directory = write_guard(tmp_path, "granite_guardian_3")
    rest = [code for code in profile_of("granite_guardian_3").categories if code not in ("harm", "violence")]

    for choice in ({"categories": ["harm", "violence"]}, {"exclude": rest}):
        made = loaded(directory, "granite_guardian_3", choice)
        assert [subject.code for subject in made.prompter._subjects] == ["harm", "violence"]
        assert made.trie is None


def test_the_verdict_of_an_answer_may_be_another_than_of_a_question(tmp_path: Path) -> None:
    trees = loaded(write_guard(tmp_path, "wildguard"), "wildguard").trees

    assert len(trees[0].nodes) == 1
    assert len(trees[1].nodes) == 7
