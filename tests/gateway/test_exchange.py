"""The values between the steps: frozen, comparable, and silent about the text they hold when printed."""

from __future__ import annotations

import dataclasses

import pytest

from gateway import exchange as values
from gateway.exchange import (
    Caller,
    Channel,
    ChatRequest,
    Ended,
    Finish,
    ReleasedCalls,
    ReleasedText,
    TextDelta,
    TokenLogprob,
    ToolCall,
    ToolDelta,
    Usage,
)
from guards.verdict import Part, Scope

CANARY = "canary-in-a-value"
EXAMPLES = [
    Caller("k", "t", "a"),
    ChatRequest("m", {"messages": CANARY}, (Part(Scope.USER, "/input/0", "user", CANARY),), True, False, 1, 9),
    TokenLogprob(CANARY.encode(), -0.5),
    TextDelta(0, Channel.CONTENT, CANARY, (TokenLogprob(CANARY.encode(), -0.5),)),
    ToolDelta(0, 0, "c1", "run", CANARY),
    Finish(0, "stop"),
    Usage({"total_tokens": 1}),
    ToolCall("c1", "run", CANARY),
    ReleasedText(0, Channel.REASONING, CANARY, (TokenLogprob(CANARY.encode(), -0.5),)),
    ReleasedCalls(0, (ToolCall("c1", "run", CANARY),)),
    Ended(0, "stop"),
]  # fmt: skip


def test_there_is_an_example_of_every_value() -> None:
    kinds = {kind for kind in vars(values).values() if dataclasses.is_dataclass(kind) and kind is not Part}
    assert {type(example) for example in EXAMPLES} == kinds


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)
def test_a_value_in_a_log_line_or_a_traceback_shows_no_text(value: object) -> None:
    assert CANARY not in repr(value)
    assert CANARY not in str(value)
    assert CANARY not in f"{value}"


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: type(value).__name__)
def test_a_value_does_not_change_after_it_was_judged(value: object) -> None:
    name = next(iter(dataclasses.fields(value))).name  # type: ignore[arg-type] # all are dataclasses
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, name, "changed")
    assert not hasattr(value, "__dict__")


def test_channels_are_the_names_that_clients_read() -> None:
    assert [str(channel) for channel in Channel] == ["content", "reasoning_content", "refusal"]
