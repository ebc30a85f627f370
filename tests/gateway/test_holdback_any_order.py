"""Whatever order text, windows, delays, blocks and ends come in: nothing unjudged leaves, and no half of a secret."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.exchange import Channel, Ended, Finish, ReleasedText, TextDelta, TokenLogprob
from gateway.holdback import Holdback, ReleaseRule, Window
from policies.model import Redaction

SECRET = "sk-KEY.99"
CHANNELS = (Channel.CONTENT, Channel.REASONING)
PIECES = st.sampled_from(
    ["a", "b ", "sk", "-KEY", ".", "99", SECRET, f"x{SECRET} ", "é😀", "sk-KEY.9", " words of an answer "]
)


class Streaming(RuleBasedStateMachine):
    """Two choices with two channels each, judged by a detector that finds SECRET wherever it is whole."""

    @initialize(window=st.integers(1, 25), holdback=st.integers(len(SECRET), 20), redacts=st.booleans())
    def begin(self, window: int, holdback: int, redacts: bool) -> None:
        more = {"whole_runs": redacts, "logprobs": True}
        self.held = Holdback(ReleaseRule("window", window, holdback, 10**6, **more), 2)
        self.redacts = redacts
        self.came = {(choice, channel): "" for choice in (0, 1) for channel in CHANNELS}
        self.left = dict.fromkeys(self.came, "")
        self.tokens = dict.fromkeys(self.came, b"")
        self.judged = dict.fromkeys(self.came, 0)
        self.dropped: set[int] = set()
        self.finished: set[int] = set()
        self.ended: list[int] = []
        self.now = 0.0

    @precondition(lambda self: len(self.finished) < 2)
    @rule(choice=st.integers(0, 1), channel=st.sampled_from(CHANNELS), piece=PIECES, size=st.integers(1, 5))
    def text_comes(self, choice: int, channel: Channel, piece: str, size: int) -> None:
        if choice in self.finished:
            return
        self.now += 1
        data = piece.encode()
        tokens = tuple(TokenLogprob(data[at : at + size], -1.0) for at in range(0, len(data), size))
        self.held.feed(TextDelta(choice, channel, piece, tokens), self.now)
        if choice not in self.dropped:
            self.came[choice, channel] += piece

    @precondition(lambda self: not self.ended)
    @rule(waited=st.booleans(), least=st.integers(0, 60))
    def a_window_is_due(self, waited: bool, least: int) -> None:
        if window := self.held.due(least, waited=waited):
            self._judge(window)

    @precondition(lambda self: not self.ended and not self.redacts)
    @rule()
    def time_is_up(self) -> None:
        """Without redaction only: the loader refuses the two together."""
        if window := self.held.overdue():
            self._judge(window)
        assert self.held.unreleased_since() is None

    @precondition(lambda self: not self.ended)
    @rule(choice=st.integers(0, 1))
    def a_block_ends_a_choice(self, choice: int) -> None:
        self.held.drop(choice)
        self.dropped.add(choice)

    @rule(choice=st.integers(0, 1))
    def the_model_ends_a_choice(self, choice: int) -> None:
        self.held.feed(Finish(choice, "stop"))
        self.finished.add(choice)

    @precondition(lambda self: not self.ended and self.held.is_complete)
    @rule()
    def the_answer_ends(self) -> None:
        self._judge(self.held.last())
        assert sorted(self.ended) == sorted({0, 1} - self.dropped)
        self.ended = self.ended or [-1]

    def _judge(self, window: Window) -> None:
        for stretch, part in zip(window.stretches, window.parts, strict=True):
            key = stretch.choice, stretch.channel
            assert stretch.choice not in self.dropped
            assert part.text == self.came[key][stretch.start : stretch.end]
            assert part.preceding + part.text == self.came[key][: stretch.end]
            assert stretch.start <= self.judged[key], "a gap that no window covers"
            self.judged[key] = max(self.judged[key], stretch.end)
        cuts = {choice: [cut for part in window.parts for cut in self._cuts(part.path, part.text)
                         if cut.path.startswith(f"/choices/{choice}/")] for choice in window.choices}  # fmt: skip
        for found in cuts.values():
            assert not self.held.comes_too_late(window, found)
        for item in self.held.release(window, cuts):
            if isinstance(item, Ended):
                self.ended.append(item.choice)
            elif isinstance(item, ReleasedText):
                assert item.choice not in self.dropped
                self.left[item.choice, item.channel] += item.text
                self.tokens[item.choice, item.channel] += b"".join(token.data for token in item.tokens)

    def _cuts(self, path: str, text: str) -> list[Redaction]:
        found, at = [], text.find(SECRET) if self.redacts else -1
        while at >= 0:
            found.append(Redaction(path, at, at + len(SECRET), "[k]", "r"))
            at = text.find(SECRET, at + len(SECRET))
        return found

    @invariant()
    def only_judged_text_has_left_in_order_and_redacted(self) -> None:
        for key, left in getattr(self, "left", {}).items():
            judged = self.came[key][: self.judged[key]]
            assert (judged.replace(SECRET, "[k]") if self.redacts else judged).startswith(left)
            if self.redacts:
                assert SECRET.encode() not in self.tokens[key]
            else:
                assert left.encode().startswith(self.tokens[key])

    def teardown(self) -> None:
        if getattr(self, "ended", None):
            for (choice, channel), whole in self.came.items():
                if choice not in self.dropped:
                    assert self.left[choice, channel] == (whole.replace(SECRET, "[k]") if self.redacts else whole)


TestStreaming = Streaming.TestCase
TestStreaming.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
