"""What is legal in a policy and probably not meant: each finding with a code, its place, and what to do about it.

A policy that has problems does not load and is not linted. A finding is no error: the policy does what it says. Each
check is a small function with a code of its own; the codes are stable, so that CI can leave one out. Only what the file
itself shows is said, and what is known of the gateway it is for: how long a rule has been in shadow, or what a guard
finds, is in neither.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from policies.collector import put_off
from policies.lint_promises import PROMISE_CHECKS
from policies.lint_rules import RULE_CHECKS
from policies.lint_settings import SETTING_CHECKS
from policies.load import parse_policy
from policies.remarks import Finding, Remarks
from policies.sheet import Sheet
from policies.site import Site
from policies.vocabulary import KNOWN_GUARDS, GuardFacts
from policies.yaml_strict import MAX_BYTES

CHECKS: Final[Mapping[str, Callable[[Sheet], Iterator[Remarks]]]] = {
    **RULE_CHECKS,
    **SETTING_CHECKS,
    **PROMISE_CHECKS,
}
"""By code."""


def lint_policy(file: Path, known: Mapping[str, GuardFacts] = KNOWN_GUARDS, site: Site | None = None) -> list[Finding]:
    """All findings, by place. Raises PolicyErrors, or OSError when the file cannot be read."""
    with file.open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    return lint(data, str(file), known, site)


def lint(
    data: bytes, file: str, known: Mapping[str, GuardFacts] = KNOWN_GUARDS, site: Site | None = None
) -> list[Finding]:
    """The same of a file's bytes; `site` is the gateway that the policy is for, as far as that is known."""
    with put_off():
        sheet = Sheet(parse_policy(data, file, known), data, known, site or Site(int(time.time())))
        found = (Finding(place, code, *said) for code, check in CHECKS.items() for place, *said in check(sheet))
        return sorted(found)
