"""Spans are replaced and nothing else, and what was JSON or a name is one afterwards, or that is noticed."""

from __future__ import annotations

import pytest

from gateway.redaction import is_same_form, keeps_form, redacted
from guards.verdict import Part, Scope
from policies.model import Redaction

CALL = "/choices/0/message/tool_calls/0/function"
NAME = Part(Scope.TOOL_CALL, f"{CALL}/name", "tool", "pay")
ARGUMENTS = Part(Scope.TOOL_CALL, f"{CALL}/arguments", "tool", '{"a": 1}')


def test_redacted_replaces_spans_and_nothing_else() -> None:
    cuts = [Redaction("/p", 0, 1, "A", "r"), Redaction("/p", 2, 4, "", "r")]
    assert redacted("abcde", cuts) == "Abe"


@pytest.mark.parametrize(
    ("cut", "is_kept"),
    [
        (Redaction(ARGUMENTS.path, 6, 7, "2", "r"), True),
        (Redaction(ARGUMENTS.path, 0, 3, "[x]", "r"), False),
        (Redaction(NAME.path, 0, 3, "tool", "r"), True),
        (Redaction(NAME.path, 0, 3, "no tool", "r"), False),
        (Redaction("/elsewhere", 0, 3, "[x]", "r"), True),
    ],
)
def test_a_call_that_would_be_none_afterwards_is_noticed(cut: Redaction, is_kept: bool) -> None:
    assert keeps_form([NAME, ARGUMENTS], [cut]) is is_kept


def test_text_has_no_form_to_keep() -> None:
    text = Part(Scope.OUTPUT, "/choices/0/message/content", "assistant", '{"a": 1}')
    assert keeps_form([text], [Redaction(text.path, 0, 3, "[x]", "r")])


def test_what_was_no_json_need_not_become_some() -> None:
    broken = Part(Scope.TOOL_CALL, f"{CALL}/arguments", "tool", '{"a": ')
    assert is_same_form(broken, "[x]")
