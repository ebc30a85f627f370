"""Only a key that is ours makes a caller; everything else is one of two refusals that say nothing of any key."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth import KeyEntry, KeyRing
from gateway.errors import Unauthenticated
from gateway.exchange import Caller

KEY = "gh_a-key-that-is-ours-0123"
ALICE = Caller("k1", "tenant-a", "app-a")
RING = KeyRing([KeyEntry(hashlib.sha256(KEY.encode()).hexdigest(), ALICE)])


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"BEARER  {KEY} "])
def test_our_key_is_its_caller(header: str) -> None:
    assert RING.caller(header) == ALICE


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", KEY, f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", f"Bearer{KEY}",
     f"Bearer {KEY} {KEY}", f"Bearer {KEY.upper()}", "Bearer null", "Bearer \udce9\xff"],
)  # fmt: skip
def test_anything_else_is_refused_without_a_hint(header: str) -> None:
    with pytest.raises(Unauthenticated) as error:
        RING.caller(header)
    assert error.value.code == "invalid_api_key"
    assert KEY not in error.value.message


def test_no_header_says_what_to_send() -> None:
    with pytest.raises(Unauthenticated) as error:
        RING.caller(None)
    assert error.value.code == "missing_api_key"
    assert "Authorization: Bearer" in error.value.message


def test_the_digest_of_a_key_is_not_a_key() -> None:
    """Who reads the configuration file cannot log in with what stands there."""
    with pytest.raises(Unauthenticated):
        RING.caller(f"Bearer {hashlib.sha256(KEY.encode()).hexdigest()}")


def test_an_empty_ring_knows_nobody() -> None:
    with pytest.raises(Unauthenticated):
        KeyRing([]).caller(f"Bearer {KEY}")


@given(st.text(max_size=60))
def test_no_header_crashes_the_ring(header: str) -> None:
    with pytest.raises(Unauthenticated):
        RING.caller(header)
