"""Guard calls in the middle of chats, on the threads and with the priorities of the model host, without HTTP.

Chats are always so many; when one ends the next begins. Guard calls come one after another with a pause between them,
each a prompt of its own and one token whose log-probabilities are asked for. First each is alone.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.gpu.random_model import RandomModel
from bench.percentile import percentile
from engine.events import Event, Finished, GenerateRequest, Grown, Sampling
from engine.loop import EngineLoop
from engine.sequence import Sequence as Answer

GREEDY = Sampling(temperature=0)
GUARD_TOKENS = 300
PAUSE_S = 0.02
WAIT_S = 60.0
ENGINES = 2
"""Threads, as in the model host."""


class Silent:
    """A tokenizer that makes no text: what it costs is not measured here."""

    def text(self, _ids: Sequence[int]) -> str:
        return "x"


class Ear:
    """Hears when the first token came, how many there were, and the end."""

    def __init__(self, ended: Callable[[], None] = lambda: None) -> None:
        self.first_at = 0.0
        self.tokens = 0
        self.end: Event | None = None
        self._ended, self._done = ended, threading.Event()

    def __call__(self, event: Event) -> None:
        if isinstance(event, Grown):
            self.first_at = self.first_at or time.perf_counter()
            self.tokens += len(event.tokens)
            return
        self.end = event
        self._done.set()
        self._ended()

    def wait(self) -> None:
        """RuntimeError when it was no answer, or none came."""
        if not self._done.wait(WAIT_S) or not isinstance(self.end, Finished):
            raise RuntimeError(f"no answer: {self.end}")


def answer(prompt: Sequence[int], max_tokens: int, ear: Ear, sampling: Sampling = GREEDY) -> Answer:
    """On its way to its end, whatever it says."""
    request = GenerateRequest(tuple(prompt), max_tokens, float("inf"), sampling, ignores_end=True)
    return Answer(request, Silent(), frozenset(), ear)


@dataclass(frozen=True, slots=True)
class Load:
    """What runs beside one another."""

    chats: int
    prompt: int
    answer: int
    seconds: float


class Mixed:
    """Both models behind one loop."""

    def __init__(self, chat: RandomModel, guard: RandomModel, load: Load) -> None:
        self._chat, self._guard, self._load = chat, guard, load
        self._random = random.Random(5)
        self._loop = EngineLoop([guard.lane], [chat.lane], prepare=[lambda: None] * ENGINES)
        self._is_over = threading.Event()
        self._ears: list[Ear] = []

    def measured(self) -> dict[str, float]:
        """Chat tokens a second alone and beside guard calls, and how long those took."""
        self._loop.start()
        try:
            unhindered = self._call_guards(time.perf_counter() + self._load.seconds / 4)
            for _ in range(self._load.chats):
                self._begin()
            self._during(self._rest)
            alone, _ = self._during(self._rest)
            beside, latencies = self._during(self._call_guards)
        finally:
            self._is_over.set()
            self._loop.stop(WAIT_S)
        return {
            "chat_tokens_per_s": round(alone, 1),
            "chat_tokens_per_s_beside_guards": round(beside, 1),
            "chat_lost": round(1 - beside / alone, 3),
            "guard_alone_p50_ms": round(percentile(unhindered, 0.5), 2),
            "guard_calls": len(latencies),
            "guard_p50_ms": round(percentile(latencies, 0.5), 2),
            "guard_p99_ms": round(percentile(latencies, 0.99), 2),
        }

    def _begin(self) -> None:
        if self._is_over.is_set():
            return
        ear = Ear(lambda: threading.Thread(target=self._begin, daemon=True).start())
        self._ears.append(ear)
        with self._loop.lock():
            self._chat.lane.add([answer(self._prompt(self._chat, self._load.prompt), self._load.answer, ear)])

    def _during(self, work: Callable[[float], list[float]]) -> tuple[float, list[float]]:
        """Chat tokens a second meanwhile."""
        before, began = self._tokens(), time.perf_counter()
        found = work(began + self._load.seconds)
        while self._tokens() == before and time.perf_counter() < began + WAIT_S:
            time.sleep(0.01)
        return (self._tokens() - before) / (time.perf_counter() - began), found

    def _tokens(self) -> int:
        return sum(ear.tokens for ear in tuple(self._ears))

    def _rest(self, until: float) -> list[float]:
        time.sleep(max(0.0, until - time.perf_counter()))
        return []

    def _call_guards(self, until: float) -> list[float]:
        latencies: list[float] = []
        sampling = Sampling(temperature=0, logprobs=0, reported=(11, 47))
        while time.perf_counter() < until or not latencies:
            ear, began = Ear(), time.perf_counter()
            with self._loop.lock():
                self._guard.lane.add([answer(self._prompt(self._guard, GUARD_TOKENS), 1, ear, sampling)])
            ear.wait()
            latencies.append((time.perf_counter() - began) * 1000)
            time.sleep(PAUSE_S)
        return latencies

    def _prompt(self, model: RandomModel, length: int) -> list[int]:
        most = min(length, model.config.max_positions - self._load.answer)
        return [self._random.randrange(9, model.config.vocabulary) for _ in range(most)]
