"""`defaults.audit` of a policy: whether the text of exchanges is kept, sealed, and for how long.

The policy names a retention class; how long that is, and whether there is a place to keep text at all, is said by the
configuration, and a policy that asks for what is not there does not come into force. Without the key no text is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.changes import About, Change, Effect
from policies.fields import Section, choice, integer, matching
from policies.matchers import Form

CONTENT: Final = ("none", "sealed")
CLASS_NAME: Final = r"[a-z][a-z0-9-]{0,39}"
ACK: Final = ("before_upstream",)
PROGRESS: Final = ("before_release",)
"""When a record has to be durable. The gateway knows no other way; a policy can say so, for whoever reads it."""
MOST_SINKS: Final = 9
_class = matching(CLASS_NAME, "a retention class of the configuration: small letters, digits and `-`")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What of an exchange outlives it, besides its records."""

    content: str = "none"
    retention: str = ""
    """The class; empty when nothing is kept."""
    sinks: int = 0
    """In how many places each record has to be; 0: the configuration says."""

    @property
    def keeps(self) -> bool:
        return self.content == "sealed"

    @property
    def spoken(self) -> str:
        return f"{self.content}, {self.retention}" if self.keeps else self.content


def keeping_form(keeping: Keeping) -> dict[str, Form]:
    """Part of what the policy means. One that keeps nothing has the digest it always had."""
    form: dict[str, Form] = {"audit": [keeping.content, keeping.retention]} if keeping.keeps else {}
    return form | ({"sinks": keeping.sinks} if keeping.sinks else {})


def diff_keeping(before: Keeping, after: Keeping) -> list[Change]:
    """Text that is no longer kept, or for another time, cannot be shown later; more of it is kept without more risk."""
    about = About("policy", "audit")
    sinks = about.moved(
        "sinks",
        before.sinks,
        after.sinks,
        more_is=Effect.STRONGER,
        up="records have to be in more places",
        down="records may be in fewer places",
        shown=lambda places: str(places or "any"),
    )
    if (before.content, before.retention) == (after.content, after.retention):
        return sinks
    effect = Effect.STRONGER if not before.keeps else Effect.WEAKER
    reason = "what was said can be shown later" if not before.keeps else "what was said is kept no more, or otherwise"
    return [*sinks, about.change("content", before.spoken, after.spoken, effect, reason)]


def read_keeping(defaults: Section) -> Keeping:
    """The key `audit` of `defaults`."""
    node, problems = defaults.node("audit"), defaults.problems
    known = ("content", "retention", "ack", "progress", "sinks")
    section = Section.open(node, "`audit`", problems, known) if node else None
    if section is None:
        return Keeping()
    section.get("ack", choice(ACK), "")
    section.get("progress", choice(PROGRESS), "")
    sinks = _read_sinks(section)
    content = section.require("content", choice(CONTENT), "none")
    if content == "none":
        if "retention" in section:
            problems.add(section.place_of("retention"), "`retention` has no meaning when the content is `none`")
        return Keeping(sinks=sinks)
    return Keeping(content, section.get("retention", _class, "default"), sinks)


def _read_sinks(audit: Section) -> int:
    """`sinks: {require: 2}`."""
    node = audit.node("sinks")
    section = Section.open(node, "`sinks`", audit.problems, ("require",)) if node else None
    return section.require("require", integer(1, MOST_SINKS), 1) if section else 0
