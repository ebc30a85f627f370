"""The tree, held against the Certificate Transparency vectors and another implementation."""

from __future__ import annotations

import random

import pytest
from pymerkle import InmemoryTree

from gateway.audit.merkle import EMPTY_ROOT, Tree, leaf_hash

CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def root_of(leaves: list[bytes]) -> bytes:
    tree = Tree()
    for leaf in leaves:
        tree.push(leaf_hash(leaf))
    assert tree.size == len(leaves)
    return tree.root()


@pytest.mark.parametrize("size", CT_ROOTS)
def test_certificate_transparency_vectors(size: int) -> None:
    assert root_of(CT_LEAVES[:size]).hex() == CT_ROOTS[size]


def test_empty_tree_has_the_hash_of_nothing() -> None:
    assert Tree().root() == EMPTY_ROOT


def test_roots_equal_those_of_another_implementation_at_every_size() -> None:
    rng, tree, oracle = random.Random(7), Tree(), InmemoryTree(algorithm="sha256")
    for _ in range(130):
        leaf = rng.randbytes(rng.randrange(40))
        tree.push(leaf_hash(leaf))
        oracle.append_entry(leaf)
        assert tree.root() == oracle.get_root()
