"""Answer text held back until it has been judged. Pure: no clock, no guards, no sockets.

Streaming is a release policy, not a second code path. A unary answer and the `buffer` mode judge once, at the end. The
`window` mode judges whenever a window's worth of new text has come, and lets out all but the last `holdback`
characters, so that a secret or a sentence cut by a window's edge is seen whole before any of it leaves. Tool calls are
always held until their choice is complete.

Invariants, tested as properties: text is released at most once and in order; every released character lay inside a
window that was judged; no character of a span that was to be redacted leaves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.errors import UpstreamFailed
from gateway.exchange import (
    Channel,
    Ended,
    Finish,
    Released,
    ReleasedCalls,
    ReleasedText,
    TextDelta,
    ToolCall,
    ToolDelta,
)
from gateway.jsonstrict import is_json, without_escapes
from guards.verdict import Part, Scope
from policies.model import Redaction

CONTEXT_WINDOWS: Final = 4
"""A window is judged with this many windows of already judged text before it, so that guards see what it follows."""
_SCOPES: Final = {
    Channel.CONTENT: Scope.OUTPUT,
    Channel.REFUSAL: Scope.OUTPUT,
    Channel.REASONING: Scope.REASONING,
}


@dataclass(frozen=True, slots=True)
class ReleaseRule:
    """When text may leave. Sizes in characters; `buffer` ignores them."""

    mode: str
    window: int
    holdback: int
    max_chars: int


@dataclass(frozen=True, slots=True)
class Window:
    """Text to be judged now, as parts, and how far each channel may be released if it passes."""

    parts: tuple[Part, ...]
    final: bool
    offsets: tuple[tuple[int, Channel, int, int], ...]
    """For each text part: choice, channel, where the part starts in the channel's text, and where it ends."""


