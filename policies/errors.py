"""What can be wrong with a file that a person wrote, and where.

    FileErrors            one or more problems, each with its place; nothing of the file was taken over
      PolicyErrors        the file is a policy

All problems of a file come at once, sorted by place, because an author who fixes one a time gives up.
A message names what was found and what was expected. It may quote a key or a short value of the file, never a
text that a test case in it sends.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

MOST_REPORTED = 100
"""A file with more problems than this is the wrong file; the rest are only counted."""

MOST_COMPARED = 256
"""Names of which one is told as the nearest. Comparing takes its time, and a file may have a problem in every line."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A character in a file; line and column count from 1, as editors do."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class PolicyProblem:
    """One thing to fix."""

    place: Place
    problem: str
    hint: str = ""
    """What to do about it, when that is known: `did you mean …?`"""

    def __str__(self) -> str:
        return f"{self.place}: {self.problem}" + (f" ({self.hint})" if self.hint else "")


class FileErrors(Exception):
    """The file was not taken over. `str` is one line for each problem."""

    def __init__(self, problems: Iterable[PolicyProblem], uncounted: int = 0) -> None:
        self.problems = tuple(sorted(set(problems)))
        self.count = len(self.problems) + uncounted
        more = [f"and {uncounted} more"] if uncounted else []
        super().__init__("\n".join([*map(str, self.problems), *more]))


class PolicyErrors(FileErrors):
    """The policy was not loaded; whatever was in force stays in force."""


class Problems:
    """Collects the problems of one file while its reading goes on."""

    def __init__(self) -> None:
        self._found: list[PolicyProblem] = []
        self._uncounted = 0

    def add(self, place: Place, problem: str, hint: str = "") -> None:
        if len(self._found) >= MOST_REPORTED:
            self._uncounted += 1
            return
        self._found.append(PolicyProblem(place, problem, hint))

    def __len__(self) -> int:
        return len(self._found) + self._uncounted

    def raise_if_any(self, kind: type[FileErrors] = FileErrors) -> None:
        if self._found:
            raise kind(self._found, self._uncounted)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The hint with the nearest known name, or nothing when none is near, or too many are known to look through."""
    names = list(known)
    near = difflib.get_close_matches(name[:80], names, n=1) if len(names) <= MOST_COMPARED else []
    return f"did you mean `{near[0]}`?" if near else ""
