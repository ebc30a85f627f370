"""People who run the gateway, by their keys: who may read, erase, hold or change what, on the admin listener only.

An operator's key is not a client's: it opens no `/v1` route, and a client's key opens no `/admin` route. As for clients
only the SHA-256 is stored, and the lookup goes by the digest of what was presented, so that its time says nothing about
any stored key. Without `operators` in the configuration every `/admin` route refuses everybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.auth import bearer_digest
from gateway.errors import Forbidden, Unauthenticated
from policies import fields
from policies.errors import Problems
from policies.fields import Section
from policies.read_reviews import QUEUE
from policies.yaml_strict import Broken, Listing, Node, Scalar


class Role(StrEnum):
    """What an operator may do. One person can have several; no role includes another."""

    AUDITOR = "auditor"
    PRIVACY_OFFICER = "privacy_officer"
    POLICY_AUTHOR = "policy_author"
    POLICY_APPROVER = "policy_approver"
    OPERATOR = "operator"
    REVIEWER = "reviewer"


@dataclass(frozen=True, slots=True)
class Operator:
    """One of them, as records name them."""

    name: str
    roles: frozenset[Role]
    queues: frozenset[str] = frozenset()
    """Of a reviewer: on which of them they vote."""

    def require(self, *roles: Role) -> None:
        """Raise Forbidden unless the operator has one of these roles."""
        if not self.roles.intersection(roles):
            names = " or ".join(f"`{role}`" for role in roles)
            raise Forbidden("role_missing", f"this needs the role {names}, which the key's operator does not have")


@dataclass(frozen=True, slots=True)
class OperatorEntry:
    """One configured operator."""

    sha256: str
    """Lower-case hex digest of the key."""
    operator: Operator


class OperatorRing:
    """All operators that are in force."""

    def __init__(self, entries: Iterable[OperatorEntry] = ()) -> None:
        self._operators = {entry.sha256: entry.operator for entry in entries}

    def operator(self, authorization: str | None) -> Operator:
        """The operator an `Authorization` header stands for. Raises Unauthenticated."""
        if authorization is None:
            raise Unauthenticated("missing_operator_key", "no operator key: send `Authorization: Bearer KEY`")
        found = self._operators.get(bearer_digest(authorization))
        if found is None:
            raise Unauthenticated("invalid_operator_key", "the key is not that of one of this gateway's operators")
        return found


_QUEUES: Final = fields.list_of(fields.matching(QUEUE, "a name of small letters, digits, `-` and `_`"), least=1)
_ROLES: Final = fields.list_of(fields.choice(tuple(Role)), least=1)


def read_operators(node: Node | None, problems: Problems) -> tuple[OperatorEntry, ...]:
    """The list `operators` of a configuration; every problem in it is added to `problems`."""
    if node is None:
        return ()
    if not isinstance(node, Listing):
        if not isinstance(node, Broken):
            problems.add(node.place, "`operators` is not a list")
        return ()
    entries = tuple(entry for item in node.items if (entry := _read(item, problems)) is not None)
    for kind, values in (("key", [e.sha256 for e in entries]), ("name", [e.operator.name for e in entries])):
        if len(set(values)) != len(values):
            problems.add(node.place, f"two entries of `operators` have the same {kind}")
    return entries


def _read(node: Node, problems: Problems) -> OperatorEntry | None:
    section = Section.open(node, "an operator", problems, ("name", "key", "sha256", "roles", "queues"))
    if section is None:
        return None
    before = len(problems)
    if "key" in section:
        hint = "put its SHA-256 under `sha256`: gatehouse key new"
        problems.add(section.place_of("key"), "an operator's key in clear text", hint)
    name = section.require("name", fields.site_name, "")
    roles = section.require("roles", _ROLES, fields.NO_TEXTS)
    digest = section.require("sha256", _digest, "") if "key" not in section else ""
    queues = section.get("queues", _QUEUES, fields.NO_TEXTS)
    if (Role.REVIEWER in roles) != ("queues" in section) and len(problems) == before:
        told = "a reviewer without `queues`" if Role.REVIEWER in roles else "`queues` without the role `reviewer`"
        problems.add(section.place_of("queues"), told)
    if len(problems) != before:
        return None
    return OperatorEntry(digest, Operator(name, frozenset(Role(role) for role in roles), frozenset(queues)))


def _digest(node: Node, what: str, problems: Problems) -> str | None:
    """64 hex digits; no message quotes what stands there, which may be a key."""
    value = node.value if isinstance(node, Scalar) else None
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return value
    problems.add(node.place, f"{what} is not 64 lower-case hex digits")
    return None
