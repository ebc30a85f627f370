"""Who says what, as a guard's template sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guards.generative.conversation import Side, alone, judged_text, latest, side_of, turns_before, without_oldest
from guards.verdict import Context, Part, Scope, Turn


def context(*turns: tuple[str, str]) -> Context:
    return Context(tuple(Turn(role, f"/messages/{i}", text) for i, (role, text) in enumerate(turns)))


def user(at: int, text: str = "now") -> Part:
    return Part(Scope.USER, f"/messages/{at}/content", "user", text)


ANSWER = Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", "sure", preceding="well, ")


@pytest.mark.parametrize(
    ("scope", "role", "side"),
    [
        (Scope.USER, "user", Side.USER),
        (Scope.SYSTEM, "system", Side.USER),
        (Scope.TOOL_RESULT, "tool", Side.USER),
        (Scope.TOOL_SCHEMA, "tool", Side.USER),
        (Scope.HISTORY, "user", Side.USER),
        (Scope.HISTORY, "assistant", Side.AGENT),
        (Scope.TOOL_CALL, "tool", Side.AGENT),
        (Scope.OUTPUT, "assistant", Side.AGENT),
        (Scope.REASONING, "assistant", Side.AGENT),
    ],
)
def test_what_a_model_said_is_the_agents_and_all_else_the_users(scope: Scope, role: str, side: Side) -> None:
    assert side_of(Part(scope, "/x", role, "t")) is side


def test_a_tool_result_is_untrusted_input_and_not_the_agents_word() -> None:
    told = context(("user", "look it up"), ("assistant", "search(x)"))
    result = Part(Scope.TOOL_RESULT, "/messages/2/content", "tool", "found")

    assert turns_before(result, told) == ("look it up", "search(x)")
    assert side_of(result) is Side.USER


def test_the_judged_message_stands_in_a_turn_of_its_own() -> None:
    """A system text before a question is not judged with it: an empty answer stands between."""
    told = context(("system", "be nice"), ("user", "now"))

    assert turns_before(user(1), told) == ("be nice", "")


def test_neighbours_of_one_side_are_one_turn_and_nothing_is_lost() -> None:
    told = context(("system", "a"), ("user", "b"), ("assistant", "c"), ("tool", "d"), ("user", "e"), ("user", "now"))

    assert turns_before(user(5), told) == ("a\n\nb", "c", "d\n\ne", "")


def test_a_conversation_that_an_assistant_begins_has_an_empty_turn_first() -> None:
    assert turns_before(user(1), context(("assistant", "hello"), ("user", "now"))) == ("", "hello")


def test_an_answer_is_judged_after_everything_and_with_what_came_before_its_window() -> None:
    told = context(("user", "q1"), ("assistant", "a1"), ("user", "q2"))

    assert turns_before(ANSWER, told) == ("q1", "a1", "q2")
    assert judged_text(ANSWER) == "well, sure"
    assert alone(ANSWER, told) == ("q2",)


def test_alone_a_question_has_nothing_before_it_and_an_answer_the_end_of_its_question() -> None:
    long = "x" * 5_000 + "end"

    assert alone(user(0), context()) == ()
    assert alone(ANSWER, context(("user", long))) == (long[-2_000:],)
    assert alone(ANSWER, context()) == ("",)
    assert turns_before(ANSWER, context()) == ("",)


@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant", "tool"]), st.sampled_from(["", " ", "a", "b"])))
)
def test_turns_alternate_hold_every_text_and_put_the_part_on_its_side(turns: list[tuple[str, str]]) -> None:
    told = context(*turns)
    for part in (user(len(turns)), ANSWER):
        made = turns_before(part, told)
        assert len(made) % 2 == side_of(part)
        assert "".join("".join(made).split()) == "".join(text.strip() for _, text in turns)


@given(st.integers(0, 9), st.integers(1, 9))
def test_shortening_keeps_the_side_and_the_last_turns(count: int, most: int) -> None:
    texts = tuple(map(str, range(count)))
    kept = latest(texts, most)

    assert len(kept) <= most
    assert len(kept) % 2 == count % 2
    assert texts[count - len(kept) :] == kept
    assert without_oldest(texts) == texts[2:]
