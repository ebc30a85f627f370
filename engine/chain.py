"""Prompts of one request of which each begins with the one before it, run as one.

A guard asks what comes after a prompt and after the same prompt and a line break. The longer prompt passes through
every position of the shorter one, so one pass gives both answers. Each member keeps its own receiver, its own
sampling and its own way to fail; tokens that went through the model are counted once, for the longest.
"""

from __future__ import annotations

from collections.abc import Sequence as ListOf

from torch import Tensor

from engine.errors import RequestError
from engine.events import GenerateRequest
from engine.sequence import Sequence
from engine.slot import Slot


class Chain:
    """Runs the longest of its members; the others draw on the way."""

    def __init__(self, members: ListOf[Sequence]) -> None:
        """Shortest first, each prompt a beginning of the next, one token each."""
        self._members = tuple(members)
        self._longest = members[-1]
        self.slot: Slot | None = None
        self._told = 0
        """Members whose logits have come."""

    @property
    def request(self) -> GenerateRequest:
        return self._longest.request

    @property
    def ids(self) -> list[int]:
        return self._longest.ids

    @property
    def first_wanted(self) -> int:
        return self._members[min(self._told, len(self._members) - 1)].first_wanted

    @property
    def computed(self) -> int:
        return self._longest.computed

    @computed.setter
    def computed(self, count: int) -> None:
        self._longest.computed = count

    @property
    def cancelled(self) -> bool:
        return all(member.cancelled for member in self._members)

    @property
    def ended(self) -> bool:
        return all(member.ended for member in self._members)

    @property
    def is_sound(self) -> bool:
        return all(member.is_sound for member in self._members)

    def next_ids(self, budget: int) -> ListOf[int]:
        done = self.slot.filled if self.slot is not None else 0
        return self._longest.ids[done : done + budget]

    def wanted(self, count: int) -> ListOf[int]:
        done = self.slot.filled if self.slot is not None else 0
        marks = (len(member.request.prompt) - 1 - done for member in self._members[self._told :])
        return [mark for mark in marks if 0 <= mark < count]

    def ahead(self, _logits_sv: Tensor) -> None:
        """Several draw, mostly to tell what else was probable."""

    def take(self, logits_sv: Tensor, _token: int | None = None) -> None:
        for logits_v in logits_sv:
            self._members[self._told].draw(logits_v)
            self._told += 1

    def fail(self, error: RequestError) -> None:
        for member in self._members:
            member.fail(error)


def chained(sequences: ListOf[Sequence]) -> list[Sequence | Chain]:
    """The same work in fewer passes. Sequences that ask for more than one token, or stand alone, stay as they are."""
    groups: list[list[Sequence]] = []
    for sequence in sorted(sequences, key=lambda one: one.request.prompt):
        if groups and _begins_with(sequence.request, groups[-1][-1].request):
            groups[-1].append(sequence)
        else:
            groups.append([sequence])
    return [group[0] if len(group) == 1 else Chain(group) for group in groups]


def _begins_with(longer: GenerateRequest, shorter: GenerateRequest) -> bool:
    single = longer.max_tokens == shorter.max_tokens == 1 and longer.echo is shorter.echo is None
    return single and longer.prompt[: len(shorter.prompt)] == shorter.prompt
