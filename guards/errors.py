"""Why a guard gave no verdict.

GuardError            the text was not judged; the policy's `on_error` says what follows
  kinds: timeout      no answer inside the deadline
         unavailable  the endpoint could not be reached, or is still loading
         overload     the endpoint refused for lack of room
         bad_answer   an answer came and is not a verdict (shape, NaN, label, range)
         too_long     more text than the guard's hard cap; never cut, never a pass
GuardSetupError       the guard cannot work as it is configured; raised at start or policy load, never while judging
"""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """Stable names: policies match on them and records store them."""

    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    OVERLOAD = "overload"
    BAD_ANSWER = "bad_answer"
    TOO_LONG = "too_long"


class GuardError(Exception):
    """The text was not judged. What follows is the policy's choice, see policies/decide.py."""

    def __init__(self, guard: str, kind: ErrorKind, problem: str) -> None:
        super().__init__(f"guard `{guard}` gave no verdict: {problem}")
        self.guard, self.kind, self.problem = guard, kind, problem


class GuardSetupError(Exception):
    """A model directory or an option that no guard can work with."""

    def __init__(self, guard: str, problem: str, option: str = "") -> None:
        place = f"guard `{guard}`, option `{option}`" if option else f"guard `{guard}`"
        super().__init__(f"{place}: {problem}")
        self.guard, self.problem, self.option = guard, problem, option
