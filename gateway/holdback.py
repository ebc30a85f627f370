"""Answer text held back until it has been judged. Pure: no clock, no guards, no sockets.

Streaming is a release policy, not a second code path. A unary answer and the `buffer` mode judge once, at the end. The
`window` mode judges whenever a window's worth of new text has come, and lets out all but the last `holdback`
characters, so that a secret or a sentence cut by a window's edge is seen whole before any of it leaves. Tool calls are
always held until their choice is complete. The `shadow_only` mode lets text out as it comes and has all of it judged
at the end, for the record; tool calls are held there, too. Log-probabilities leave with the text they belong to. Each
choice is held, judged and ended apart from the others.

Invariants, tested as properties: text is released at most once and in order; every released character lay inside a
window that was judged (but in `shadow_only`); no character of a span that was to be redacted leaves; no log-probability
leaves before the text of its token, or at all where that was redacted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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
from gateway.held_text import HeldText, Stretch
from gateway.jsonstrict import without_escapes
from gateway.redaction import redacted
from guards.verdict import Part, Scope
from policies.model import Redaction

CONTEXT_WINDOWS: Final = 4
"""A window is judged with this many windows of already judged text before it, so that guards see what it follows."""
_SCOPES: Final = {
    Channel.REASONING: Scope.REASONING,
    Channel.CONTENT: Scope.OUTPUT,
    Channel.REFUSAL: Scope.OUTPUT,
}
"""In the order in which models write them, and in which what leaves at one time does."""
_ORDER: Final = tuple(_SCOPES)
_Key = tuple[int, Channel]


@dataclass(frozen=True, slots=True)
class ReleaseRule:
    """When text may leave. Sizes in characters; `buffer` ignores them."""

    mode: str
    window: int
    """The least new text that is judged before its time is up."""
    holdback: int
    max_chars: int
    whole_runs: bool = False
    """Whether a long word may be a secret that no guard knows before its end: it leaves whole, or redacted."""
    logprobs: bool = False
    """Whether the log-probabilities of the tokens leave with their text."""


@dataclass(frozen=True, slots=True)
class Window:
    """Text to be judged now, as parts, and how far each channel may be released if it passes."""

    parts: tuple[Part, ...]
    final: bool
    stretches: tuple[Stretch, ...]
    """For each text part, in order; parts of tool calls come after them."""
    choices: tuple[int, ...]
    """Whose text is in it. A final window has every choice that is still open, also one without text."""
    holds: int = 0
    """How much of its end stays back."""
    unjudged: bool = False
    """Whether it leaves before it is judged, as the policy says; it has no parts then."""

    def parts_of(self, choice: int) -> tuple[Part, ...]:
        """What one choice is judged by."""
        if len(self.choices) == 1:
            return self.parts
        return tuple(part for part in self.parts if part.path.startswith(f"/choices/{choice}/"))


@dataclass(slots=True)
class _Call:
    id: str | None
    name: str | None
    arguments: list[str]


class Holdback:
    """All choices and channels of one answer."""

    def __init__(self, rule: ReleaseRule, choices: int = 1) -> None:
        self._rule = rule
        self._texts: dict[_Key, HeldText] = {}
        self._calls: dict[tuple[int, int], _Call] = {}
        self._finished: dict[int, str] = {}
        self._open = set(range(choices))
        self._received = self._released_of_dropped = 0

    @property
    def released_chars(self) -> int:
        """Characters that have left, before redaction. The record's `stream.released`."""
        return self._released_of_dropped + sum(text.released for text in self._texts.values())

    @property
    def received_chars(self) -> int:
        """Characters that have come from the model server."""
        return self._received

    @property
    def open_choices(self) -> frozenset[int]:
        """Choices that no block has ended."""
        return frozenset(self._open)

    @property
    def is_complete(self) -> bool:
        """Whether every open choice was told to be complete."""
        return self._open <= self._finished.keys()

    def unjudged_since(self) -> float | None:
        """When the oldest text came that waits for its first verdict."""
        return min((at for text in self._texts.values() if (at := text.unjudged_since()) is not None), default=None)

    def unreleased_since(self) -> float | None:
        """When the oldest text came that has not left."""
        return min((at for text in self._texts.values() if (at := text.unreleased_since()) is not None), default=None)

    def feed(self, event: TextDelta | ToolDelta | Finish, at: float = 0.0) -> None:
        """Take in what the model server sent, which came `at`. Raises UpstreamFailed when it does not fit together."""
        if isinstance(event, Finish):
            self._finished.setdefault(event.choice, event.reason)
            return
        if event.choice in self._finished:
            raise UpstreamFailed("upstream_bad_stream", "the model server sent text after the end of a choice")
        self._received += len(event.text if isinstance(event, TextDelta) else event.arguments)
        if self._received > self._rule.max_chars:
            raise UpstreamFailed("answer_too_long", f"the answer is longer than {self._rule.max_chars} characters")
        if event.choice not in self._open:
            return  # a block ended it; what still comes of it is for nobody
        if isinstance(event, ToolDelta):
            self._feed_call(event)
            return
        text = self._texts.get((event.choice, event.channel))
        if text is None:
            text = self._texts[event.choice, event.channel] = HeldText()
        text.add(event.text, at, event.tokens if self._rule.logprobs else None)

    def _feed_call(self, event: ToolDelta) -> None:
        call = self._calls.get((event.choice, event.index))
        if call is None:
            self._calls[event.choice, event.index] = _Call(event.id, event.name, [event.arguments])
            return
        call.id, call.name = call.id or event.id, call.name or event.name
        call.arguments.append(event.arguments)

    def drop(self, choice: int) -> None:
        """A block ended this choice: nothing of it leaves any more, and the others go on."""
        self._open.discard(choice)
        for key in [key for key in self._texts if key[0] == choice]:
            self._released_of_dropped += self._texts.pop(key).released
        for call in [call for call in self._calls if call[0] == choice]:
            del self._calls[call]

    def due(self, least: int = 0, *, waited: bool = False) -> Window | None:
        """The window to judge now, in `window` mode: `least` new text, or any at all once `max_wait` has passed."""
        if self._rule.mode != "window":
            return None
        least = 1 if waited else max(least, self._rule.window)
        ready = [
            key
            for key, text in self._texts.items()
            if (new := text.length - text.judged) >= least and (waited or new >= text.reluctance)
        ]
        return self._window(ready, holds=self._rule.holdback) if ready else None

    def overdue(self) -> Window | None:
        """The window that lets out everything, because its time is up: nothing of it stays back."""
        ready = [key for key, text in self._texts.items() if text.length > text.released]
        return self._window(ready) if self._rule.mode == "window" and ready else None

    def passing(self) -> Window | None:
        """What has come and leaves unjudged, in `shadow_only` mode; the last window judges all of it."""
        ready = [key for key, text in self._texts.items() if text.length > text.released]
        if self._rule.mode != "shadow_only" or not ready:
            return None
        stretches = (
            Stretch(choice, channel, _path(choice, channel), self._texts[choice, channel].released, text.length)
            for choice, channel in sorted(ready, key=_place)
            for text in (self._texts[choice, channel],)
        )
        return Window((), False, tuple(stretches), tuple(sorted({choice for choice, _ in ready})), unjudged=True)

    def last(self) -> Window:
        """The closing window: every channel whole, every tool call. Its verdict is the authoritative one."""
        for key, call in self._calls.items():
            if call.id is None or call.name is None:
                raise UpstreamFailed("upstream_bad_stream", f"tool call {key[1]} came without an id or a name")
            call.arguments = [without_escapes("".join(call.arguments))]
        return self._window([key for key, text in self._texts.items() if text.length], final=True)

    def _window(self, keys: Sequence[_Key], *, final: bool = False, holds: int = 0) -> Window:
        parts: list[Part] = []
        stretches: list[Stretch] = []
        context = CONTEXT_WINDOWS * self._rule.window
        for choice, channel in sorted(keys, key=_place):
            text = self._texts[choice, channel]
            start = 0 if final else max(0, text.released - context)
            path = _path(choice, channel)
            whole = text.whole()
            parts.append(Part(_SCOPES[channel], path, "assistant", whole[start:], preceding=whole[:start]))
            stretches.append(Stretch(choice, channel, path, start, text.length))
        choices = sorted(self._open) if final else sorted({stretch.choice for stretch in stretches})
        if final:
            parts.extend(self._call_parts())
        return Window(tuple(parts), final, tuple(stretches), tuple(choices), holds)

    def _call_parts(self) -> Iterable[Part]:
        for (choice, index), call in sorted(self._calls.items()):
            path = f"/choices/{choice}/message/tool_calls/{index}/function"
            name = call.name or ""
            yield Part(Scope.TOOL_CALL, f"{path}/name", "tool", name, tool=name)
            if arguments := "".join(call.arguments):
                yield Part(Scope.TOOL_CALL, f"{path}/arguments", "tool", arguments, tool=name)

    def comes_too_late(self, window: Window, redactions: Sequence[Redaction]) -> bool:
        """Whether something to be redacted has left in part. Then the redaction is impossible: block."""
        return bool(redactions) and any(
            self._texts[stretch.choice, stretch.channel].has_leaked(cut, stretch.start, final=window.final)
            for stretch in window.stretches
            for cut in redactions
            if cut.path == stretch.path
        )

    def release(self, window: Window, redactions: Mapping[int, Sequence[Redaction]]) -> list[Released]:
        """What may leave now that `window` was judged, with the redactions of each choice; the rest are blocked."""
        out: list[Released] = []
        for stretch in window.stretches:
            if stretch.choice not in redactions:
                continue
            text = self._texts[stretch.choice, stretch.channel]
            cuts = [cut for cut in redactions[stretch.choice] if cut.path == stretch.path]
            is_all = window.final or window.unjudged
            until = stretch.end if is_all else text.limit(stretch, cuts, window.holds, self._rule.whole_runs)
            released, tokens = text.release(stretch, cuts, until)
            if released or tokens:
                out.append(ReleasedText(stretch.choice, stretch.channel, released, tokens))
        if window.final:
            for choice, of_choice in sorted(redactions.items()):
                out.extend(self._release_calls(choice, of_choice))
                out.append(Ended(choice, self._finished[choice]))
        return out

    def _release_calls(self, choice: int, redactions: Sequence[Redaction]) -> Iterable[ReleasedCalls]:
        made: list[ToolCall] = []
        for (owner, index), call in sorted(self._calls.items()):
            if owner != choice:
                continue
            path = f"/choices/{choice}/message/tool_calls/{index}/function"
            name, arguments = (
                redacted(text, [cut for cut in redactions if cut.path == f"{path}/{key}"])
                for key, text in (("name", call.name or ""), ("arguments", "".join(call.arguments)))
            )
            made.append(ToolCall(call.id or "", name, arguments))
        if made:
            yield ReleasedCalls(choice, tuple(made))


def _place(key: _Key) -> tuple[int, int]:
    return key[0], _ORDER.index(key[1])


def _path(choice: int, channel: Channel) -> str:
    return f"/choices/{choice}/message/{channel}"
