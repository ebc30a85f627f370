"""Why a head was not cosigned, as C2SP tlog-witness has it.

Refused        an answer with a status: malformed (400), unknown key (403), unknown log (404), another size (409),
               a head that does not continue what was seen (422)
WitnessError   the witness cannot be started
"""

from __future__ import annotations


class Refused(Exception):
    """This head is not cosigned."""

    def __init__(self, status: int, problem: str, *, seen: int | None = None) -> None:
        super().__init__(problem)
        self.status, self.problem, self.seen = status, problem, seen


class WitnessError(Exception):
    """What the operator has to change."""
