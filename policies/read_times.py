"""Days in a policy, and what somebody accepts until one of them.

A day counts to its end, in UTC. Reading looks at no clock: whether a day has passed is asked when a decision is made,
with the time handed in.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass

from policies import vocabulary as words
from policies.errors import Problems
from policies.fields import Section, choice, described, matching
from policies.model import Risk
from policies.yaml_strict import Broken, Node, Scalar

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_by = matching(r"[^\x00-\x1f\x7f]{1,200}", "who accepts it, in one line")
_ticket = matching(r"[A-Za-z0-9][A-Za-z0-9._/#:-]{0,63}", "the name of a ticket, such as `RISK-12`")


def day_end(node: Node, what: str, problems: Problems) -> int | None:
    """`2026-12-31`: when that day is over, in seconds since 1970."""
    written = node.value if isinstance(node, Scalar) else None
    if isinstance(written, str) and _DAY.fullmatch(written):
        try:
            day = datetime.date.fromisoformat(written)
        except ValueError:
            day = None
        if day is not None and 1970 < day.year < 9999:
            over = datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time(), datetime.UTC)
            return int(over.timestamp())
    if not isinstance(node, Broken):
        problems.add(node.place, f"{what} is {described(node)}, expected a day such as `2026-12-31`")
    return None


def day_of(until: int) -> str:
    """The day that is over then, as the author wrote it."""
    return datetime.datetime.fromtimestamp(until - 1, datetime.UTC).date().isoformat()


@dataclass(frozen=True, slots=True)
class OnError:
    """What follows from a missing verdict, as one place of the file says it."""

    kind: str = ""
    """`closed`, `open`, or empty when it does not say."""
    risk: Risk | None = None


def read_on_error(section: Section) -> OnError:
    """`on_error` with the `accept_risk` that `open` needs."""
    kind = section.get("on_error", choice(("closed", "open"), words.LATER_ON_ERROR), "")
    problems, node = section.problems, section.node("accept_risk")
    if kind != "open":
        if node is not None:
            problems.add(section.place_of("accept_risk"), "`accept_risk` needs `on_error: open` beside it")
        return OnError(kind)
    if node is None:
        hint = "{by: …, ticket: …, until: 2026-12-31}"
        problems.add(section.place_of("on_error"), "`on_error: open` needs `accept_risk` beside it", f"`{hint}`")
        return OnError(kind)
    inner = Section.open(node, "`accept_risk`", problems, ("by", "ticket", "until"))
    if inner is None:
        return OnError(kind)
    return OnError(
        kind,
        Risk(inner.require("by", _by, ""), inner.require("ticket", _ticket, ""), inner.require("until", day_end, 0)),
    )
