"""One pass of the model for some sequences, and one token for those whose prompt is through.

A pass that does not fit into memory is tried again in halves, so that only a sequence that does not fit alone is lost.
Any other failure takes all sequences of the pass: what it did to them is not known. When it has gone well, what fails
at one answer's next token takes that answer alone. Tokens that need nothing but
their logits are drawn together where those lie, and are waited for once.
"""

from __future__ import annotations

from collections.abc import Sequence as ListOf
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from engine.counters import Counters
from engine.errors import MemoryExhausted, RequestError, StepFailed
from engine.logs import log
from engine.memory import enough_memory
from engine.runner import Run, Runner
from engine.unit import Ticket, Unit

Chosen: TypeAlias = ListOf[tuple[Ticket, Run]]


class Keeper(Protocol):
    """The lane that a step belongs to."""

    counters: Counters

    def computed(self, ticket: Ticket) -> None:
        """A step went well for this one."""

    def leave(self, ticket: Ticket, keeps: bool = True) -> None:
        """Take its room back; `keeps` what it computed, for others."""


class GenerateStep:
    """Work of a lane."""

    def __init__(self, lane: Keeper, runner: Runner, chosen: Chosen) -> None:
        self._lane, self._runner, self._chosen = lane, runner, chosen

    def run(self) -> None:
        self._run(self._chosen)

    def fail(self, error: RequestError) -> None:
        self._lane.counters.failed_steps += 1
        for ticket, _ in self._chosen:
            if ticket.unit.slot is not None:
                self._lose(ticket, error)

    def _run(self, chosen: Chosen) -> None:
        try:
            logits_sv = self._runner.step([run for _, run in chosen])
        except MemoryExhausted as exc:
            self._run_less(chosen, exc)
            return
        self._lane.counters.stepped(sum(len(run.ids) for _, run in chosen))
        rows = _by_run(logits_sv, chosen)
        tokens = _ahead([ticket.unit for ticket, _ in chosen], rows)
        for (ticket, run), rows_sv, token in zip(chosen, rows, tokens, strict=True):
            self._lane.counters.recomputed_tokens += len(run.ids) - ticket.advanced()
            self._draw(ticket, rows_sv, token)
            self._lane.computed(ticket)

    def _draw(self, ticket: Ticket, rows_sv: Tensor, token: int | None) -> None:
        try:
            ticket.unit.take(rows_sv, token)
        # The pass went well for all of them: what fails now, in a grammar or a text, is this one answer's alone.
        except BaseException as exc:  # noqa: BLE001
            log.error("draw_failed", error=type(exc).__name__)
            self._lane.counters.failed_steps += 1
            told = "the answer could not be continued; the request may be sent again"
            ticket.unit.fail(StepFailed("step_failed", told))

    def _run_less(self, chosen: Chosen, error: MemoryExhausted) -> None:
        middle = len(chosen) // 2
        if middle:
            self._run(chosen[:middle])
            self._run(chosen[middle:])
        else:
            self._lane.counters.failed_steps += 1
            self._lose(chosen[0][0], error)

    def _lose(self, ticket: Ticket, error: RequestError) -> None:
        ticket.unit.fail(error)
        self._lane.leave(ticket, keeps=False)


def _ahead(units: ListOf[Unit], rows: ListOf[Tensor]) -> ListOf[int | None]:
    """The tokens that could be drawn together; None for all others, and where logits are not numbers."""
    with enough_memory("there was not enough memory to draw from this step"):
        drawn = {at: token for at, unit in enumerate(units) if (token := unit.ahead(rows[at])) is not None}
        if not drawn:
            return [None] * len(units)
        are_finite = torch.isfinite(torch.cat([rows[at] for at in drawn])).all(dim=1)
        told = torch.stack(list(drawn.values())).masked_fill(~are_finite, -1).tolist()
    found = {at: token for at, token in zip(drawn, told, strict=True) if token >= 0}
    return [found.get(at) for at in range(len(units))]


def _by_run(logits_sv: Tensor, chosen: Chosen) -> ListOf[Tensor]:
    rows, begin = [], 0
    for _, run in chosen:
        rows.append(logits_sv[begin : begin + len(run.wanted)])
        begin += len(run.wanted)
    return rows
