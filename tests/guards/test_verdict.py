"""The shared values refuse what would not compare or replay."""

from __future__ import annotations

import pytest

from guards.errors import ErrorKind
from guards.verdict import PPM, Context, Finding, Part, Scope, Span, Verdict

PART = Part(Scope.USER, "/messages/0/content", "user", "secret é")


def test_a_part_does_not_show_its_text_and_counts_utf_8() -> None:
    assert "secret" not in repr(PART)
    assert PART.bytes == 9


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 2), (3, 2)])
def test_a_span_is_inside_a_text_and_not_empty(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="span"):
        Span(start, end, "x")


@pytest.mark.parametrize(
    "values",
    [
        {"score_ppm": -1},
        {"score_ppm": PPM + 1},
        {"score_ppm": 0, "categories": (("S2", 0), ("S1", 0))},
        {"score_ppm": 0, "categories": (("S1", 0), ("S1", 0))},
        {"score_ppm": 0, "categories": (("S1", PPM + 1),)},
        {"score_ppm": 0, "spans": (Span(2, 3, "x"), Span(0, 1, "x"))},
    ],
)
def test_a_verdict_that_would_not_replay_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"score|categor|spans"):
        Verdict(**values)  # type: ignore[arg-type]


def test_a_finding_is_a_verdict_or_an_error_never_both_or_neither() -> None:
    assert Finding("d", PART, Verdict(0)).error is None
    assert Finding("d", PART, None, ErrorKind.TIMEOUT).verdict is None
    for verdict, error in ((None, None), (Verdict(0), ErrorKind.TIMEOUT)):
        with pytest.raises(ValueError, match="either"):
            Finding("d", PART, verdict, error)


def request_part(index: int, role: str, text: str, scope: Scope = Scope.HISTORY, field: str = "content") -> Part:
    return Part(scope, f"/messages/{index}/{field}", role, text)


CONVERSATION = (
    request_part(0, "developer", "be brief", Scope.SYSTEM),
    request_part(1, "user", "weather?"),
    Part(Scope.TOOL_CALL, "/messages/2/tool_calls/0/function/name", "tool", "forecast"),
    Part(Scope.TOOL_CALL, "/messages/2/tool_calls/0/function/arguments", "tool", '{"city":"Oslo"}'),
    request_part(3, "tool", "rain", Scope.TOOL_RESULT),
    request_part(10, "user", "and tomorrow?", Scope.USER),
    Part(Scope.TOOL_SCHEMA, "/tools/0/function", "tool", "forecast(city)"),
)


def test_a_conversation_has_one_turn_for_each_message_and_none_for_schemas() -> None:
    turns = Context.of(CONVERSATION, "clinic").turns

    assert [(turn.role, turn.text) for turn in turns] == [
        ("system", "be brief"),
        ("user", "weather?"),
        ("assistant", 'forecast\n{"city":"Oslo"}'),
        ("tool", "rain"),
        ("user", "and tomorrow?"),
    ]


def test_the_history_of_a_part_is_what_was_said_before_it() -> None:
    context = Context.of(CONVERSATION)

    assert [turn.path for turn in context.history(CONVERSATION[5])] == [f"/messages/{n}" for n in range(4)]
    assert context.history(CONVERSATION[0]) == ()
    assert context.history(CONVERSATION[6]) == ()
    answer = Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", "sun")
    assert context.history(answer) == context.turns


def test_neither_turns_nor_what_precedes_a_part_show_their_text() -> None:
    part = Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", "tail", preceding="hidden")

    assert "hidden" not in repr(part)
    assert "brief" not in repr(Context.of(CONVERSATION))


def test_context_holds_what_the_request_declares() -> None:
    parts = [
        Part(Scope.USER, "/messages/0/content", "user", "hi"),
        Part(Scope.TOOL_SCHEMA, "/tools/0/function", "tool", '{"name":"get"}'),
    ]
    assert Context.of(parts).schemas == (("/tools/0/function", '{"name":"get"}'),)
    assert '"get"' not in repr(Context.of(parts))
