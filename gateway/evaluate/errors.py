"""Why an evaluation did not happen, or not all of it.

EvaluationError   the command cannot do what was asked; the message is for the operator
  LinesRefused    lines of a set or a scores file that cannot be used: all of them, each with its place

A row that a guard could not judge is not here: it is counted, and reported beside the numbers it is missing from.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST_REPORTED = 100
"""A set with more bad lines than this is the wrong file; the rest are only counted."""


class EvaluationError(Exception):
    """Nothing was measured. The message holds no text of a set."""


class LinesRefused(EvaluationError):
    """`str` is one line for each problem: `file:line: what`."""

    def __init__(self, file: str, problems: Sequence[tuple[int, str]]) -> None:
        self.problems = tuple(problems)
        shown = [f"{file}:{line}: {problem}" for line, problem in self.problems[:MOST_REPORTED]]
        more = len(self.problems) - len(shown)
        super().__init__("\n".join([*shown, *([f"and {more} more"] if more else [])]))
