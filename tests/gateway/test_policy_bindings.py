"""Each caller has exactly one policy, and which one is no matter of order."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.exchange import Caller
from gateway.policy_bindings import Binding, Bound, read_bindings
from gateway.steps import InForce
from guards.panel import Panel
from policies.errors import FileErrors, Problems
from policies.load import parse_policy
from policies.yaml_strict import parse
from tests.policies.build import document


def read(folder: Path, text: str) -> tuple[tuple[Binding, ...], list[str]]:
    for name in ("bank.yaml", "ward.yaml"):
        (folder / name).write_text("")
    problems = Problems()
    found = read_bindings(parse(text.encode(), "f", problems), folder, problems)
    try:
        problems.raise_if_any()
    except FileErrors as exc:
        return found, [str(problem) for problem in exc.problems]
    return found, []


def test_a_binding_names_tenants_or_apps(tmp_path: Path) -> None:
    text = "[{policy: bank.yaml, tenant: bank}, {policy: ward.yaml, tenant: [a, b], app: chat}]"
    found, problems = read(tmp_path, text)
    assert problems == []
    assert found[1] == Binding((tmp_path / "ward.yaml").resolve(), frozenset("ab"), frozenset({"chat"}))
    bank, ward = found
    assert bank.holds_for(Caller("k", "bank", "any"))
    assert not bank.holds_for(Caller("k", "a", "chat"))
    assert ward.holds_for(Caller("k", "a", "chat"))
    assert not ward.holds_for(Caller("k", "a", "other"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[{policy: bank.yaml}]", "f:1:2: an entry of `policies` has neither `tenant` nor `app`"),
        ("[{policy: no.yaml, tenant: a}]", "f:1:3: `policy` names a file that is not there"),
        ("[{tenant: a}]", "f:1:2: an entry of `policies` has no `policy`"),
        ("[{policy: bank.yaml, tenat: a}]", "f:1:2: an entry of `policies` has neither"),
        ("[]", "f:1:1: `policies` has to be a list of 1 to 32 policies"),
        ("bank.yaml", "f:1:1: `policies` has to be a list of 1 to 32 policies"),
        (
            "[{policy: bank.yaml, tenant: a}, {policy: ward.yaml, app: chat}]",
            "f:1:34: two entries of `policies` may hold for the same caller",
        ),
    ],
)
def test_a_binding_that_binds_nothing_or_twice_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    assert any(one.startswith(problem) for one in read(tmp_path, text)[1])


class Holding:
    """A policy that is there."""

    def __init__(self, name: str) -> None:
        text = document("- {id: r, on: [user], do: allow}").replace("name: small", f"name: {name}")
        self.in_force = InForce(parse_policy(text.encode(), "p"), Panel({}), {})
        self.told: list[str] = []

    def current(self) -> InForce:
        return self.in_force

    async def load_first(self) -> None:
        self.told.append("first")

    def reload_soon(self) -> None:
        self.told.append("reload")


async def test_each_caller_has_the_policy_that_is_bound_to_it() -> None:
    bank, ward = Holding("bank"), Holding("ward")
    bound = Bound([
        (Binding(Path("b"), frozenset({"bank"})), bank), (Binding(Path("w"), frozenset(), frozenset({"ward"})), ward),
    ])  # fmt: skip
    await bound.load_first()
    bound.reload_soon()
    assert bank.told == ward.told == ["first", "reload"]
    assert bound.current(Caller("k", "bank", "chat")) is bank.in_force
    assert bound.current(Caller("k", "clinic", "ward")) is ward.in_force
    assert bound.current(Caller("k", "clinic", "chat")) is None
    assert Bound().current(Caller("k", "bank", "chat")) is None
    assert [policy.name for policy in bound.policies()] == ["bank", "ward"]
