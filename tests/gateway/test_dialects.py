"""An error or an answer: as the rule says or as is usual; no error where the answer has begun or others go on."""

from __future__ import annotations

import pytest

from gateway.dialects import is_error, status_of
from gateway.steps import Blocked
from policies.actions import ERROR, REFUSAL
from policies.model import GUARD_UNAVAILABLE, Action, Decision


def block(
    dialect: str = "", code: str = "x", status: int = 400, *, on_answer: bool, choice: int | None = None
) -> Blocked:
    return Blocked(1, Decision(Action.BLOCK, code=code, status=status, dialect=dialect), on_answer, choice)


@pytest.mark.parametrize(
    ("step", "error", "status"),
    [
        (block(on_answer=False), True, 400),
        (block(ERROR, on_answer=False), True, 400),
        (block(REFUSAL, status=200, on_answer=False), False, 200),
        (block(on_answer=True), False, 200),
        (block(ERROR, on_answer=True), True, 400),
        (block(REFUSAL, status=200, on_answer=True), False, 200),
        (block(ERROR, on_answer=True, choice=1), False, 200),
        (block(code=GUARD_UNAVAILABLE, status=503, on_answer=True), True, 503),
        (block(code=GUARD_UNAVAILABLE, status=503, on_answer=False), True, 503),
    ],
)
def test_how_a_client_is_told(step: Blocked, error: bool, status: int) -> None:
    assert is_error(step) is error
    assert status_of(step, begun=False) == status
    assert status_of(step, begun=True) == 200
