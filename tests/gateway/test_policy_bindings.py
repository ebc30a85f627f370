"""Each caller has exactly one policy, and which one is no matter of order."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.bundles.store import State
from gateway.exchange import Caller
from gateway.policy_bindings import Binding, Bound, BoundLog, read_bindings
from gateway.policy_settings import PolicySettings
from gateway.policy_source import BundleSource
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
    approvers = dict.fromkeys(("alice", "bob"), None)
    found = read_bindings(parse(text.encode(), "f", problems), folder, approvers, problems)
    try:
        problems.raise_if_any()
    except FileErrors as exc:
        return found, [str(problem) for problem in exc.problems]
    return found, []


def test_a_binding_names_tenants_or_apps(tmp_path: Path) -> None:
    text = "[{policy: bank.yaml, tenant: bank}, {policy: ward.yaml, tenant: [a, b], app: chat}]"
    found, problems = read(tmp_path, text)
    assert problems == []
    ward = PolicySettings((tmp_path / "ward.yaml").resolve())
    assert found[1] == Binding("ward", ward, frozenset("ab"), frozenset({"chat"}))
    bank, other = found
    assert bank.holds_for(Caller("k", "bank", "any"))
    assert not bank.holds_for(Caller("k", "a", "chat"))
    assert other.holds_for(Caller("k", "a", "chat"))
    assert not other.holds_for(Caller("k", "a", "other"))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[{policy: bank.yaml}]", "f:1:2: an entry of `policies` has neither `tenant` nor `app`"),
        ("[{policy: no.yaml, tenant: a}]", "f:1:3: `policy` names a file that is not there"),
        ("[{tenant: a}]", "f:1:2: an entry of `policies` has no `policy`"),
        ("[{policy: bank.yaml, tenat: a}]", "f:1:2: an entry of `policies` has neither"),
        ("[]", "f:1:1: `policies` has to be a list of 1 to 32 policies"),
        ("bank.yaml", "f:1:1: `policies` has to be a list of 1 to 32 policies"),
        ("[{name: Bank, policy: bank.yaml, tenant: a}]", "f:1:9: `name` is `Bank`, expected a name of small letters"),
        (
            "[{policy: bank.yaml, tenant: a}, {policy: bank.yaml, tenant: b}]",
            "f:1:34: two entries of `policies` are called `bank` (give them a `name`)",
        ),
        ("[{policy: {bundle: b, approvals: 3}, tenant: a}]", "f:1:11: a policy may need 3 approvals"),
        (
            "[{policy: bank.yaml, tenant: a}, {policy: ward.yaml, app: chat}]",
            "f:1:34: two entries of `policies` may hold for the same caller",
        ),
    ],
)
def test_a_binding_that_binds_nothing_or_twice_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    assert any(one.startswith(problem) for one in read(tmp_path, text)[1])


def test_each_has_a_store_of_its_own(tmp_path: Path) -> None:
    text = "[{policy: {bundle: b.bundle}, tenant: a}, {name: other, policy: {bundle: b.bundle}, tenant: b}]"
    found, problems = read(tmp_path, text)
    assert (problems, [one.name for one in found]) == ([], ["b", "other"])
    for one in found:
        source = one.source({}, tmp_path)
        assert isinstance(source, BundleSource)
        source._store.write(State(highest=len(one.name)))
    assert [(tmp_path / "bindings" / name / "bundles" / "state.json").is_file() for name in ("b", "other")] == [
        True
    ] * 2


async def test_records_name_the_binding_they_are_about() -> None:
    class Listing:
        written: list[object] = []  # noqa: RUF012

        async def append(self, record: object) -> object:
            self.written.append(record)
            return None

    await BoundLog(Listing(), "bank").append({"type": "policy.load"})
    await BoundLog(Listing(), "").append({"type": "policy.load"})
    assert Listing.written == [{"type": "policy.load", "binding": "bank"}, {"type": "policy.load"}]


class Holding:
    """A policy that is there."""

    trial = None

    def __init__(self, name: str) -> None:
        text = document("- {id: r, on: [user], do: allow}").replace("name: small", f"name: {name}")
        self.in_force = InForce(parse_policy(text.encode(), "p"), Panel({}), {})
        self.told: list[str] = []

    def current(self) -> InForce:
        return self.in_force

    def for_exchange(self, caller: Caller, exchange_id: str) -> InForce:
        return self.in_force

    def drawn(self, caller: Caller, exchange_id: str) -> None:
        return None

    async def load_first(self) -> None:
        self.told.append("first")

    def reload_soon(self) -> None:
        self.told.append("reload")


async def test_each_caller_has_the_policy_that_is_bound_to_it() -> None:
    bank, ward = Holding("bank"), Holding("ward")
    bound = Bound([
        (Binding("bank", PolicySettings(Path("b")), frozenset({"bank"})), bank),
        (Binding("ward", PolicySettings(Path("w")), frozenset(), frozenset({"ward"})), ward),
    ])  # fmt: skip
    await bound.load_first()
    bound.reload_soon()
    assert bank.told == ward.told == ["first", "reload"]
    assert bound.for_exchange(Caller("k", "bank", "chat"), "x") is bank.in_force
    assert bound.for_exchange(Caller("k", "clinic", "ward"), "x") is ward.in_force
    assert bound.for_exchange(Caller("k", "clinic", "chat"), "x") is None
    assert Bound().for_exchange(Caller("k", "bank", "chat"), "x") is None
    assert [policy.name for policy in bound.policies()] == ["bank", "ward"]
