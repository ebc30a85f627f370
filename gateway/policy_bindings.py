"""Which policy holds for whom: one for everybody, and others for some tenants and apps.

Tenant and app come from the key, so they are known before a byte of the body is read. No two bindings can hold for the
same caller: which of them counts would be a matter of order. Each policy is in force by itself and reloads by itself,
and each record names the one that decided.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from gateway.approval import Approvers
from gateway.entries import Record, Recorder
from gateway.exchange import Caller
from gateway.policy_settings import PolicySettings, read_policy
from gateway.policy_source import PolicySource
from gateway.steps import InForce
from gateway.trial import Trial
from policies import fields
from policies.errors import Problems
from policies.fields import Section
from policies.model import Policy
from policies.yaml_strict import Broken, Listing, Node

DIRECTORY: Final = "bindings"
"""Below the state directory: what each of them remembers of its bundles."""
MOST: Final = 32
_LONGEST_NAME: Final = 40
_NO_NAME: Final = re.compile(r"[^a-z0-9]+")
_name: Final = fields.matching(r"[a-z0-9][a-z0-9-]{0,39}", "a name of small letters, digits and `-`, at most 40")
_names: Final = fields.one_or_more(fields.site_name)


@dataclass(frozen=True, slots=True)
class Binding:
    """A policy, and for whom it holds."""

    name: str
    """For operators and records."""
    settings: PolicySettings
    tenants: frozenset[str] = frozenset()
    """Empty: all."""
    apps: frozenset[str] = frozenset()
    """Empty: all."""

    def source(self, approvers: Approvers, state: Path, tested: Container[str] = (), origin: str = "") -> PolicySource:
        """What finds the policy; with a counter, a history and a last good one of its own."""
        return self.settings.source(approvers, state / DIRECTORY / self.name, tested, origin, self.name)

    def holds_for(self, caller: Caller) -> bool:
        return (not self.tenants or caller.tenant in self.tenants) and (not self.apps or caller.app in self.apps)

    def meets(self, other: Binding) -> bool:
        """Whether both may hold for the same caller."""
        pairs = ((self.tenants, other.tenants), (self.apps, other.apps))
        return all(not mine or not theirs or mine & theirs for mine, theirs in pairs)


def read_bindings(
    node: Node | None, folder: Path, approvers: Mapping[str, object], problems: Problems
) -> tuple[Binding, ...]:
    """`policies: [{name: bank, policy: bank.yaml, tenant: bank}]`."""
    if node is None or isinstance(node, Broken):
        return ()
    if not isinstance(node, Listing) or not 0 < len(node.items) <= MOST:
        told = f"`policies` has to be a list of 1 to {MOST} policies"
        problems.add(node.place, told, "each with the `tenant` or `app` it is for")
        return ()
    found: list[Binding] = []
    for item in node.items:
        binding = _binding(item, folder, approvers, problems)
        if binding is None:
            continue
        if any(binding.meets(other) for other in found):
            told = "two entries of `policies` may hold for the same caller"
            problems.add(item.place, told, "name tenants or apps apart")
        if any(binding.name == other.name for other in found):
            problems.add(item.place, f"two entries of `policies` are called `{binding.name}`", "give them a `name`")
        found.append(binding)
    return tuple(found)


def _binding(node: Node, folder: Path, approvers: Mapping[str, object], problems: Problems) -> Binding | None:
    section = Section.open(node, "an entry of `policies`", problems, ("name", "policy", "tenant", "app"))
    if section is None:
        return None
    settings = read_policy(section, folder, approvers)
    name = section.get("name", _name, "") or _NO_NAME.sub("-", settings.path.stem.lower()).strip("-") or "policy"
    tenants = section.get("tenant", _names, fields.NO_TEXTS)
    apps = section.get("app", _names, fields.NO_TEXTS)
    if "tenant" not in section and "app" not in section:
        told = "an entry of `policies` has neither `tenant` nor `app`"
        problems.add(section.place, told, "the policy for everybody is `policy`")
    return Binding(name[:_LONGEST_NAME], settings, frozenset(tenants), frozenset(apps))


class Holder(Protocol):
    """A policy in force that can be replaced."""

    def current(self) -> InForce: ...

    def for_exchange(self, caller: Caller, exchange_id: str) -> InForce: ...

    def drawn(self, caller: Caller, exchange_id: str) -> Trial | None: ...

    @property
    def trial(self) -> Trial | None: ...

    async def load_first(self) -> None: ...

    def reload_soon(self) -> None: ...


class Bound:
    """The policies for some callers."""

    def __init__(self, holders: Iterable[tuple[Binding, Holder]] = ()) -> None:
        self._holders: Sequence[tuple[Binding, Holder]] = tuple(holders)

    async def load_first(self) -> None:
        """Raises what loading any of them raises: nothing is served without a policy."""
        for _, holder in self._holders:
            await holder.load_first()

    def reload_soon(self) -> None:
        for _, holder in self._holders:
            holder.reload_soon()

    def holder(self, caller: Caller) -> Holder | None:
        """The one for this caller; None: there is none but the one for everybody."""
        return next((holder for binding, holder in self._holders if binding.holds_for(caller)), None)

    def for_exchange(self, caller: Caller, exchange_id: str) -> InForce | None:
        """What decides this exchange; None: the policy for everybody does."""
        holder = self.holder(caller)
        return None if holder is None else holder.for_exchange(caller, exchange_id)

    def trials(self) -> Iterator[Trial]:
        """Those that run."""
        return (trial for _, holder in self._holders if (trial := holder.trial) is not None)

    def policies(self) -> Iterator[Policy]:
        return (holder.current().policy for _, holder in self._holders)


class BoundLog:
    """The same log; each record names the binding that it is about."""

    def __init__(self, log: Recorder, name: str) -> None:
        self._log, self._name = log, name

    async def append(self, record: Record) -> object:
        return await self._log.append(record | {"binding": self._name} if self._name else record)
