"""Two approvers sign exactly the text the gateway wrote, or it does not happen."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.note import Signer
from gateway.content.consent import MOST_NOTES, Consent
from gateway.content.holds import Hold, Kind
from gateway.errors import BadRequest, Forbidden
from gateway.jsonstrict import Json

ALICE, BOB, EVE = (Signer(name, Ed25519PrivateKey.generate()) for name in ("alice", "bob", "eve"))
CONSENT = Consent("site/gate", frozenset({"erase"}), {"alice": ALICE.verifier, "bob": BOB.verifier})
STATEMENT = CONSENT.erase("subject", "sub_a", "asked to by letter")


def notes(text: str, *signers: Signer) -> list[Json]:
    return [signer.sign(text).decode() for signer in signers]


def test_the_statement_says_all_of_it() -> None:
    assert STATEMENT == "gatehouse-erase/v1\norigin site/gate\nsubject sub_a\nreason asked to by letter\n"
    hold = Hold(Kind.REQUEST, "r1", "C-1", {}, "h1")
    assert CONSENT.release(hold, "settled") == (
        "gatehouse-hold-release/v1\norigin site/gate\nhold h1\non request r1\ncase C-1\nreason settled\n"
    )


def test_two_who_signed_it_are_named() -> None:
    assert CONSENT.given("erase", STATEMENT, notes(STATEMENT, BOB, ALICE)) == {"approved_by": ["alice", "bob"]}


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        notes(STATEMENT, ALICE),
        notes(STATEMENT, ALICE, ALICE),
        notes(STATEMENT, ALICE, EVE),
        notes(STATEMENT.replace("sub_a", "sub_b"), ALICE, BOB),
        notes(STATEMENT.replace("site/gate", "site/gate-2"), ALICE, BOB),
        ["no note at all", 5],
    ],
)
def test_anything_else_is_refused(given: Json) -> None:
    with pytest.raises(Forbidden) as error:
        CONSENT.given("erase", STATEMENT, given)
    assert error.value.code == "approval_missing"


def test_what_needs_no_second_person_is_done_by_one_and_notes_that_came_are_still_checked() -> None:
    assert CONSENT.given("release", STATEMENT, None) == {}
    with pytest.raises(Forbidden):
        CONSENT.given("release", STATEMENT, notes(STATEMENT, ALICE, EVE))


@pytest.mark.parametrize("given", ["a note", {"a": 1}, [str(n) for n in range(MOST_NOTES + 1)]])
def test_notes_are_a_short_list(given: Json) -> None:
    with pytest.raises(BadRequest):
        CONSENT.given("erase", STATEMENT, given)
