"""A beginning is known by its tokens, held while it is used, and forgotten oldest first, leaves before roots."""

from __future__ import annotations

import pytest

from engine.errors import EngineError
from engine.prefix_tree import Node, PrefixTree, shared_length


def grown(tree: PrefixTree, *blocks: tuple[int, ...], first: int = 0, salt: str = "") -> list[Node]:
    """A path of blocks, let go."""
    path = [tree.root(salt)]
    for at, tokens in enumerate(blocks):
        path.append(tree.insert(path[-1], tokens, (first + at,), ()))
        tree.hold(path[-1])
    for node in reversed(path[1:]):
        tree.let_go(node)
    return path[1:]


def test_the_longest_known_beginning_is_found_to_the_token() -> None:
    tree = PrefixTree(2)
    grown(tree, (1, 2), (3, 4), (5,))

    def known(ids: list[int], limit: int = 99) -> tuple[int, int]:
        match = tree.match("", ids, min(limit, len(ids)))
        return len(match.path), match.count

    assert known([1, 2, 3, 4, 5, 6]) == (2, 1)
    assert known([1, 2, 3, 9]) == (1, 1)
    assert known([1, 9]) == (0, 1)
    assert known([9]) == (0, 0)
    assert known([1, 2, 3, 4], limit=3) == (1, 1)
    assert known([], limit=0) == (0, 0)


def test_the_same_tokens_behind_another_parent_are_another_block() -> None:
    tree = PrefixTree(2)
    first = grown(tree, (1, 2), (7, 7), first=0)
    second = grown(tree, (3, 4), (7, 7), first=2)

    assert tree.match("", [3, 4, 7, 7], 4).path == tuple(second)
    assert tree.match("", [1, 2, 7, 7], 4).path == tuple(first)


def test_what_is_there_is_not_replaced() -> None:
    tree = PrefixTree(2)
    (node,) = grown(tree, (1, 2))
    assert tree.insert(tree.root(""), (1, 2), (9,), ()) is node
    assert tree.knows(tree.root(""), (1,))
    assert not tree.knows(tree.root(""), (2,))


def test_leaves_are_forgotten_before_what_they_build_on_and_the_used_last() -> None:
    tree = PrefixTree(2)
    grown(tree, (1, 2), (3, 4), first=0)
    grown(tree, (1, 2), (5, 6), first=4)
    grown(tree, (8, 8), first=6)

    assert [tree.evict() for _ in range(4)] == [(1,), (5,), (0,), (6,)]
    assert tree.unheld == 0


def test_what_is_held_is_not_offered_for_eviction() -> None:
    tree = PrefixTree(2)
    first, second = grown(tree, (1, 2), (3, 4))
    tree.hold(first)
    assert tree.unheld == 1
    assert tree.evict() == second.full
    assert tree.unheld == 0
    tree.let_go(first)
    with pytest.raises(EngineError):
        tree.let_go(first)


def test_salts_do_not_share_and_empty_ones_are_forgotten() -> None:
    tree = PrefixTree(2)
    grown(tree, (1, 2), salt="a")
    assert tree.match("b", [1, 2], 2).path == ()
    root = tree.root("a")
    tree.evict()
    assert tree.root("a") is not root


def test_shared_length_counts_to_the_first_difference() -> None:
    assert (shared_length([1, 2, 3], [1, 2, 4]), shared_length([1], [1, 2]), shared_length([], [1])) == (2, 1, 0)


def test_what_was_computed_in_one_piece_is_known_by_all_of_it() -> None:
    tree, ids = PrefixTree(2, grain=4), [1, 2, 3, 4, 5, 6]
    assert [tree.row(ids, at) for at in (0, 2, 4)] == [(1, 2, 3, 4), (3, 4), (5, 6)]
    first = tree.insert(tree.root(""), tree.row(ids, 0), (0,), ())
    tree.insert(first, tree.row(ids, 2), (1,), ())
    assert len(tree.match("", ids, 6).path) == 2
    assert tree.match("", [1, 2, 3, 9], 4).path == ()
