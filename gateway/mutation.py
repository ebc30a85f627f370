"""How many small mistakes in a policy its own tests notice: the mutation score, for `policy coverage --mutate`.

A mistake is noticed when some test fails with it. The tests that are likeliest to notice run first, and the first that
does ends the matter; one that none notices has run them all. Time is bounded, and what it did not suffice for is said.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvloop

from gateway.rehearsal import Rehearsal, Rehearsed
from policies.cases import Case
from policies.model import Policy
from policies.mutants import Mutant, mutants


@dataclass(frozen=True, slots=True)
class Mutation:
    """What came of it."""

    killed: int
    survivors: tuple[Mutant, ...]
    untried: int = 0
    """Mistakes that there was no time for."""

    @property
    def tried(self) -> int:
        return self.killed + len(self.survivors)

    @property
    def percent(self) -> int:
        """Of those that were tried, rounded down, so that 100 is all."""
        return 100 * self.killed // self.tried if self.tried else 100


def mutation(
    policy: Policy, cases: Sequence[Rehearsed], seconds: float, clock: Callable[[], float] = time.monotonic
) -> Mutation:
    """`cases` are the policy's own tests and what came of them: all passed. Blocks: not for an event loop."""
    return uvloop.run(_mutation(policy, cases, clock() + seconds, clock))


async def _mutation(policy: Policy, cases: Sequence[Rehearsed], ends: float, clock: Callable[[], float]) -> Mutation:
    own, survivors = Rehearsal(policy), list[Mutant]()
    killed = untried = 0
    for mutant in mutants(policy):
        if clock() >= ends:
            untried += 1
        elif await Rehearsal(mutant.policy, like=own).first_failing(_likeliest_first(mutant, cases)):
            killed += 1
        else:
            survivors.append(mutant)
    return Mutation(killed, tuple(survivors), untried)


def _likeliest_first(mutant: Mutant, cases: Sequence[Rehearsed]) -> list[Case]:
    """Those in which the rule decided, then the others."""
    return [one.case for one in sorted(cases, key=lambda one: mutant.rule not in one.deciding | one.shadow)]
