"""Which policy holds for whom: one for everybody, and others for some tenants and apps.

Tenant and app come from the key, so they are known before a byte of the body is read. No two bindings can hold for the
same caller: which of them counts would be a matter of order. Each policy is in force by itself and reloads by itself,
and each record names the one that decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from gateway.exchange import Caller
from gateway.steps import InForce
from policies import fields
from policies.errors import Problems
from policies.fields import Section
from policies.model import Policy
from policies.yaml_strict import Broken, Listing, Node

MOST: Final = 32
_names: Final = fields.one_or_more(fields.matching(r"[A-Za-z0-9_.\-]{1,64}", "1 to 64 letters, digits and `_ . -`"))


@dataclass(frozen=True, slots=True)
class Binding:
    """A policy file, and for whom it holds."""

    path: Path
    tenants: frozenset[str] = frozenset()
    """Empty: all."""
    apps: frozenset[str] = frozenset()
    """Empty: all."""

    def holds_for(self, caller: Caller) -> bool:
        return (not self.tenants or caller.tenant in self.tenants) and (not self.apps or caller.app in self.apps)

    def meets(self, other: Binding) -> bool:
        """Whether both may hold for the same caller."""
        pairs = ((self.tenants, other.tenants), (self.apps, other.apps))
        return all(not mine or not theirs or mine & theirs for mine, theirs in pairs)


def read_bindings(node: Node | None, folder: Path, problems: Problems) -> tuple[Binding, ...]:
    """`policies: [{policy: bank.yaml, tenant: bank}]`."""
    if node is None or isinstance(node, Broken):
        return ()
    if not isinstance(node, Listing) or not 0 < len(node.items) <= MOST:
        told = f"`policies` has to be a list of 1 to {MOST} policies"
        problems.add(node.place, told, "each with the `tenant` or `app` it is for")
        return ()
    found: list[Binding] = []
    for item in node.items:
        binding = _binding(item, folder, problems)
        if binding is None:
            continue
        if any(binding.meets(other) for other in found):
            told = "two entries of `policies` may hold for the same caller"
            problems.add(item.place, told, "name tenants or apps apart")
        found.append(binding)
    return tuple(found)


def _binding(node: Node, folder: Path, problems: Problems) -> Binding | None:
    section = Section.open(node, "an entry of `policies`", problems, ("policy", "tenant", "app"))
    if section is None:
        return None
    name = section.require("policy", fields.text, "")
    path = (folder / name).resolve()
    if name and not path.is_file():
        problems.add(section.place_of("policy"), "`policy` names a file that is not there")
    tenants = section.get("tenant", _names, fields.NO_TEXTS)
    apps = section.get("app", _names, fields.NO_TEXTS)
    if "tenant" not in section and "app" not in section:
        told = "an entry of `policies` has neither `tenant` nor `app`"
        problems.add(section.place, told, "the policy for everybody is `policy`")
    return Binding(path, frozenset(tenants), frozenset(apps))


class Holder(Protocol):
    """A policy in force that can be replaced."""

    def current(self) -> InForce: ...

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

    def current(self, caller: Caller) -> InForce | None:
        """The one for this caller; None: there is none but the one for everybody."""
        return next((holder.current() for binding, holder in self._holders if binding.holds_for(caller)), None)

    def policies(self) -> Iterator[Policy]:
        return (holder.current().policy for _, holder in self._holders)
