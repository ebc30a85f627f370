"""Two approvers sign exactly the text the gateway wrote, for one deed, or it does not happen."""

from __future__ import annotations

import re
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit.note import Signer
from gateway.content.consent import MOST_NOTES, VALID_S, Consent
from gateway.content.holds import Hold, Kind
from gateway.errors import BadRequest, Forbidden
from gateway.jsonstrict import Json

ALICE, BOB, EVE = (Signer(name, Ed25519PrivateKey.generate()) for name in ("alice", "bob", "eve"))
NOW = 1_800_000_000.0


def consent(now: float = NOW) -> Consent:
    people = {"alice": ALICE.verifier, "bob": BOB.verifier}
    return Consent("site/gate", frozenset({"erase"}), people, lambda: now)


DEED = consent().erase_person("sub_a", "asked to by letter")
STATEMENT = consent().statement(DEED)


def notes(text: str, *signers: Signer) -> list[Json]:
    return [signer.sign(text).decode() for signer in signers]


def test_the_statement_says_all_of_it_and_is_another_one_each_time() -> None:
    said = r"gatehouse-erase/v2\norigin site/gate\nsubject sub_a\nreason asked to by letter\n"
    assert re.fullmatch(said + r"number [0-9a-f]{32}\nuntil 2027-01-22T08:00:00Z\n", STATEMENT)
    assert consent().statement(DEED) != STATEMENT
    hold = Hold(Kind.REQUEST, "r1", "C-1", {}, "h1")
    assert consent().release(hold, "settled").lines == (
        "gatehouse-hold-release/v2",
        "origin site/gate",
        "hold h1",
        "on request r1",
        "case C-1",
        "reason settled",
    )


def test_the_statement_of_a_request_names_its_blobs() -> None:
    lines = consent().erase_request("r1", ["b", "a"], "why").lines
    assert f"blobs 2 {sha256(b'a' + bytes([10]) + b'b').hexdigest()}" in lines
    other = consent().erase_request("r1", ["b", "a", "c"], "why")
    with pytest.raises(Forbidden, match="something else"):
        consent().given(other, notes(consent().statement(consent().erase_request("r1", "ab", "why")), ALICE, BOB))


def test_two_who_signed_it_are_named_with_what_they_signed() -> None:
    agreed = consent().given(DEED, notes(STATEMENT, BOB, ALICE))
    assert agreed.number in STATEMENT
    assert agreed.fields["approved_by"] == ["alice", "bob"]
    kept = agreed.fields["approval"]
    assert isinstance(kept, dict)
    signatures = kept["signatures"]
    assert isinstance(signatures, list)
    assert kept["statement"] == STATEMENT
    assert [str(line).split(" ")[1] for line in signatures] == ["bob", "alice"]


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
        notes(STATEMENT + "more\n", ALICE, BOB),
        notes("\n".join((*DEED.lines, "")), ALICE, BOB),
        notes(STATEMENT, ALICE) + notes(consent().statement(DEED), BOB),
        ["no note at all", 5],
        [*notes(STATEMENT, ALICE, BOB), 5],
        ["\ud800"],
    ],
)
def test_anything_else_is_refused(given: Json) -> None:
    with pytest.raises(Forbidden) as error:
        consent().given(DEED, given)
    assert error.value.code == "approval_missing"


def test_a_statement_has_an_end() -> None:
    signed = notes(STATEMENT, ALICE, BOB)
    assert consent(NOW + VALID_S - 1).given(DEED, signed).number
    with pytest.raises(Forbidden, match="is over"):
        consent(NOW + VALID_S).given(DEED, signed)
    for_ever = re.sub("until .*", "until for ever", STATEMENT)
    with pytest.raises(Forbidden, match="is over"):
        consent().given(DEED, notes(for_ever, ALICE, BOB))


def test_what_needs_no_second_person_is_done_by_one_and_notes_that_came_are_still_checked() -> None:
    deed = consent().release(Hold(Kind.REQUEST, "r1", "C-1", {}, "h1"), "settled")
    assert consent().given(deed, None).fields == {}
    with pytest.raises(Forbidden):
        consent().given(deed, notes(consent().statement(deed), ALICE, EVE))


@pytest.mark.parametrize("given", ["a note", {"a": 1}, [str(n) for n in range(MOST_NOTES + 1)]])
def test_notes_are_a_short_list(given: Json) -> None:
    with pytest.raises(BadRequest):
        consent().given(DEED, given)
