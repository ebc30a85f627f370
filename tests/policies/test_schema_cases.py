"""Tests in a policy file, as editors see them."""

from __future__ import annotations

import pytest

from policies.schema_cases import case_form, fake_form
from tests.policies.json_schema import Schema

CASE = {"name": "n", "send": {"messages": [{"user": "hi"}]}, "expect": {"action": "review"}}
FORM = Schema(case_form() | {"$defs": {"fake": fake_form(), "share": {"type": "number"}}})


@pytest.mark.parametrize(
    ("edit", "accepted"),
    [
        ({}, True),
        ({"fake": {"reviews": [{"by": "u1", "vote": "approve"}], "clock": "2026-12-31"}}, True),
        ({"fake": {"reviews": [{"by": "u1", "vote": "maybe"}]}}, False),
        ({"fake": {"upstream": {"tool_calls": [{"pay": {"amount": 9}}], "class": "external"}}}, True),
        ({"expect": {"action": "review", "state": "pending", "because": "0 of 1"}}, True),
        ({"expect": {"action": "review", "state": "open"}}, False),
        ({"expect": {}}, False),
        ({"send": {"messages": []}}, False),
    ],
)
def test_what_a_case_may_say(edit: dict[str, object], accepted: bool) -> None:
    assert FORM.accepts(CASE | edit) is accepted
