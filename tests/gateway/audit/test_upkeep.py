"""Work beside the log: turns follow one another, an error does not end them, and stopping does not wait for a turn."""

from __future__ import annotations

import threading

from gateway.audit.upkeep import Upkeep


def test_a_turn_that_fails_is_followed_by_another() -> None:
    done = threading.Event()
    turns: list[int] = []

    def turn() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise RuntimeError
        done.set()

    upkeep = Upkeep("test", turn, 0.001, 0.001)
    upkeep.start()
    assert done.wait(10)
    upkeep.stop()
    assert not upkeep.is_alive


def test_it_ends_in_the_middle_of_a_turn() -> None:
    begun = threading.Event()

    def turn() -> None:
        begun.set()
        while True:
            upkeep.pause()

    upkeep = Upkeep("test", turn, 1, 0.001)
    upkeep.start()
    assert begun.wait(10)
    upkeep.stop()
    assert not upkeep.is_alive
