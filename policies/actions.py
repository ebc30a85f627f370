"""What a rule does when it matches, and who has agreed that something goes on without a verdict.

The lattice of actions is the order in which they win; a rule's particulars (what is shown, where it goes, who has to
approve) are values without behaviour. Carrying them out is the gateway's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

GUARD_UNAVAILABLE = "guard_unavailable"
UNCOVERED_PART = "uncovered_part"
REDACTION_IMPOSSIBLE = "redaction_impossible"
SEED_REQUIRED = "seed_required"
REVIEW_DENIED = "review_denied"
REVIEW_EXPIRED = "review_expired"
ERROR, REFUSAL, USUAL = "openai_error", "openai_refusal", "endpoint"
"""Dialects of a block: an HTTP error, an answer that ends in `content_filter`, and what is usual where it happens."""
DIALECTS = (ERROR, REFUSAL, USUAL)
UNCOVERED = "defaults.uncovered"
"""What stands where a rule would, for a part that may pass although no rule looks at it. No rule can have that id."""


class Action(IntEnum):
    """The lattice: the strictest of all matching rules is what happens."""

    ALLOW = 0
    ANNOTATE = 1
    FLAG = 2
    REDACT = 3
    REPLACE = 4
    ROUTE = 5
    REVIEW = 6
    BLOCK = 7


@dataclass(frozen=True, slots=True)
class Risk:
    """Who takes it on that something passes unjudged, under which ticket, and until when."""

    by: str
    ticket: str
    until: int
    """Seconds since 1970; from then on nothing is accepted any more."""


@dataclass(frozen=True, slots=True)
class Review:
    """Who has to approve, and how long that is waited for."""

    queue: str
    quorum: int
    """How many different people."""
    hold: str
    """`request`, `response` or `tool_call`: what waits."""
    timeout_ms: int
    distinct: bool
    """Whether whoever asked may not be one of them."""
    risk: Risk | None = None
    """Of `on_timeout: allow`: by whom it is accepted that the exchange goes on when nobody decides in time."""


@dataclass(frozen=True, slots=True)
class Do:
    """What a rule does when it matches."""

    action: Action
    code: str = ""
    message: str = ""
    dialect: str = ""
    """Of `block`: the form in which a client is told; empty: the one that is usual for requests or for answers."""
    replacement: str = ""
    """For `redact`, with placeholders (policies/replacements.py); for `replace`, the text that stands for the part."""
    queue: str = ""
    """With `severity`, set when the rule flags, whatever else it does."""
    severity: str = ""
    field: str = ""
    """Set when the rule annotates, whatever else it does: what the record is marked with."""
    template: str = ""
    """For `replace_response`: which of the policy's templates is the answer."""
    before_audit: bool = False
    """Whether what is redacted must not be kept anywhere, sealed neither."""
    model: str = ""
    """For `route`: the public name of the model that the request goes to."""
    engine: str = ""
    """For `route`: the engine that has to serve it; empty: whichever does."""
    require_seed: bool = False
    """Whether such a request has to have a `seed`."""
    review: Review | None = None
    reversible: bool = False
    """Whether what is redacted comes back in the answer, for the same tenant and exchange."""
