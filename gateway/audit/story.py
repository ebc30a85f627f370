"""What a record has to agree with in records before it, possibly long before: the log as a story that makes sense.

Every admitted exchange ends exactly once, and a start leaves none behind. A decision cites a policy that was loaded
since the last start. Epochs are announced in order, with the key that their certificate names. Memory: the exchanges
that are open, one entry for each policy loaded since the start, and what happened since the last signed head.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.audit.chunk import ADMIT, PAIRED, PROGRESS, REFUSE, START, Event, Problem
from gateway.audit.epochs import ENDLESS, EpochChain

_ENDS = PAIRED - {ADMIT, PROGRESS, REFUSE}
_BREAKS = frozenset({START, "clock.step", "audit.fail"})


class Story:
    """Takes the events of the log in order, and says which one does not fit."""

    def __init__(self, chain: EpochChain) -> None:
        self._chain = chain
        self.open: dict[str, int] = {}
        """Exchanges that were admitted and have not ended, with the number of their record."""
        self._loaded: set[str] = set()
        self._epochs = [(0, ENDLESS if chain.version == 1 else 0)]
        """Sizes of the tree at which an epoch was announced, from the one that heads need next. Epoch 0 is not."""
        self._is_set = False
        """Whether the clock was set since a time was last found to be its epoch's."""
        self._breaks: list[int] = []
        """Sizes after records that explain why no head was signed for a while."""

    def unusual(self, base: int, events: Iterable[Event]) -> Iterator[Event]:
        """Go on with exchanges that begin and end as they should, and hand out what is left to `take`, in its order.

        Most events are such, so this says quickly what `take` would say. `base`: number of the first line's record.
        """
        opened = self.open
        for event in events:
            place, kind, request, _, policy, content = event
            if not policy and content is None:
                if kind in _ENDS and opened.pop(request, None) is not None:
                    continue
                if kind == ADMIT and request not in opened:
                    opened[request] = base + place
                    continue
            yield event

    def take(self, seq: int, event: Event, line: int) -> Problem | None:
        """Go on with the record of this number; the `line` is that of its segment."""
        if event.kind in _BREAKS:
            self._breaks.append(seq + 1)
            self._is_set = self._is_set or event.kind == "clock.step"
        problem = self._pair(seq, event) or self._cite(event)
        if problem is None and event.kind == "key.epoch" and self._chain.version > 1:
            problem = self._announce(seq, event, line)
        return problem

    def _pair(self, seq: int, event: Event) -> Problem | None:
        kind, request = event.kind, event.request
        if kind == START and self.open:
            return Problem("pairing", f"an end of request {next(iter(self.open))} before the next start", "none")
        if kind not in PAIRED:
            return None
        if kind == ADMIT:
            if request in self.open:
                return Problem("pairing", "each request admitted once", f"request {request} admitted again")
            self.open[request] = seq
            return None
        if request not in self.open and kind != REFUSE:
            return Problem("pairing", "an open request", f"request {request}, which is not open")
        if kind != PROGRESS:
            self.open.pop(request, None)
        return None

    def _cite(self, event: Event) -> Problem | None:
        if event.kind == START:
            self._loaded.clear()
        if not event.policy:
            return None
        if event.kind.startswith("policy."):
            self._loaded.add(event.policy)
        elif event.policy not in self._loaded:
            return Problem("policy", "a policy that a record since the last start loaded", f"{event.policy}")
        return None

    def _announce(self, seq: int, event: Event, line: int) -> Problem | None:
        told = event.told.get("key")
        number, id_ = (told.get("epoch"), told.get("id")) if isinstance(told, dict) else (None, None)
        epoch = self._chain.epoch(number) if type(number) is int else None
        if epoch is None or id_ != epoch.key.key_id.hex():
            return Problem("epoch", "number and key id of an epoch that is certified", "another one or none")
        if epoch.number <= self._epochs[-1][1]:
            return Problem("epoch", f"an epoch after {self._epochs[-1][1]}", f"epoch {epoch.number}")
        is_covered = epoch.covers(int(str(event.told["ts"])))
        # Heads do not follow a clock that is set back, so their epoch may be later than the record's time.
        if not is_covered and not self._is_set:
            return Problem("epoch", f"ts from {epoch.from_ns} to {epoch.until_ns}", f"ts {event.told['ts']}")
        # Before it only the record that says why the segment is a new one, or that the clock was set.
        if line > 2:
            return Problem("epoch", "`key.epoch` where a segment begins", f"it in line {line}")
        self._is_set = self._is_set and not is_covered
        self._epochs.append((seq + 1, epoch.number))
        return None

    def epoch_at(self, size: int) -> int:
        """The epoch that the first `size` records announced last. Sizes asked for do not decrease."""
        while len(self._epochs) > 1 and self._epochs[1][0] <= size:
            del self._epochs[0]
        return self._epochs[0][1]

    def explains_silence(self, after: int, upto: int) -> bool:
        """Whether records from number `after`, below `upto`, tell of a time in which no head could be signed."""
        while self._breaks and self._breaks[0] <= after:
            del self._breaks[0]
        return bool(self._breaks) and self._breaks[0] <= upto
