"""Whether an answer leaves whole is known before it begins, and never guessed the short way."""

from __future__ import annotations

import pytest

from policies.model import Facts
from policies.streams import stream_for
from tests.policies.build import policy_of

WINDOW = "defaults: {stream: {mode: window, window: 64 tokens}}\n"
RULE = "- {id: r, on: [output], %s, stream: {mode: buffer}, do: {block: {code: c}}}"


def mode(rule: str, app: str = "a", **more: object) -> str:
    return stream_for(policy_of(rule, defaults=WINDOW), Facts((), "t", app, "m", **more)).mode


@pytest.mark.parametrize(
    ("when", "whole"),
    [
        ("when: {harm: {unsafe: true}}", True),
        ("when: {app: a}", True),
        ("when: {app: b, harm: {unsafe: true}}", False),
        ("when: {app: {not_in: [a]}}", False),
        ("unless: {app: a}", False),
        ("when: {harm: {unsafe: true}}, unless: {app: b}", True),
        ("when: {desk: lab}", False),
        ("when: {app: a}, mode: off, until: 2030-01-01", True),
        ("when: {app: a}, mode: shadow", False),
    ],
)
def test_a_rule_that_may_look_has_the_answer_held_whole(when: str, whole: bool) -> None:
    assert mode(RULE % when) == ("buffer" if whole else "window")


def test_which_tool_will_be_called_is_not_known_yet() -> None:
    rule = "- {id: r, on: [tool_call], when: {tool: pay}, stream: {mode: buffer}, do: {block: {code: c}}}"
    assert mode(rule) == mode(rule.replace("when", "unless")) == "buffer"


def test_without_such_a_rule_it_is_as_the_defaults_say() -> None:
    assert mode("- {id: r, on: [output], do: allow}") == "window"
