"""In which form a client is told of a block: as an HTTP error, or as an answer that ends in `content_filter`.

A block on a request is an error and one on an answer an answer, unless the rule says otherwise; a guard without a
verdict is always an error. Once the status line is out an error can only be an event in the stream, and one choice of
several that others outlive can only end.
"""

from __future__ import annotations

from typing import Final

from gateway.steps import Blocked
from policies.actions import ERROR, REFUSAL
from policies.model import GUARD_UNAVAILABLE

ANSWERED: Final = 200


def is_error(step: Blocked) -> bool:
    """Whether the client gets an error."""
    if step.decision.code == GUARD_UNAVAILABLE:
        return True
    if step.choice is not None:
        return False
    return step.decision.dialect == ERROR or (not step.on_answer and step.decision.dialect != REFUSAL)


def status_of(step: Blocked, *, begun: bool) -> int:
    """The HTTP status; `begun`: something of the answer has left."""
    return step.decision.status if is_error(step) and not begun else ANSWERED
