"""From probabilities to a score, by hand for every shape of answer."""

from __future__ import annotations

import math

import pytest

from guards.errors import ErrorKind, GuardError, GuardSetupError
from guards.generative.scoring import AnswerTree, likeliest, score, tree_of
from guards.generative.tokens import GuardTokenizer
from guards.profiles.generative import AnswerForm, Line
from guards.profiles.llama_guard_prompt import ANSWER
from guards.profiles.wildguard import WILDGUARD
from tests.guards.generative.stand_ins import LLAMA3, tokenizer_of

TOKENIZER = GuardTokenizer("g", tokenizer_of(LLAMA3).to_str())
SAFE, UNSAFE, BLANK = (TOKENIZER.words(word)[0] for word in ("safe", "unsafe", "\n\n"))


def tree(form: AnswerForm = ANSWER, tail: str = "") -> AnswerTree:
    return tree_of("g", form, TOKENIZER, tail)


def test_both_places_of_a_verdict_are_asked_for_and_summed() -> None:
    made = tree()

    assert [node.ids for node in made.nodes] == [(), (BLANK,)]
    assert set(made.wanted) == {SAFE, UNSAFE, BLANK}
    found = [{BLANK: 0.9, UNSAFE: 0.06, SAFE: 0.02}, {UNSAFE: 0.3, SAFE: 0.6}]
    unsafe, safe = 0.06 + 0.9 * 0.3, 0.02 + 0.9 * 0.6
    assert score("g", made, found, 0.5) == pytest.approx(unsafe / (unsafe + safe))


def test_after_a_prompt_that_ends_with_the_blank_line_there_is_one_place() -> None:
    made = tree(tail="\n\n")

    assert [node.ids for node in made.nodes] == [()]
    assert score("g", made, [{UNSAFE: 0.2, SAFE: 0.6}], 0.5) == pytest.approx(0.25)


@pytest.mark.parametrize(
    "found",
    [
        [{BLANK: 0.9, UNSAFE: 0.01, SAFE: 0.01}, {UNSAFE: 0.2, SAFE: 0.3}],
        [{BLANK: 1.0}, {}],
        [{}, {UNSAFE: 0.5, SAFE: 0.5}],
        [{BLANK: 1.0}, {UNSAFE: math.nan, SAFE: 0.5}],
        [{BLANK: math.inf}, {UNSAFE: 0.5, SAFE: 0.5}],
        [{BLANK: 1.0, UNSAFE: 0.5}, {UNSAFE: 0.5, SAFE: 0.5}],
    ],
)
def test_a_model_that_says_something_else_gives_no_score(found: list[dict[int, float]]) -> None:
    with pytest.raises(GuardError, match="on a verdict") as caught:
        score("g", tree(), found, 0.5)
    assert caught.value.kind is ErrorKind.BAD_ANSWER


def test_the_floor_can_be_raised() -> None:
    found = [{BLANK: 1.0}, {UNSAFE: 0.4, SAFE: 0.4}]

    assert score("g", tree(), found, 0.5) == 0.5
    with pytest.raises(GuardError):
        score("g", tree(), found, 0.9)


def test_lines_before_the_verdict_are_summed_over() -> None:
    assert WILDGUARD.agent_answer is not None
    made = tree(WILDGUARD.agent_answer)
    yes, no = TOKENIZER.words(" yes")[0], TOKENIZER.words(" no")[0]

    assert len(made.nodes) == 1 + 2 + 4
    by_place = {"": {yes: 0.7, no: 0.3}}
    found = []
    for node in made.nodes:
        said = node.ids
        depth = sum(token in (yes, no) for token in said)
        harmful_request = [token for token in said if token in (yes, no)][:1] == [yes]
        verdict = {yes: 0.8, no: 0.2} if harmful_request else {yes: 0.1, no: 0.9}
        found.append(by_place[""] if depth == 0 else {yes: 0.5, no: 0.5} if depth == 1 else verdict)
    assert score("g", made, found, 0.5) == pytest.approx(0.7 * 0.8 + 0.3 * 0.1)


def test_what_stands_before_the_verdict_is_written_for_the_model() -> None:
    form = AnswerForm((" Safe",), (" Unsafe", " Controversial"), text="Safety:", is_token=False)

    made = tree(form)

    assert [node.ids for node in made.nodes] == [TOKENIZER.words("Safety:")]
    assert len(made.wanted) == 3


def test_words_of_several_tokens_are_told_apart_by_the_first() -> None:
    form = AnswerForm(("okay",), ("bad",), is_token=False)
    first = {word: TOKENIZER.words(word)[0] for word in ("okay", "bad")}

    assert score("g", tree(form), [{first["bad"]: 0.3, first["okay"]: 0.6}], 0.5) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (AnswerForm(("okay",), ("unsafe",)), "no one token for `okay`"),
        (AnswerForm(("safe",), ("unsafe",), opening="\n\t\n"), "no one token for `blank line`"),
        (AnswerForm(("base",), ("bad",), is_token=False), "begin with the same token"),
        (AnswerForm(("safe",), ("unsafe",), text="\n"), "joins"),
        (AnswerForm(("safe",), ("unsafe",), before=(Line("Is it", ("1",)),), text="2"), "joins"),
    ],
)
def test_an_answer_that_the_tokenizer_cannot_tell_apart_is_refused(form: AnswerForm, told: str) -> None:
    with pytest.raises(GuardSetupError, match=told):
        tree(form, tail="\n" if told == "joins" and not form.before else "")


def test_the_likeliest_way_is_where_a_list_of_codes_goes_on() -> None:
    made = tree()

    assert likeliest(made, [{BLANK: 0.9, UNSAFE: 0.05}, {UNSAFE: 0.5}]) == (BLANK, UNSAFE)
    assert likeliest(made, [{BLANK: 0.1, UNSAFE: 0.8}, {UNSAFE: 0.5}]) == (UNSAFE,)
