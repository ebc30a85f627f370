"""What an operator writes is checked, and no message repeats it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.admin.content_fields import LONGEST_REASON, case, name, reason
from gateway.errors import BadRequest


def test_what_is_right_is_taken() -> None:
    assert reason({"reason": "complaint of 3 May"}) == "complaint of 3 May"
    assert case({"case": "C-2026:117"}) == "C-2026:117"
    assert name("sub_0123", "subject") == "sub_0123"


@pytest.mark.parametrize("value", [None, "", 5, "two\nlines", "x" * (LONGEST_REASON + 1), "esc\x1b[2J"])
def test_a_reason_is_one_line(value: Any) -> None:
    with pytest.raises(BadRequest) as error:
        reason({"reason": value})
    assert "two" not in error.value.message


@pytest.mark.parametrize("value", [None, "", "a b", "x" * 129, ["a"], "a'b"])
def test_a_case_is_a_name(value: Any) -> None:
    with pytest.raises(BadRequest):
        case({"case": value})
