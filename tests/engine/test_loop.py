"""Guards first, answers never starved, failures contained, and an end that tells everybody."""

from __future__ import annotations

import threading
from collections import deque

import pytest

from engine.errors import RequestError, Unavailable
from engine.loop import BURST, MAX_FAILURES, EngineLoop


class Item:
    """Work that notes that it ran. `gate` holds it up."""

    def __init__(self, name: str, order: list[str], fails: bool = False, gate: threading.Event | None = None) -> None:
        self.name, self.order, self.fails, self.gate = name, order, fails, gate
        self.error: RequestError | None = None
        self.done = threading.Event()

    def run(self) -> None:
        if self.gate is not None:
            assert self.gate.wait(10)
        if self.fails:
            raise MemoryError
        self.order.append(self.name)
        self.done.set()

    def fail(self, error: RequestError) -> None:
        self.error = error
        self.done.set()


class Queue:
    """A lane of prepared work."""

    def __init__(self, *items: Item) -> None:
        self.items = deque(items)
        self.closed: RequestError | None = None

    @property
    def pending(self) -> int:
        return len(self.items)

    def next(self, now: float) -> Item | None:
        return self.items.popleft() if self.items else None

    def close(self, error: RequestError) -> None:
        self.closed = error
        while self.items:
            self.items.popleft().fail(error)


def names(letter: str, count: int, order: list[str]) -> list[Item]:
    return [Item(letter, order) for _ in range(count)]


def test_guards_go_first_and_answers_still_get_their_turn() -> None:
    order: list[str] = []
    guards, answers = names("g", 20, order), names("a", 2, order)
    loop = EngineLoop([Queue(*guards)], [Queue(*answers)])
    loop.start()
    assert guards[-1].done.wait(10)
    loop.stop(5)

    assert "".join(order) == "g" * BURST + "a" + "g" * BURST + "a" + "g" * 4


def test_models_take_turns() -> None:
    order: list[str] = []
    first, second = names("x", 3, order), names("y", 3, order)
    loop = EngineLoop([Queue(*first), Queue(*second)], [])
    loop.start()
    assert first[-1].done.wait(10)
    assert second[-1].done.wait(10)
    loop.stop(5)

    assert "".join(order) in ("xyxyxy", "yxyxyx")


def test_two_threads_run_two_models_and_never_one_model_twice() -> None:
    order: list[str] = []
    gate = threading.Event()
    slow, behind, other = Item("slow", order, gate=gate), Item("behind", order), Item("other", order)
    loop = EngineLoop([Queue(slow, behind), Queue(other)], [], prepare=[lambda: None, lambda: None])
    loop.start()
    assert other.done.wait(10)
    assert order == ["other"]
    gate.set()
    assert behind.done.wait(10)
    loop.stop(5)

    assert order == ["other", "slow", "behind"]


def test_a_failure_is_told_to_its_own_work_only() -> None:
    order: list[str] = []
    items = [Item("a", order, fails=True), Item("b", order), Item("c", order, fails=True), Item("d", order)]
    loop = EngineLoop([Queue(*items)], [])
    loop.start()
    assert items[-1].done.wait(10)
    loop.stop(5)

    assert [item.error.code if item.error else None for item in items] == ["step_failed", None, "step_failed", None]


class Panic(BaseException):
    """As a library in Rust raises one."""


class Panicking(Item):
    def run(self) -> None:
        raise Panic


def test_a_panic_of_a_library_is_a_failure_like_any_other() -> None:
    order: list[str] = []
    items = [Panicking("x", order), Item("y", order)]
    loop = EngineLoop([], [Queue(*items)])
    loop.start()
    assert items[-1].done.wait(10)
    loop.stop(5)

    assert items[0].error is not None
    assert (items[0].error.code, order) == ("step_failed", ["y"])


def test_failures_in_a_row_give_the_process_up_and_tell_those_who_wait() -> None:
    gave_up = threading.Event()
    items = [Item("x", [], fails=True) for _ in range(MAX_FAILURES)]
    rest = Item("rest", [])
    loop = EngineLoop([Queue(*items, rest)], [], given_up=gave_up.set)
    loop.start()
    assert gave_up.wait(10)
    assert rest.done.wait(10)

    assert rest.error is not None
    assert rest.error.code == "draining"
    with pytest.raises(Unavailable), loop.lock():
        pass


class Broken(Queue):
    """A lane that fails at finding work, or whose work fails at saying so."""

    def next(self, now: float) -> Item | None:
        if self.items and self.items[0].fails:
            raise BrokenPipeError
        return super().next(now)


class Speechless(Item):
    def fail(self, error: RequestError) -> None:
        raise BrokenPipeError


@pytest.mark.parametrize("kind", [Item, Speechless])
def test_a_lane_that_fails_at_its_own_work_ends_the_process_and_nobody_waits_for_ever(kind: type[Item]) -> None:
    given_up, order = threading.Event(), list[str]()
    waiting = Item("w", order, gate=threading.Event())
    lane = (Broken if kind is Item else Queue)(kind("x", order, fails=True))
    other = Queue(waiting)
    loop = EngineLoop([lane], [other], given_up.set)
    loop.start()
    assert given_up.wait(10)
    loop.stop(5)

    assert other.closed is not None
    assert waiting.error is not None
    assert lane.closed is not None
    with pytest.raises(Unavailable), loop.lock():
        pass


def test_adding_wakes_an_idle_loop_and_stopping_closes_its_lanes() -> None:
    order: list[str] = []
    queue, item = Queue(), Item("late", order)
    loop = EngineLoop([], [queue])
    loop.start()
    with loop.lock():
        queue.items.append(item)
    assert item.done.wait(10)
    assert loop.pending == 0
    loop.stop(5)

    assert isinstance(queue.closed, Unavailable)


@pytest.mark.parametrize("is_shared", [True, False])
def test_only_a_lane_that_is_shared_is_in_two_hands_at_once(is_shared: bool) -> None:
    order: list[str] = []
    gate = threading.Event()
    held, other = Item("held", order, gate=gate), Item("other", order)

    class Shared(Queue):
        pass

    Shared.is_shared = is_shared  # type: ignore[attr-defined]
    loop = EngineLoop([Shared(held, other)], [], prepare=[lambda: None] * 2)
    loop.start()

    assert other.done.wait(5 if is_shared else 0.2) is is_shared
    gate.set()
    assert held.done.wait(5)
    assert other.done.wait(5)
    loop.stop(5)
    assert order == (["other", "held"] if is_shared else ["held", "other"])


def test_busy_time_is_counted_for_the_model_that_was_worked_for() -> None:
    gate = threading.Event()
    busy, idle = Queue(Item("a", [], gate=gate)), Queue()
    loop = EngineLoop([busy], [idle])
    loop.start()
    gate.set()
    loop.stop(5)

    assert loop.busy_seconds(busy) > 0
    assert loop.busy_seconds(idle) == 0
