"""Who is asked, and who has accepted what: `review`, `on_error`, `accept_risk` and `uncovered` of a policy file.

Nothing goes on without a verdict unless the file says by whom that is accepted, under which ticket and until when.
Whether that day has passed is asked when a decision is made, with the time handed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.actions import Review, Risk
from policies.errors import Problems
from policies.fields import Section, choice, duration_ms, integer, matching
from policies.read_times import day_end
from policies.yaml_strict import Node, Table

QUEUE: Final = r"[a-z][a-z0-9_-]{0,63}"
HOLDS: Final = ("request", "response", "tool_call")
ON_TIMEOUT: Final = ("block", "allow")
MOST_REVIEWERS: Final = 10
NO_VERDICT_QUEUE: Final = "no-verdict"
"""Who is asked of `on_error: review`, unless it says so."""
DEFAULT_WAIT_MS: Final = 15 * 60_000
_RISK_KEYS: Final = ("by", "ticket", "until")
_by = matching(r"[^\x00-\x1f\x7f]{1,200}", "who accepts it, in one line")
_ticket = matching(r"[A-Za-z0-9][A-Za-z0-9._/#:-]{0,63}", "the name of a ticket, such as `RISK-12`")
_queue = matching(QUEUE, "a name of small letters, digits, `-` and `_`")
_HINT: Final = "`{by: …, ticket: …, until: 2026-12-31}`"


@dataclass(frozen=True, slots=True)
class OnError:
    """What follows from a missing verdict, as one place of the file says it."""

    kind: str = ""
    """`closed`, `review`, `open`, or empty when it does not say."""
    risk: Risk | None = None
    people: Review | None = None


def read_on_error(section: Section, *, risk_is_shared: bool = False) -> OnError:
    """`on_error` with the `accept_risk` that `open` needs. `risk_is_shared`: something beside it needs one, too."""
    if isinstance(section.node("on_error"), Table):
        kind, people = "review", _people(section)
    else:
        kind = section.get("on_error", choice(("closed", "review", "open")), "")
        people = Review(NO_VERDICT_QUEUE, 1, "", DEFAULT_WAIT_MS, True) if kind == "review" else None
    if kind == "open":
        return OnError(kind, read_risk(section, "on_error", "`on_error: open`"))
    if "accept_risk" in section and not risk_is_shared:
        section.problems.add(section.place_of("accept_risk"), "`accept_risk` needs `on_error: open` beside it")
    return OnError(kind, None, people)


def _people(section: Section) -> Review | None:
    """`on_error: {review: {queue: …}}`."""
    node = section.node("on_error")
    outer = Section.open(node, "`on_error`", section.problems, ("review",)) if node else None
    if outer is None:
        return None
    if "review" not in outer:
        section.problems.add(outer.place, "`on_error` has no `review`", "or write `closed`, `review` or `open`")
        return None
    inner = outer.node("review")
    return read_review(inner, section.problems, holds=()) if inner else None


def read_uncovered(defaults: Section) -> Risk | None:
    """`uncovered: allow` with the `accept_risk` that it needs; None: `deny`."""
    if defaults.get("uncovered", choice(("deny", "allow")), "deny") == "deny":
        return None
    return read_risk(defaults, "uncovered", "`uncovered: allow`")


def read_risk(section: Section, needed_by: str, what: str) -> Risk | None:
    """`accept_risk` beside the key that needs it."""
    problems, node = section.problems, section.node("accept_risk")
    if node is None:
        problems.add(section.place_of(needed_by), f"{what} needs `accept_risk` beside it", _HINT)
        return None
    inner = Section.open(node, "`accept_risk`", problems, _RISK_KEYS)
    if inner is None:
        return None
    return Risk(
        by=inner.require("by", _by, ""),
        ticket=inner.require("ticket", _ticket, ""),
        until=inner.require("until", day_end, 0),
    )


def read_review(node: Node, problems: Problems, holds: tuple[str, ...] = HOLDS) -> Review | None:
    """`review: {…}`. Without `holds`, what waits follows from where it happens."""
    known = ("queue", "quorum", "timeout", "on_timeout", "accept_risk", "distinct_from", *(("hold",) if holds else ()))
    inner = Section.open(node, "`review`", problems, known)
    if inner is None:
        return None
    allows = inner.get("on_timeout", choice(ON_TIMEOUT), "block") == "allow"
    if not allows and "accept_risk" in inner:
        problems.add(inner.place_of("accept_risk"), "`accept_risk` needs `on_timeout: allow` beside it")
    return Review(
        queue=inner.require("queue", _queue, ""),
        quorum=inner.get("quorum", integer(1, MOST_REVIEWERS), 1),
        hold=inner.require("hold", choice(holds), "") if holds else "",
        timeout_ms=inner.get("timeout", duration_ms(1_000, 24 * 3_600_000), DEFAULT_WAIT_MS),
        distinct=inner.get("distinct_from", choice(("requester",)), "") == "requester",
        risk=read_risk(inner, "on_timeout", "`on_timeout: allow`") if allows else None,
    )
