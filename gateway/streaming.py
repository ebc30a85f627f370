"""When a window of an answer is judged: the one place where hold-back, pace and clock meet.

One window is judged at a time. What comes meanwhile is read on by the pump and becomes the next window, so neither does
judging stall the model, nor do judgings pile up when guards are slow. A window is due when enough new text has come
(gateway/pace.py says what enough is), when its oldest text has waited for `max_wait`, or when `max_delay` is about to
pass; the last one also lets out what is otherwise held back. In `buffer` mode there is one window, at the end. In
`shadow_only` mode text goes out as it comes, and the one window that is judged is the last.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncGenerator, Callable, Iterable

from gateway.errors import UpstreamFailed
from gateway.exchange import AnswerEvent, Usage
from gateway.holdback import Holdback, Window
from gateway.pace import Bounds, Pace
from gateway.pump import Pump
from policies.settings import StreamSpec


class Windows:
    """The windows of one answer, in order. After each, `judged` has to be told how long its judging took."""

    def __init__(
        self, held: Holdback, spec: StreamSpec, *, windowed: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`windowed`: whether text may leave before the end, by the mode of `spec`."""
        self._held, self._spec, self._windowed, self._clock = held, spec, windowed, clock
        least = max(1, spec.window_chars)
        bounds = Bounds(least, max(least, spec.window_most_chars), spec.holdback_chars, spec.max_delay_s)
        self.pace = Pace(bounds)
        self.usage: Usage | None = None
        self._heard_at: float | None = None

    async def of(self, events: AsyncGenerator[AnswerEvent]) -> AsyncGenerator[Window]:
        """Yield what is to be judged, the final window last. Raises GatewayError when the answer fails."""
        if self._windowed and self._spec.mode == "shadow_only":
            async for event in events:
                self._feed((event,), 0.0)
                if window := self._held.passing():
                    yield window
        elif self._windowed:
            async with Pump(events, self._clock) as pump:
                while (batch := await pump.batch(self._patience())) != []:
                    if batch:
                        self._take_in(batch, pump.since)
                    if window := self._due():
                        yield window
        else:
            async for event in events:
                self._feed((event,), 0.0)
        if not self._held.is_complete:
            raise UpstreamFailed("upstream_cut_off", "the model server's answer ended before it was complete")
        yield self._held.last()

    def judged(self, seconds: float) -> None:
        """The latest window took this long to be judged and recorded."""
        self.pace = self.pace.judged(seconds)

    def _take_in(self, batch: Iterable[AnswerEvent], since: float) -> None:
        """`since` is when the first of the batch came. Its text has come between then and now."""
        before = self._held.received_chars
        self._feed(batch, since)
        chars, now = self._held.received_chars - before, self._clock()
        if chars:
            if self._heard_at is not None:
                self.pace = self.pace.heard(chars, now - self._heard_at)
            self._heard_at = now

    def _feed(self, batch: Iterable[AnswerEvent], since: float) -> None:
        for event in batch:
            if isinstance(event, Usage):
                self.usage = event
            else:
                self._held.feed(event, since)

    def _due(self) -> Window | None:
        now, leaves_by = self._clock(), self._leaves_by()
        if now >= leaves_by:
            return self._held.overdue()
        window = self._held.due(self.pace.window, waited=now >= self._judged_by())
        if window and now + self.pace.expected_s >= leaves_by:
            return self._held.overdue()  # there is no time for another judging after this one
        return window

    def _patience(self) -> float | None:
        """How long to wait for more text before a window is due without it; None: there is nothing to be judged."""
        until = min(self._judged_by(), self._leaves_by())
        return None if until == math.inf else max(0.0, until - self._clock())

    def _judged_by(self) -> float:
        since = self._held.unjudged_since()
        return math.inf if since is None else since + self._spec.max_wait_s

    def _leaves_by(self) -> float:
        since = self._held.unreleased_since() if self._spec.max_delay_ms else None
        return math.inf if since is None else since + self.pace.spare_s
