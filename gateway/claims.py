"""What is said of a request besides its text: set with the key, or by the client where the key lets it.

A client says it in headers (`x-gatehouse-purpose: research`). A claim that the key does not let the client make is
refused and never dropped in silence: a client that believes it said something must not be judged as if it had not. What
the key sets itself no header changes. Values are short names, so that no text gets into records this way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from gateway.errors import BadRequest
from gateway.exchange import Caller
from policies import fields
from policies.errors import Problems
from policies.fields import Section
from policies.read_detectors import NAME
from policies.vocabulary import CLIENT_CLAIMS, SURE_FACTS

HEADER: Final = "x-gatehouse-"
VALUE: Final = r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}"
_VALUE: Final = re.compile(VALUE)
_NAMES: Final = {HEADER + name.replace("_", "-"): name for name in CLIENT_CLAIMS}
_value: Final = fields.matching(VALUE, "1 to 64 letters, digits and `_ . -`")


def claimed(caller: Caller, headers: Mapping[str, str]) -> Caller:
    """The caller with what its client says. Raises BadRequest."""
    said: dict[str, str] = {}
    for header, value in headers.items():
        name = _NAMES.get(header)
        if name is None:
            continue
        if name not in caller.may_claim:
            raise BadRequest("claim_refused", f"the key does not let its client say `{name}`")
        if name in said:
            raise BadRequest("claim_refused", f"the header for `{name}` is there twice")
        if not _VALUE.fullmatch(value):
            raise BadRequest("claim_refused", f"the header for `{name}` is not 1 to 64 letters, digits and `_ . -`")
        said[name] = value
    return replace(caller, claims=MappingProxyType(said | dict(caller.claims))) if said else caller


def read_claims(section: Section, problems: Problems) -> tuple[Mapping[str, str], frozenset[str]]:
    """`claims` and `may_claim` of a key."""
    node = section.node("claims")
    table = fields.table(node, "`claims`", problems) if node else None
    claims: dict[str, str] = {}
    for entry in table.entries if table else ():
        if not re.fullmatch(NAME, entry.key) or entry.key in SURE_FACTS:
            problems.add(entry.place, f"`{entry.key[:40]}` cannot be claimed", "claims are names such as `desk`")
            continue
        value = _value(entry.value, f"`{entry.key}`", problems)
        if value is not None:
            claims[entry.key] = value
    allowed = section.get("may_claim", fields.list_of(fields.choice(CLIENT_CLAIMS)), fields.NO_TEXTS)
    for name in sorted(set(allowed) & claims.keys()):
        problems.add(section.place_of("may_claim"), f"`{name}` is in `claims` as well, where the key sets it")
    return MappingProxyType(dict(sorted(claims.items()))), frozenset(allowed)
