"""What a client says of itself counts only where its key lets it, and never against what the key says."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers

from gateway.claims import claimed, read_claims
from gateway.errors import BadRequest
from gateway.exchange import Caller
from policies.errors import FileErrors, Problems
from policies.fields import Section
from policies.yaml_strict import parse

CALLER = Caller("k", "t", "a", {"desk": "branch"}, frozenset({"purpose", "data_class"}))


def test_a_permitted_header_becomes_a_claim() -> None:
    said = claimed(CALLER, {"x-gatehouse-purpose": "research", "x-gatehouse-data-class": "public"})
    assert said.claims == {"desk": "branch", "purpose": "research", "data_class": "public"}
    assert claimed(CALLER, {}) is CALLER


def test_a_header_never_changes_what_the_key_says() -> None:
    fixed = Caller("k", "t", "a", {"purpose": "sales"}, frozenset({"purpose"}))
    assert claimed(fixed, {"x-gatehouse-purpose": "research"}).claims == {"purpose": "sales"}
    assert claimed(CALLER, {"x-gatehouse-desk": "control-room"}).claims == {"desk": "branch"}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-gatehouse-role": "doctor"},
        {"x-gatehouse-purpose": ""},
        {"x-gatehouse-purpose": "two words"},
        {"x-gatehouse-purpose": "x" * 65},
        {"x-gatehouse-purpose": "a\nb"},
    ],
)
def test_a_claim_that_is_not_permitted_or_no_name_is_refused_without_its_value(headers: dict[str, str]) -> None:
    with pytest.raises(BadRequest) as error:
        claimed(CALLER, headers)
    assert error.value.code == "claim_refused"
    assert not any(value and value in error.value.message for value in headers.values())


def test_a_header_that_is_there_twice_is_refused() -> None:
    header = (b"x-gatehouse-purpose", b"research")
    with pytest.raises(BadRequest) as error:
        claimed(CALLER, Headers(raw=[header, (header[0], b"sales")]))
    assert error.value.code == "claim_refused"
    assert claimed(CALLER, Headers(raw=[header])).claims["purpose"] == "research"


def read(text: str) -> tuple[object, list[str]]:
    problems = Problems()
    section = Section.open(parse(text.encode(), "f", problems), "a key", problems, ("claims", "may_claim"))
    assert section is not None
    found = read_claims(section, problems)
    try:
        problems.raise_if_any()
    except FileErrors as exc:
        return found, [str(problem) for problem in exc.problems]
    return found, []


def test_claims_of_a_key() -> None:
    assert read("claims: {desk: branch, clearance: a2}\nmay_claim: [purpose]") == (
        ({"clearance": "a2", "desk": "branch"}, frozenset({"purpose"})), [],
    )  # fmt: skip
    assert read("{}") == (({}, frozenset()), [])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("claims: {tenant: x}", "f:1:10: `tenant` cannot be claimed (claims are names such as `desk`)"),
        ("claims: {desk: two words}", "f:1:16: `desk` is `two words`, expected 1 to 64 letters"),
        ("may_claim: [desk]", "f:1:13: item of `may_claim` is `desk`, expected one of `language`"),
        ("claims: {role: x}\nmay_claim: [role]", "f:2:1: `role` is in `claims` as well, where the key sets it"),
    ],
)
def test_claims_that_say_nothing_or_two_things(text: str, problem: str) -> None:
    [found] = read(text)[1]
    assert found.startswith(problem)
