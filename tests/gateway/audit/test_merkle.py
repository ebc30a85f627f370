"""The tree, held against the Certificate Transparency vectors and another implementation."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree
from pymerkle import verify_consistency as theirs_hold

from gateway.audit.merkle import EMPTY_ROOT, Span, Tree, between, is_consistent, leaf_hash

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


@given(st.lists(st.lists(st.binary(max_size=3), max_size=9), max_size=9))
def test_many_leaves_at_once_make_the_same_tree(batches: list[list[bytes]]) -> None:
    one, many = Tree(), Tree()
    for batch in batches:
        many.extend([leaf_hash(leaf) for leaf in batch])
        for leaf in batch:
            one.push(leaf_hash(leaf))
        assert (many.size, many.root()) == (one.size, one.root())
    one.push(leaf_hash(b""))
    many.push(leaf_hash(b""))
    assert many.root() == one.root()


def test_empty_tree_has_the_hash_of_nothing() -> None:
    assert Tree().root() == EMPTY_ROOT


def test_roots_equal_those_of_another_implementation_at_every_size() -> None:
    rng, tree, oracle = random.Random(7), Tree(), InmemoryTree(algorithm="sha256")
    for _ in range(130):
        leaf = rng.randbytes(rng.randrange(40))
        tree.push(leaf_hash(leaf))
        oracle.append_entry(leaf)
        assert tree.root() == oracle.get_root()


LEAVES = [str(number).encode() for number in range(300)]


def proof_of(spans: list[Span], leaves: list[bytes]) -> list[bytes]:
    return [root_of(leaves[start:end]) for start, end in spans]


@pytest.mark.parametrize(
    ("old", "new", "proof"),
    [
        (1, 1, []),
        (
            1,
            8,
            [
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            6,
            8,
            [
                "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (
            2,
            5,
            [
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            ],
        ),
    ],
)
def test_certificate_transparency_consistency_vectors(old: int, new: int, proof: list[str]) -> None:
    made = proof_of(between(old, new), CT_LEAVES)
    assert [node.hex() for node in made] == proof
    assert is_consistent(old, root_of(CT_LEAVES[:old]), new, root_of(CT_LEAVES[:new]), made)


def test_every_consistency_proof_of_small_trees_holds_and_no_other_does() -> None:
    roots = [root_of(LEAVES[:size]) for size in range(41)]
    for new in range(41):
        for old in range(new + 1):
            proof = proof_of(between(old, new), LEAVES)
            assert is_consistent(old, roots[old], new, roots[new], proof)
            assert not is_consistent(old, roots[old], new, b"\0" * 32, proof) or old == 0
            assert not is_consistent(old, b"\0" * 32, new, roots[new], proof)
            assert not is_consistent(old, roots[old], new, roots[new], [*proof, roots[new]])
            assert not proof or not is_consistent(old, roots[old], new, roots[new], proof[:-1])
            assert new == old or not is_consistent(new, roots[new], old, roots[old], proof)


def oracle_of(leaves: list[bytes]) -> InmemoryTree:
    oracle = InmemoryTree(algorithm="sha256")
    for leaf in leaves:
        oracle.append_entry(leaf)
    return oracle


@given(st.integers(2, 300), st.data())
@settings(max_examples=60)
def test_consistency_proofs_agree_with_another_implementation(new: int, data: st.DataObject) -> None:
    """Its proofs cut the old tree up further, so that the nodes are compared and not the lists."""
    old = data.draw(st.integers(1, new - 1))
    oracle = oracle_of(LEAVES[:new])
    theirs_hold(oracle.get_root(old), oracle.get_root(new), oracle.prove_consistency(old, new))
    proof = [oracle_of(LEAVES[start:end]).get_root() for start, end in between(old, new)]
    assert is_consistent(old, oracle.get_root(old), new, oracle.get_root(new), proof)
    changed = data.draw(st.integers(0, len(proof) - 1))
    wrong = [*proof[:changed], bytes(32), *proof[changed + 1 :]]
    assert not is_consistent(old, oracle.get_root(old), new, oracle.get_root(new), wrong)
