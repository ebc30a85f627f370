"""A unit keeps its place in the order, and what was computed for it counts once."""

from __future__ import annotations

from engine.events import GenerateRequest, Sampling
from engine.kv_cache import KvCache
from engine.sequence import Sequence
from engine.unit import MAX_YIELDS, PATIENCE, Ticket
from tests.engine.model_cases import reserved
from tests.engine.stand_ins import Heard, LetterTokenizer, small_config


def ticket(priority: int = 0, number: int = 0) -> Ticket:
    request = GenerateRequest((1, 2, 3), 4, 1e9, Sampling(temperature=0), priority=priority)
    return Ticket(Sequence(request, LetterTokenizer(), frozenset(), Heard()), number)


def test_class_comes_before_age() -> None:
    ranked = sorted((ticket(1, 0), ticket(0, 2), ticket(0, 1)), key=lambda one: one.rank)
    assert [one.number for one in ranked] == [1, 2, 0]


def test_who_yielded_is_firm_and_at_last_goes_before_all() -> None:
    one, above = ticket(priority=5, number=9), ticket(priority=-5)
    assert not one.is_firm
    one.yields = 1
    assert (one.is_firm, one.is_urgent) == (True, False)
    one.yields = MAX_YIELDS
    assert one.rank < above.rank


def test_who_was_passed_by_many_goes_before_all() -> None:
    one, above = ticket(priority=5, number=9), ticket(priority=-5)
    one.passed = PATIENCE - 1
    assert one.rank > above.rank
    one.passed = PATIENCE
    assert one.rank < above.rank


def test_a_position_counts_once_however_often_it_is_computed() -> None:
    one = ticket()
    one.unit.slot = reserved(KvCache(small_config(), 32), 6)
    found = []
    for filled in (2, 3, 1, 3, 5):
        one.slot.filled = filled
        found.append(one.advanced())

    assert found == [2, 1, 0, 0, 2]
    assert one.unit.computed == 5


def test_left_is_what_has_to_run_before_the_next_token() -> None:
    one = ticket()
    one.unit.slot = reserved(KvCache(small_config(), 32), 6)
    assert one.left == 3
    one.slot.filled = 2
    assert one.left == 1
    assert list(one.run(1).ids) == [3]
    assert list(one.run(1).wanted) == [0]
