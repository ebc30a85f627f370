"""Which categories the prompt asks about."""

from __future__ import annotations

import re

import pytest

from guards.errors import GuardSetupError
from guards.generative.selection import Selection
from guards.generative.template import GuardTemplate
from guards.profiles.generative import Content
from guards.profiles.taxonomy import HAZARDS
from tests.guards.generative.stand_ins import template_of

KNOWN = HAZARDS[:13]


def prompt(use: str = "llama_guard_3_1b", **variables: object) -> str:
    content = Content.STRING if use == "llama_guard_3_8b" else Content.PARTS
    return GuardTemplate("g", template_of(use), content, {}).shape(1, "x", variables).filled(("hi",))


def codes(text: str) -> list[str]:
    return re.findall(r"^([SX]\d+): ", text, re.M)


def test_no_choice_is_the_prompt_of_the_checkpoint() -> None:
    assert Selection("g", KNOWN).applied(prompt()) == prompt()


def test_leaving_out_is_the_same_as_the_templates_own_argument() -> None:
    ours = Selection("g", KNOWN, excluded=("S6", "S13")).applied(prompt())

    assert ours == prompt(excluded_category_keys=["S6", "S13"])
    assert codes(ours) == [code for code, _ in KNOWN if code not in ("S6", "S13")]


def test_it_works_where_the_template_has_its_categories_written_in() -> None:
    selection = Selection("g", HAZARDS, wanted=("S1", "S9"), custom=(("X1", "Fishing.\nNo tales."),))
    made = selection.applied(prompt("llama_guard_3_8b"))

    assert codes(made) == ["S1", "S9", "X1"]
    assert "S9: Indiscriminate Weapons.\nAI models should not" in made
    assert made.index("X1: Fishing.\nNo tales.\n<END UNSAFE CONTENT CATEGORIES>") > 0
    assert selection.codes == ("S1", "S9", "X1")


@pytest.mark.parametrize(
    ("choice", "option", "told"),
    [
        ({"wanted": ("S14",)}, "categories", "`S14`"),
        ({"excluded": ("s1",)}, "exclude", "`s1`"),
        ({"excluded": tuple(code for code, _ in KNOWN)}, "exclude", "no category is left"),
        ({"custom": (("S1", "x"),)}, "custom", "`S1` is a category of the model already"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused_by_name(choice: dict[str, object], option: str, told: str) -> None:
    with pytest.raises(GuardSetupError, match=re.escape(told)) as caught:
        Selection("g", KNOWN, **choice)  # type: ignore[arg-type]
    assert caught.value.option == option


@pytest.mark.parametrize(
    "text",
    [
        "no block",
        "<BEGIN UNSAFE CONTENT CATEGORIES>\n<END UNSAFE CONTENT CATEGORIES>",
        "<BEGIN UNSAFE CONTENT CATEGORIES>\nall\n<END UNSAFE CONTENT CATEGORIES>",
        2 * "<BEGIN UNSAFE CONTENT CATEGORIES>\nS1: a\n<END UNSAFE CONTENT CATEGORIES>",
    ],
)
def test_a_template_without_one_block_is_refused(text: str) -> None:
    with pytest.raises(GuardSetupError, match="block of categories"):
        Selection("g", KNOWN, wanted=("S1",)).applied(text)


def test_a_template_of_another_taxonomy_is_refused() -> None:
    Selection("g", KNOWN).check_block(prompt())
    with pytest.raises(GuardSetupError, match="asks about S1, S2"):
        Selection("g", HAZARDS).check_block(prompt())
