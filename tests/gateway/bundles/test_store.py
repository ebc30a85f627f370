"""The last good bundle outlives everything but its own deletion, and a state is whole or the one before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.bundles.errors import BundleError
from gateway.bundles.store import BundleStore, State
from tests.gateway.bundles.making import APPROVERS, bundle

ONE, TWO = bundle(counter=1, names__txt=b"Acme\n"), bundle(counter=2)


def test_a_kept_bundle_is_found_again_with_its_signatures_and_files(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    store.keep(ONE)
    again = BundleStore(tmp_path).bundle(ONE.digest)
    assert again.data() == ONE.data()
    assert again.signers(APPROVERS) == ("alice",)
    assert (store.folder(again) / "names.txt").read_bytes() == b"Acme\n"


def test_files_that_were_changed_in_the_store_are_not_used(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    store.keep(ONE)
    (store.folder(ONE) / "names.txt").write_bytes(b"Nobody\n")
    with pytest.raises(BundleError, match="not those that were signed"):
        store.folder(ONE)
    (next(tmp_path.glob("*.bundle"))).write_bytes(TWO.data())
    with pytest.raises(BundleError) as error:
        store.bundle(ONE.digest)
    assert error.value.code == "bundle_unknown"


@pytest.mark.parametrize("digest", ["", "sha256:../../x", "sha256:" + "0" * 64])
def test_what_was_never_here_is_unknown(tmp_path: Path, digest: str) -> None:
    with pytest.raises(BundleError):
        BundleStore(tmp_path).bundle(digest)


def test_the_state_is_read_as_it_was_written_and_empty_at_first(tmp_path: Path) -> None:
    store = BundleStore(tmp_path / "new")
    assert store.state() == State()
    state = State().activated("a", 3).activated("b", 7).rolled_back("a")
    store.write(state)
    assert BundleStore(tmp_path / "new").state() == state == State("a", 7, (), ("b",))


def test_a_trial_is_remembered_until_its_end_whatever_comes_of_it(tmp_path: Path) -> None:
    store = BundleStore(tmp_path)
    trying = replace(State().activated("a", 3), trial="b")
    store.write(trying)
    assert store.state().trial == "b"
    assert trying.activated("b", 4) == State("b", 4, ("a",))
    assert trying.activated("a", 3) == trying, "the same again"
    assert trying.tried(is_withdrawn=True) == State("a", 3, (), ("b",))
    assert trying.tried(is_withdrawn=False) == State("a", 3)
    (tmp_path / "state.json").write_text('{"active": "a", "highest": 3, "history": [], "withdrawn": []}')
    assert store.state() == State("a", 3), "as written before there were trials"


@pytest.mark.parametrize("text", ["{", "[]", "1", "{}"])
def test_a_state_that_cannot_be_understood_is_not_taken_for_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(BundleError, match="cannot be understood"):
        BundleStore(tmp_path).state()


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=30))
def test_the_counter_never_falls_and_what_is_in_force_is_in_no_list(steps: list[tuple[str, bool]]) -> None:
    state, counter = State(), 0
    for digest, back in steps:
        before = state.highest
        if back and digest in state.history:
            state = state.rolled_back(digest)
        else:
            counter += 1
            state = state.activated(digest, counter)
        assert state.highest >= before
        assert state.active not in state.withdrawn
