"""Tokens: the same for the same text of one tenant, nothing to anybody else, and back only where they were made."""

from __future__ import annotations

import re

from gateway.tokens import Vault
from guards.verdict import Part, Scope
from policies.model import Redaction

PART = Part(Scope.USER, "/messages/0/content", "user", "Ann Lee and Bob and Ann Lee")
AS = "[person:{token}]"


def cut(start: int, end: int, reversible: bool = True) -> Redaction:
    placed = AS if reversible else "[person]"
    return Redaction(PART.path, start, end, placed, "names", reversible=reversible)


CUTS = (cut(0, 7), cut(12, 15), cut(20, 27))


def placed(vault: Vault) -> list[str]:
    return [one.replacement for one in vault.tokens_in([PART], CUTS)]


def test_equal_text_has_an_equal_token_and_only_the_vault_knows_it() -> None:
    vault = Vault(b"k" * 32, "clinic")
    first, second, third = placed(vault)
    assert first == third != second
    assert re.fullmatch(r"\[person:[a-z2-7]{12}\]", first)
    assert vault.originals == {first: "Ann Lee", second: "Bob"}
    assert "Ann" not in repr(vault)
    assert "kkk" not in repr(vault)


def test_tokens_are_the_same_in_every_exchange_of_a_tenant_and_in_no_other() -> None:
    assert placed(Vault(b"k" * 32, "clinic")) == placed(Vault(b"k" * 32, "clinic"))
    found = {
        *placed(Vault(b"k" * 32, "clinic")),
        *placed(Vault(b"k" * 32, "bank")),
        *placed(Vault(b"l" * 32, "clinic")),
    }
    assert len(found) == 6


def test_what_is_not_reversible_is_left_as_it_is() -> None:
    vault = Vault(b"k" * 32, "clinic")
    cuts = (cut(0, 7, reversible=False),)
    assert vault.tokens_in([PART], cuts) == cuts
    assert vault.originals == {}
