"""An operator's key opens what its roles say, and the file that lists operators is read as strictly as the rest."""

from __future__ import annotations

import hashlib

import pytest

from gateway.errors import Forbidden, Unauthenticated
from gateway.operators import Operator, OperatorEntry, OperatorRing, Role, read_operators
from policies.errors import FileErrors, Problems
from policies.yaml_strict import parse

KEY = "gh_key-of-an-operator-01"
DIGEST = hashlib.sha256(KEY.encode()).hexdigest()
VERA = Operator("vera", frozenset({Role.AUDITOR}))
RING = OperatorRing([OperatorEntry(DIGEST, VERA)])


def read(text: str) -> tuple[tuple[OperatorEntry, ...], list[str]]:
    problems = Problems()
    node = parse(text.encode(), "gatehouse.yaml", problems)
    entries = read_operators(node, problems)
    try:
        problems.raise_if_any()
    except FileErrors as exc:
        return entries, [str(problem) for problem in exc.problems]
    return entries, []


def test_the_key_is_its_operator() -> None:
    assert RING.operator(f"Bearer {KEY}") == VERA


@pytest.mark.parametrize(
    "header", ["", "Bearer", f"Basic {KEY}", f"Bearer {KEY}x", f"Bearer {DIGEST}", "Bearer \udce9"]
)
def test_anything_else_is_nobody(header: str) -> None:
    with pytest.raises(Unauthenticated) as error:
        RING.operator(header)
    assert error.value.code == "invalid_operator_key"
    assert KEY not in error.value.message


def test_without_operators_nobody_is_one() -> None:
    with pytest.raises(Unauthenticated):
        OperatorRing().operator(f"Bearer {KEY}")
    with pytest.raises(Unauthenticated) as error:
        RING.operator(None)
    assert error.value.code == "missing_operator_key"


def test_no_role_includes_another() -> None:
    VERA.require(Role.AUDITOR, Role.PRIVACY_OFFICER)
    for role in set(Role) - {Role.AUDITOR}:
        with pytest.raises(Forbidden):
            VERA.require(role)


def test_a_list_of_operators_is_read() -> None:
    entries, problems = read(f"- {{name: vera, roles: [auditor, privacy_officer], sha256: '{DIGEST}'}}")
    assert not problems
    assert entries == (OperatorEntry(DIGEST, Operator("vera", frozenset({Role.AUDITOR, Role.PRIVACY_OFFICER}))),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{name: vera}", "not a list"),
        ("- vera", "expected a mapping"),
        (f"- {{name: vera, roles: [auditor], key: {KEY}}}", "key in clear text"),
        (f"- {{name: vera, roles: [auditor], sha256: {KEY}}}", "not 64 lower-case hex digits"),
        (f"- {{name: vera, roles: [], sha256: '{DIGEST}'}}", "empty list"),
        (f"- {{name: vera, roles: [auditr], sha256: '{DIGEST}'}}", "did you mean `auditor`"),
        (f"- {{name: 've ra', roles: [auditor], sha256: '{DIGEST}'}}", "letters, digits"),
        (f"- {{roles: [auditor], sha256: '{DIGEST}'}}", "no `name`"),
        ("\n".join(f"- {{name: {name}, roles: [auditor], sha256: '{DIGEST}'}}" for name in "ab"), "same key"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_without_the_key(text: str, told: str) -> None:
    _, problems = read(text)
    assert any(told in problem for problem in problems), problems
    assert not any(KEY in problem for problem in problems)


def test_a_reviewer_names_queues() -> None:
    entries, problems = read(f"[{{name: ann, sha256: {DIGEST}, roles: [reviewer], queues: [payments, duty]}}]")
    assert problems == []
    assert entries[0].operator == Operator("ann", frozenset({Role.REVIEWER}), frozenset({"payments", "duty"}))
    for said, told in (
        ("roles: [reviewer]", "a reviewer without `queues`"),
        ("roles: [auditor], queues: [payments]", "`queues` without the role `reviewer`"),
        ("roles: [reviewer], queues: [Pay ments]", "expected a name of small letters"),
    ):
        assert told in str(read(f"[{{name: ann, sha256: {DIGEST}, {said}}}]")[1])