@dataclass(slots=True)
class _Text:
    pieces: list[str] = field(default_factory=list)
    length: int = 0
    judged: int = 0
    released: int = 0

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self.length += len(text)

    def whole(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""


@dataclass(slots=True)
class _Call:
    id: str | None
    name: str | None
    arguments: list[str]


class Holdback:
    """All choices and channels of one answer."""

    def __init__(self, rule: ReleaseRule) -> None:
        self._rule = rule
        self._texts: dict[tuple[int, Channel], _Text] = {}
        self._calls: dict[tuple[int, int], _Call] = {}
        self._finished: dict[int, str] = {}
        self._chars = 0

    @property
    def released_chars(self) -> int:
        """Characters that have left, before redaction. The record's `stream.released`."""
        return sum(text.released for text in self._texts.values())

    @property
    def received_chars(self) -> int:
        """Characters that have come from the model server."""
        return self._chars

    @property
    def finished(self) -> frozenset[int]:
        """Choices that were told to be complete."""
        return frozenset(self._finished)

    @property
    def pending(self) -> bool:
        """Whether any text waits for its first verdict."""
        return any(text.length > text.judged for text in self._texts.values())

    def feed(self, event: TextDelta | ToolDelta | Finish) -> None:
        """Take in what the model server sent. Raises UpstreamFailed when it does not fit together."""
        if isinstance(event, Finish):
            self._finished.setdefault(event.choice, event.reason)
            return
        if event.choice in self._finished:
            raise UpstreamFailed("upstream_bad_stream", "the model server sent text after the end of a choice")
        self._chars += len(event.text if isinstance(event, TextDelta) else event.arguments)
        if self._chars > self._rule.max_chars:
            raise UpstreamFailed("answer_too_long", f"the answer is longer than {self._rule.max_chars} characters")
        if isinstance(event, TextDelta):
            self._texts.setdefault((event.choice, event.channel), _Text()).add(event.text)
        else:
            self._feed_call(event)

    def _feed_call(self, event: ToolDelta) -> None:
        call = self._calls.get((event.choice, event.index))
        if call is None:
            self._calls[event.choice, event.index] = _Call(event.id, event.name, [event.arguments])
            return
        call.id, call.name = call.id or event.id, call.name or event.name
        call.arguments.append(event.arguments)

    def due(self, *, waited: bool = False) -> Window | None:
        """The window to judge now, in `window` mode: enough new text, or any at all once `max_wait` has passed."""
        if self._rule.mode != "window":
            return None
        least = 1 if waited else self._rule.window
        ready = [key for key, text in self._texts.items() if text.length - text.judged >= least]
        return self._window(ready, final=False) if ready else None

    def last(self) -> Window:
        """The closing window: every channel whole, every tool call. Its verdict is the authoritative one."""
        for key, call in self._calls.items():
            if call.id is None or call.name is None:
                raise UpstreamFailed("upstream_bad_stream", f"tool call {key[1]} came without an id or a name")
            call.arguments = [without_escapes("".join(call.arguments))]
        return self._window(list(self._texts), final=True)

    def _window(self, keys: Sequence[tuple[int, Channel]], *, final: bool) -> Window:
        parts: list[Part] = []
        offsets: list[tuple[int, Channel, int, int]] = []
        for choice, channel in sorted(keys):
            text = self._texts[choice, channel]
            start = 0 if final else max(0, text.released - CONTEXT_WINDOWS * self._rule.window)
            path = f"/choices/{choice}/message/{channel}"
            whole = text.whole()
            parts.append(Part(_SCOPES[channel], path, "assistant", whole[start:], preceding=whole[:start]))
            offsets.append((choice, channel, start, text.length))
        if final:
            parts.extend(self._call_parts())
        return Window(tuple(parts), final, tuple(offsets))

    def _call_parts(self) -> Iterable[Part]:
        for (choice, index), call in sorted(self._calls.items()):
            path = f"/choices/{choice}/message/tool_calls/{index}/function"
            yield Part(Scope.TOOL_CALL, f"{path}/name", "tool", call.name or "")
            if arguments := "".join(call.arguments):
                yield Part(Scope.TOOL_CALL, f"{path}/arguments", "tool", arguments)

    def release(self, window: Window, redactions: Sequence[Redaction]) -> list[Released]:
        """What may leave now that `window` was judged and not blocked, with redactions made."""
        out: list[Released] = []
        for part, (choice, channel, start, end) in zip(window.parts, window.offsets, strict=False):
            cuts = [cut for cut in redactions if cut.path == part.path]
            released = self._release_text(self._texts[choice, channel], start, end, cuts, final=window.final)
            if released:
                out.append(ReleasedText(choice, channel, released))
        if window.final:
            out.extend(self._release_calls(redactions))
            out.extend(Ended(choice, reason) for choice, reason in sorted(self._finished.items()))
        return out

    def _release_text(self, text: _Text, start: int, end: int, cuts: Sequence[Redaction], *, final: bool) -> str:
        text.judged = max(text.judged, end)
        until = end if final else max(text.released, end - self._rule.holdback)
        for cut in cuts:
            if not final and start + cut.start < until < start + cut.end:
                until = max(text.released, start + cut.start)  # a span is never let out in halves
        whole, at = text.whole(), text.released
        out: list[str] = []
        for cut in cuts:
            first, after = start + cut.start, start + cut.end
            if after <= at or first >= until:
                continue
            out.extend((whole[at : max(at, first)], cut.replacement))
            at = after
        out.append(whole[at:until])
        text.released = max(until, at)
        return "".join(out)

    def _release_calls(self, redactions: Sequence[Redaction]) -> Iterable[ReleasedCalls]:
        calls: dict[int, list[ToolCall]] = {}
        for (choice, index), call in sorted(self._calls.items()):
            path = f"/choices/{choice}/message/tool_calls/{index}/function"
            name, arguments = (
                redacted(text, [cut for cut in redactions if cut.path == f"{path}/{key}"])
                for key, text in (("name", call.name or ""), ("arguments", "".join(call.arguments)))
            )
            calls.setdefault(choice, []).append(ToolCall(call.id or "", name, arguments))
        for choice, made in calls.items():
            yield ReleasedCalls(choice, tuple(made))


def keeps_json(window: Window, cuts: Sequence[Redaction]) -> bool:
    """Whether tool arguments that were JSON still are once redacted. If not, the redaction is impossible: block."""
    for part in window.parts:
        if part.scope is Scope.TOOL_CALL and is_json(part.text):
            mine = [cut for cut in cuts if cut.path == part.path]
            if mine and not is_json(redacted(part.text, mine)):
                return False
    return True


def redacted(text: str, cuts: Sequence[Redaction]) -> str:
    """`text` with each span of `cuts` (sorted, not overlapping) replaced."""
    out: list[str] = []
    at = 0
    for cut in cuts:
        out.extend((text[at : cut.start], cut.replacement))
        at = cut.end
    out.append(text[at:])
    return "".join(out)
