"""`defaults.audit` of a policy: whether the text of exchanges is kept, sealed, and for how long.

The policy names a retention class; how long that is, and whether there is a place to keep text at all, is said by the
configuration, and a policy that asks for what is not there does not come into force. Without the key no text is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from policies.changes import Change, Effect
from policies.fields import Section, choice, matching
from policies.matchers import Form

CONTENT: Final = ("none", "sealed")
CLASS_NAME: Final = r"[a-z][a-z0-9-]{0,39}"
LATER_AUDIT: Final = ("ack", "progress")
_class = matching(CLASS_NAME, "a retention class of the configuration: small letters, digits and `-`")


@dataclass(frozen=True, slots=True)
class Keeping:
    """What of an exchange outlives it, besides its records."""

    content: str = "none"
    retention: str = ""
    """The class; empty when nothing is kept."""

    @property
    def keeps(self) -> bool:
        return self.content == "sealed"

    @property
    def spoken(self) -> str:
        return f"{self.content}, {self.retention}" if self.keeps else self.content


def keeping_form(keeping: Keeping) -> dict[str, Form]:
    """Part of what the policy means. One that keeps nothing has the digest it always had."""
    return {"audit": [keeping.content, keeping.retention]} if keeping.keeps else {}


def diff_keeping(before: Keeping, after: Keeping) -> list[Change]:
    """Text that is no longer kept, or for another time, cannot be shown later; more of it is kept without more risk."""
    if before == after:
        return []
    effect = Effect.STRONGER if not before.keeps else Effect.WEAKER
    reason = "what was said can be shown later" if not before.keeps else "what was said is kept no more, or otherwise"
    return [Change("policy", "audit", "content", before.spoken, after.spoken, effect, reason)]


def read_keeping(defaults: Section) -> Keeping:
    """The key `audit` of `defaults`."""
    node, problems = defaults.node("audit"), defaults.problems
    section = Section.open(node, "`audit`", problems, ("content", "retention"), LATER_AUDIT) if node else None
    if section is None:
        return Keeping()
    content = section.require("content", choice(CONTENT), "none")
    if content == "none":
        if "retention" in section:
            problems.add(section.place_of("retention"), "`retention` has no meaning when the content is `none`")
        return Keeping()
    return Keeping(content, section.get("retention", _class, "default"))
